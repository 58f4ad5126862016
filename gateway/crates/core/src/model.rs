//! The port to language models: what a request holds, what a stream yields, how a call fails.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::cost::Cost;
use crate::ids::FileId;
use crate::message::{Part, Role, ThinkingPart};
use crate::tool::ToolSpec;

/// A client for one or more model providers.
pub trait LlmClient: Send + Sync {
    /// Starts a call. The stream yields deltas and then exactly one [`ModelEvent::Finished`], or it
    /// ends with an error; a provider's stream without its terminal marker is
    /// [`ModelErrorKind::Truncated`]. Retries happen inside, and only before the first delta.
    /// Dropping the stream ends the call.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// Which models a call would ask, in order, as `provider/model`; or why none may be asked:
    /// [`ModelErrorKind::NotConfigured`] or [`ModelErrorKind::NoKey`]. Asks nobody.
    fn plan(&self, models: &[String], purpose: Purpose, access: &ModelAccess) -> Result<Vec<String>, ModelError>;

    /// The same models, with what is known of each. Asks nobody.
    fn describe(&self, models: &[String], access: &ModelAccess) -> Result<Vec<ModelInfo>, ModelError> {
        let planned = self.plan(models, Purpose::Answer, access)?;
        Ok(planned.iter().map(|name| ModelInfo::unknown(name)).collect())
    }

    /// Whether a model was named for small work ([`Purpose::Small`]) alone. Without one, small work that nobody asked for
    /// is left undone: the model that answers is slower and dearer.
    fn has_small_model(&self) -> bool {
        false
    }

    /// Looks once more for a model that needs no configuration, if there is none yet. Bounded in time.
    fn look_again(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether a provider can be used, by asking it. Bounded in time.
    fn test(&self, test: ProviderTest) -> BoxFuture<'_, Tested> {
        let message = format!("there is no client for {}", test.provider);
        let refused = Some(ModelError::new(ModelErrorKind::NotConfigured, message));
        Box::pin(std::future::ready(Tested { refused, models: Vec::new() }))
    }

    /// The model that answers by default, for display and for the run's record. `None`: no model is
    /// configured and every call fails with [`ModelErrorKind::NotConfigured`].
    fn default_model(&self) -> Option<&str>;
}

#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// What may answer, in order of preference, as `provider/model`, or `model` of the default
    /// provider. Empty: the operator's models, or the preferred model of a user's key.
    pub models: Vec<String>,
    pub purpose: Purpose,
    pub access: ModelAccess,
    pub messages: Vec<PromptMessage>,
    /// The content of the files that the messages name, as far as a model may see it.
    pub files: HashMap<FileId, Arc<FileContent>>,
    pub tools: Vec<ToolSpec>,
    /// Upper bound of the answer, in tokens.
    pub max_output_tokens: u32,
    /// What the caller of an OpenAI-compatible door may set; `None` leaves the provider's default.
    pub temperature: Option<f64>,
}

/// What a call is for, which decides the model where nobody chose one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Answer,
    /// Titles and other small work.
    Small,
}

/// With whose keys a call may be made. A user's own key for a provider always comes first.
#[derive(Debug, Clone, Default)]
pub struct ModelAccess {
    pub keys: Vec<ProviderKey>,
    /// The operator's keys may be used where the user has none.
    pub operator: bool,
}

impl ModelAccess {
    /// The operator's keys alone.
    pub fn operator() -> Self {
        Self { keys: Vec::new(), operator: true }
    }
}

/// A user's own key for a provider.
#[derive(Clone)]
pub struct ProviderKey {
    /// `openai`, `anthropic` or `ollama`.
    pub provider: String,
    pub api_key: SecretString,
    pub preferred_model: Option<String>,
    /// Where the key may go, and nowhere else: the provider's base URL. Empty: the provider's own address.
    pub origin: String,
}

impl fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderKey").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// What is known of a model that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// As its models are prefixed.
    pub provider: String,
    /// As the provider names it.
    pub model: String,
    pub images: bool,
    /// PDF documents; text goes to every model.
    pub documents: bool,
    /// Of a million tokens of a prompt that is neither cached nor long. `None`: nobody told the price.
    pub input_price: Option<Cost>,
    /// Of a million tokens of the answer.
    pub output_price: Option<Cost>,
    /// How much a prompt may hold. `None`: nobody told.
    pub context_tokens: Option<u64>,
}

impl ModelInfo {
    /// Nothing but its name, `provider/model`.
    pub fn unknown(name: &str) -> Self {
        let (provider, model) = name.split_once('/').unwrap_or(("", name));
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            images: false,
            documents: false,
            input_price: None,
            output_price: None,
            context_tokens: None,
        }
    }
}

/// What somebody wants to know of a provider: whether it answers, and with which models.
#[derive(Debug, Clone)]
pub struct ProviderTest {
    /// `openai`, `anthropic` or `ollama`.
    pub provider: String,
    /// In place of all in `access`. Goes where the operator's configuration says, else to the provider's own address.
    pub api_key: Option<SecretString>,
    /// As the provider itself names it: asked for one word, which may cost something.
    pub model: Option<String>,
    pub access: ModelAccess,
}

/// What came of a [`ProviderTest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Why it cannot be used.
    pub refused: Option<ModelError>,
    /// What the provider lists: those that chat before others, the newest first where it tells.
    pub models: Vec<String>,
}

/// A file that a prompt holds.
#[derive(Clone)]
pub struct FileContent {
    pub name: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.bytes.len();
        f.debug_struct("FileContent").field("media_type", &self.media_type).field("size", &size).finish_non_exhaustive()
    }
}

/// Whose key a call was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    User,
    Operator,
}

impl PaidBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Operator].into_iter().find(|by| by.as_str() == text)
    }
}

/// A model that was to answer and did not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassedOver {
    /// As `provider/model`.
    pub model: String,
    /// The stable code of the failure, or `resting` for one whose circuit is open.
    pub code: String,
    /// One safe sentence.
    pub reason: String,
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
    /// A piece of what the model thinks before it answers, for showing it.
    ThinkingDelta(String),
    Finished(ModelAnswer),
}

/// The whole answer of one model call. `text` is the sum of the text deltas, and the text of
/// `thinking` that of the thinking deltas.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelAnswer {
    pub text: String,
    /// In the order in which the model wrote them.
    pub thinking: Vec<ThinkingPart>,
    pub calls: Vec<ModelCall>,
    pub usage: Usage,
    pub stop: StopReason,
    /// The model that answered, as the provider names it; else the one asked for.
    pub model: String,
    /// The provider that answered, as its models are prefixed.
    pub provider: String,
    pub paid_by: PaidBy,
    /// `None`: nobody told the price of this model.
    pub cost: Option<Cost>,
    /// Models that were asked before this one, or that rest.
    pub passed_over: Vec<PassedOver>,
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
    /// The part of `input_tokens` that the provider wrote to its cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
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
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
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
    /// Models that were asked before the one whose failure this is, or that rest.
    pub passed_over: Vec<PassedOver>,
}

impl ModelError {
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, passed_over: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelErrorKind {
    NotConfigured,
    /// The user has no key for a model that may answer, and may not use the operator's.
    NoKey,
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
            Self::NoKey => "llm_key_required",
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
