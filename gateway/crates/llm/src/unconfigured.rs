//! The client of a server without a model: everything else works, and each call says what to do.

use adjutant_core::model::{LlmClient, ModelAccess, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Purpose};
use futures::stream::{self, BoxStream};

/// Fails every call with [`ModelErrorKind::NotConfigured`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Unconfigured;

const ADVICE: &str = "no language model is configured: set LLM_PROVIDER=openai, LLM_MODEL to a model's name, \
    OPENAI_API_KEY to your key and, for another provider than OpenAI, OPENAI_BASE_URL to its address, then restart";

impl Unconfigured {
    /// What every call answers, for `doctor`.
    pub fn error() -> ModelError {
        ModelError::new(ModelErrorKind::NotConfigured, ADVICE)
    }
}

impl LlmClient for Unconfigured {
    fn stream(&self, _request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        Box::pin(stream::once(async { Err(Self::error()) }))
    }

    fn plan(&self, _: &[String], _: Purpose, _: &ModelAccess) -> Result<Vec<String>, ModelError> {
        Err(Self::error())
    }

    fn default_model(&self) -> Option<&str> {
        None
    }
}
