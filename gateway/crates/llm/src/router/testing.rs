//! The test of a provider: with which key it is asked, and where. A key goes to its own address alone, and nobody says
//! in a test where that is.

use adjutant_core::model::{ModelError, ModelErrorKind, ProviderKey, ProviderTest, Tested};
use secrecy::ExposeSecret;

use super::Inner;
use crate::settings::{Provider, Settings};
use crate::trial;

/// The list does not depend on it.
const NO_MODEL: &str = "unknown";

impl Inner {
    pub(super) async fn test(&self, test: ProviderTest) -> Tested {
        match self.settings_for(&test).await {
            Ok(settings) => trial::test(settings, test.model).await,
            Err(refused) => Tested { refused: Some(refused), models: Vec::new() },
        }
    }

    /// The key that was given, else the user's own, else the operator's where they may use it: as a call would, so that
    /// what the test says holds for the next message.
    async fn settings_for(&self, test: &ProviderTest) -> Result<Settings, ModelError> {
        let refused = |why: String| Err(ModelError::new(ModelErrorKind::NoKey, why));
        let Some(provider) = Provider::parse(&test.provider) else {
            return refused(format!("there is no client for {}", test.provider));
        };
        let configured = self.operator.address_of(provider);
        if let Some(api_key) = &test.api_key {
            let given = ProviderKey {
                provider: test.provider.clone(),
                api_key: api_key.clone(),
                preferred_model: None,
                origin: configured.unwrap_or_default().to_owned(),
            };
            return Ok(self.users.settings(provider, &given, configured, NO_MODEL));
        }
        if let Some(own) = test.access.keys.iter().find(|key| key.provider == test.provider) {
            if own.api_key.expose_secret().trim().is_empty() {
                return refused(format!("your key llm_{} is empty", test.provider));
            }
            return Ok(self.users.settings(provider, own, configured, NO_MODEL));
        }
        let name = &test.provider;
        if !test.access.operator {
            return refused(format!("you have no key for {name}, and the operator's may not be used for it"));
        }
        if let Some(settings) = self.operator.providers.iter().find(|settings| settings.provider == provider) {
            return Ok(settings.clone());
        }
        match (&self.operator.local_ollama, provider) {
            (Some(base_url), Provider::Ollama) => {
                // From now on it answers, if it can.
                self.look().await;
                Ok(self.local(base_url, NO_MODEL))
            }
            (None, Provider::Ollama) => {
                refused("no Ollama is set up here: OLLAMA_BASE_URL and LLM_PROVIDER say where one is".to_owned())
            }
            _ => refused(format!("there is no key for {name}: neither one of yours nor one of the operator's")),
        }
    }
}
