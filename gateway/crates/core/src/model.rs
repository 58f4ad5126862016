//! The port to language models: what a request holds, what a stream yields, how a call fails.

use std::time::Duration;

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::message::{Part, Role};
use crate::tool::ToolSpec;

/// A client for one or more model providers.
pub trait LlmClient: Send + Sync {
    /// Starts a call. The stream yields deltas and then exactly one [`ModelEvent::Finished`], or it
    /// ends with an error; a provider's stream without its terminal marker is
    /// [`ModelErrorKind::Truncated`]. Retries happen inside, and only before the first delta.
    /// Dropping the stream ends the call.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// The model that answers by default, for display and for the run's record. `None`: no model is
    /// configured and every call fails with [`ModelErrorKind::NotConfigured`].
    fn default_model(&self) -> Option<&str>;
}

#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// `None`: the client's default.
    pub model: Option<String>,
    pub messages: Vec<PromptMessage>,
    pub tools: Vec<ToolSpec>,
    /// Upper bound of the answer, in tokens.
    pub max_output_tokens: u32,
    /// What the caller of an OpenAI-compatible door may set; `None` leaves the provider's default.
    pub temperature: Option<f64>,
}

/// One entry of a prompt. Tool results in `parts` are already fenced text.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptMessage {
    pub role: Role,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    TextDelta(String),
    Finished(ModelAnswer),
}

/// The whole answer of one model call. `text` is the sum of the deltas.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelAnswer {
    pub text: String,
    pub calls: Vec<ModelCall>,
    pub usage: Usage,
    pub stop: StopReason,
    /// The model that answered, as the provider names it; else the one asked for.
    pub model: String,
}

/// A tool call as the model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCall {
    /// The provider's id; may be empty or repeated.
    pub provider_id: String,
    pub name: String,
    /// `Err` holds the raw text when it is no JSON object: the tool never runs, the model is told.
    pub arguments: Result<Value, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    Finished,
    /// The answer reached the limit of output tokens.
    Length,
    /// The provider's filter stopped it.
    Filtered,
}

/// Tokens of one or more model calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The part of `input_tokens` that the provider read from its cache.
    pub cached_input_tokens: u64,
}

impl Usage {
    pub fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
    }
}

/// A model call that failed for good, after the client's own retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    pub kind: ModelErrorKind,
    /// One safe sentence for the user: no URL, no key, no body of the provider.
    pub message: String,
    /// What the provider asked to wait.
    pub retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelErrorKind {
    NotConfigured,
    /// The provider refuses the key.
    Unauthorized,
    RateLimited,
    /// Not reachable, or an error of the provider itself (5xx).
    Unavailable,
    /// No first byte, or no further byte, within the limit.
    TimedOut,
    /// The stream ended without its terminal marker.
    Truncated,
    /// The answer is no valid answer.
    Garbled,
    /// The provider refuses the request as such (4xx).
    Refused,
}

impl ModelErrorKind {
    /// The stable code that clients see.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotConfigured => "model_not_configured",
            Self::Unauthorized => "model_unauthorized",
            Self::RateLimited => "model_rate_limited",
            Self::Unavailable => "model_unavailable",
            Self::TimedOut => "model_timed_out",
            Self::Truncated => "model_truncated",
            Self::Garbled => "model_garbled",
            Self::Refused => "model_refused",
        }
    }
}
