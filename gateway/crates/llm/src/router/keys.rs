//! Clients for keys of users. Each key has connections of its own, to the address that it was stored
//! for and to no other; so many are kept as are used.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use adjutant_core::limits;
use adjutant_core::model::{ModelAccess, ModelError, ModelErrorKind, ProviderKey};
use reqwest::Url;
use secrecy::ExposeSecret;

use super::plan::Choice;
use crate::client::Client;
use crate::settings::{Provider, Reach, Settings};

pub(super) struct Clients {
    template: Settings,
    /// The one used last is last.
    kept: Mutex<Vec<Kept>>,
    marks: RandomState,
}

struct Kept {
    provider: Provider,
    base_url: String,
    key: secrecy::SecretString,
    client: Client,
}

impl Clients {
    pub(super) fn new(template: Settings) -> Self {
        Self { template, kept: Mutex::default(), marks: RandomState::new() }
    }

    /// Tells keys apart without holding them; another one after each start.
    pub(super) fn mark_of(&self, choice: &Choice, access: &ModelAccess) -> u64 {
        let key = choice.key.and_then(|index| access.keys.get(index));
        self.marks.hash_one(key.map(|key| (key.provider.as_str(), key.api_key.expose_secret())))
    }

    /// How a provider is asked with a user's key. `configured` is the base URL that the operator names for it.
    pub(super) fn settings(
        &self,
        provider: Provider,
        key: &ProviderKey,
        configured: Option<&str>,
        model: &str,
    ) -> Settings {
        let (base_url, reach) = place(provider, &key.origin, configured);
        Settings {
            provider,
            base_url,
            api_key: Some(key.api_key.clone()),
            is_users: true,
            reach,
            model: model.to_owned(),
            ..self.template.clone()
        }
    }

    pub(super) fn client(
        &self,
        choice: &Choice,
        key: &ProviderKey,
        configured: Option<&str>,
    ) -> Result<Client, ModelError> {
        let provider = choice.name.provider;
        let settings = self.settings(provider, key, configured, &choice.name.model);
        let base_url = settings.base_url.clone();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |entry: &Kept| {
            entry.provider == provider
                && entry.base_url == base_url
                && entry.key.expose_secret() == key.api_key.expose_secret()
        };
        if let Some(index) = kept.iter().position(same) {
            let entry = kept.remove(index);
            let client = entry.client.clone();
            kept.push(entry);
            return Ok(client);
        }
        let client = Client::new(settings).map_err(|error| {
            let message = format!("your key llm_{} cannot be used: {error}", provider.as_str());
            ModelError::new(ModelErrorKind::NoKey, message)
        })?;
        if kept.len() >= limits::MODEL_KEY_CLIENTS {
            kept.remove(0);
        }
        kept.push(Kept { provider, base_url, key: key.api_key.clone(), client: client.clone() });
        Ok(client)
    }
}

/// The base URL at the address that a key was stored for. Private addresses are reached only where the
/// operator's own setting names them.
fn place(provider: Provider, origin: &str, configured: Option<&str>) -> (String, Reach) {
    let origin = match origin.trim() {
        "" => provider.own_base_url(),
        origin => origin,
    };
    let Ok(url) = Url::parse(origin) else { return (origin.to_owned(), Reach::Public) };
    let same = |other: &str| Url::parse(other.trim()).is_ok_and(|other| other.origin() == url.origin());
    let configured = configured.filter(|base_url| same(base_url));
    let reach = if configured.is_some() { Reach::Configured } else { Reach::Public };
    if !matches!(url.path(), "" | "/") {
        return (origin.to_owned(), reach);
    }
    let base = match configured {
        Some(base_url) => base_url.to_owned(),
        None if same(provider.own_base_url()) => provider.own_base_url().to_owned(),
        None => format!("{}{}", url.origin().ascii_serialization(), provider.usual_path()),
    };
    (base, reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_the_address_it_was_stored_for() {
        let own = "https://llm.example/openai/v1";
        let near = "http://10.0.0.7:8000/v1";
        let cases = [
            ("", None, "https://api.openai.com/v1", Reach::Public),
            ("https://api.openai.com", None, "https://api.openai.com/v1", Reach::Public),
            ("https://api.openai.com", Some(own), "https://api.openai.com/v1", Reach::Public),
            ("https://llm.example", Some(own), "https://llm.example/openai/v1", Reach::Configured),
            ("https://llm.example:444", Some(own), "https://llm.example:444/v1", Reach::Public),
            ("http://10.0.0.7:8000", Some(near), "http://10.0.0.7:8000/v1", Reach::Configured),
            ("http://10.0.0.7:8000", Some(own), "http://10.0.0.7:8000/v1", Reach::Public),
            ("https://x.example/base/v2", None, "https://x.example/base/v2", Reach::Public),
        ];
        for (origin, configured, base_url, reach) in cases {
            let expected = (base_url.to_owned(), reach);
            assert_eq!(place(Provider::OpenAi, origin, configured), expected, "{origin}");
        }
    }

    #[test]
    fn a_key_for_a_private_address_that_the_operator_does_not_name_is_not_sent() {
        let clients = Clients::new(Settings::openai("https://api.openai.com/v1", "m", None));
        for origin in ["http://169.254.169.254", "https://127.0.0.1:9", "http://api.openai.com", "nonsense"] {
            let key = ProviderKey {
                provider: "openai".to_owned(),
                api_key: "sk-own".into(),
                preferred_model: None,
                origin: origin.to_owned(),
            };
            let name = super::super::plan::ModelName { provider: Provider::OpenAi, model: "m".to_owned() };
            let error = clients.client(&Choice { name, key: Some(0) }, &key, None).err().expect(origin);
            assert_eq!(error.kind, ModelErrorKind::NoKey);
        }
    }
}
