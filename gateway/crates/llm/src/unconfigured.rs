//! The client of a server without a model: everything else works, and each call says what to do.

use adjutant_core::model::{LlmClient, ModelError, ModelErrorKind, ModelEvent, ModelRequest};
use futures::stream::{self, BoxStream};

/// Fails every call with [`ModelErrorKind::NotConfigured`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Unconfigured;

const ADVICE: &str = "no language model is configured: set LLM_PROVIDER=openai, LLM_MODEL to a model's name, \
    OPENAI_API_KEY to your key and, for another provider than OpenAI, OPENAI_BASE_URL to its address, then restart";

impl Unconfigured {
    /// What every call answers, for `doctor`.
    pub fn error() -> ModelError {
        ModelError { kind: ModelErrorKind::NotConfigured, message: ADVICE.to_owned(), retry_after: None }
    }
}

impl LlmClient for Unconfigured {
    fn stream(&self, _request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        Box::pin(stream::once(async { Err(Self::error()) }))
    }

    fn default_model(&self) -> Option<&str> {
        None
    }
}
