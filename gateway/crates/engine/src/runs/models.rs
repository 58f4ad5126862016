//! Which models somebody may ask, as they may know it, and whether a provider can be used.

use adjutant_core::model::{ModelError, ModelErrorKind, ModelInfo, ProviderTest, Tested};
use adjutant_core::scope::Scope;
use adjutant_store::error::StoreError;
use adjutant_store::users;
use secrecy::SecretString;

use crate::engine::Engine;
use crate::runs::assistant::{self, Assistant};

/// What somebody may know of themselves and of what answers them.
#[derive(Debug, Clone)]
pub struct About {
    pub display_name: String,
    /// The operator's model keys may pay, for this scope.
    pub operator_llm: bool,
    /// Which models would be asked, in order, or why none may be.
    pub models: Result<Vec<String>, ModelError>,
}

impl Engine {
    /// Who this scope is, and which models it may use now.
    pub async fn about(&self, scope: &Scope) -> Result<About, StoreError> {
        let parts = &self.inner.parts;
        let (user, loaded) = self
            .store()
            .scoped(&scope.owner(), async |tx| Ok((users::myself(tx).await?, assistant::load(tx, parts, scope).await?)))
            .await?;
        Ok(About {
            display_name: user.display_name,
            operator_llm: loaded.scope.operator_llm,
            models: loaded.assistant.plan(parts, None),
        })
    }

    /// What is known of the models that this scope would ask, in order; or why it may ask none.
    pub async fn models(&self, scope: &Scope) -> Result<Result<Vec<ModelInfo>, ModelError>, StoreError> {
        self.look_for_a_model(scope, None).await?;
        let Assistant { models, access, broken, .. } = self.assistant_of(scope).await?;
        Ok(match broken {
            Some(broken) => Err(ModelError::new(ModelErrorKind::NoKey, broken.to_string())),
            None => self.inner.parts.llm.describe(&models, &access),
        })
    }

    /// Asks a provider for its models, and the one that is named for a word, as this scope would with its next message;
    /// with `api_key` in place of the keys that it has.
    pub async fn test_provider(
        &self,
        scope: &Scope,
        provider: &str,
        api_key: Option<SecretString>,
        model: Option<String>,
    ) -> Result<Tested, StoreError> {
        let Assistant { access, broken, .. } = self.assistant_of(scope).await?;
        if let Some(broken) = broken.filter(|_| api_key.is_none()) {
            let refused = Some(ModelError::new(ModelErrorKind::NoKey, broken.to_string()));
            return Ok(Tested { refused, models: Vec::new() });
        }
        let test = ProviderTest { provider: provider.to_owned(), api_key, model, access };
        Ok(self.inner.parts.llm.test(test).await)
    }

    /// Looks for a model that needs no configuration, where this scope may ask none as things are.
    pub(super) async fn look_for_a_model(&self, scope: &Scope, named: Option<&str>) -> Result<(), StoreError> {
        let parts = &self.inner.parts;
        if self.default_model().is_none() && self.assistant_of(scope).await?.plan(parts, named).is_err() {
            parts.llm.look_again().await;
        }
        Ok(())
    }

    async fn assistant_of(&self, scope: &Scope) -> Result<Assistant, StoreError> {
        let parts = &self.inner.parts;
        Ok(self.store().scoped(&scope.owner(), async |tx| assistant::load(tx, parts, scope).await).await?.assistant)
    }
}
