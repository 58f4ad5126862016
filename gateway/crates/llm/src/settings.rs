//! What a client must be told, and why it cannot be built from it. Reads no environment.

use std::sync::Arc;
use std::time::Duration;

use adjutant_core::limits;
use secrecy::SecretString;

use crate::router::plan::ModelName;

/// The wire format that the provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Chat completions, as `OpenAI` and most others serve them.
    #[default]
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Ollama's own chat.
    Ollama,
}

impl Provider {
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Ollama];

    /// The names that `LLM_PROVIDER` may have, and what stands before the slash in `provider/model`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    /// Where the provider itself is to be found.
    pub fn own_base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::Ollama => "http://127.0.0.1:11434",
        }
    }

    /// The path of a base URL at an address of which only scheme, host and port are known.
    pub(crate) fn usual_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "/v1",
            Self::Ollama => "",
        }
    }

    /// What answers for a user's own key that names no model, where the operator names none either.
    pub(crate) fn usual_model(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("gpt-5.4-mini"),
            Self::Anthropic => Some("claude-sonnet-4-5"),
            Self::Ollama => None,
        }
    }

    pub(crate) fn key_setting(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Ollama => "OLLAMA_BASE_URL",
        }
    }

    pub(crate) fn url_setting(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_BASE_URL",
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Ollama => "OLLAMA_BASE_URL",
        }
    }
}

/// How much a model is asked to think before it answers. Models that always think do so anyway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Thinking {
    /// What the model does by itself; Anthropic's are told not to.
    #[default]
    Unasked,
    Low,
    Medium,
    High,
}

impl Thinking {
    /// The values that `LLM_THINKING` may have.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Unasked),
            "low" => Some(Self::Low),
            "medium" => Some(Self::Medium),
            "high" => Some(Self::High),
            _ => None,
        }
    }
}

/// Models that take images although their names do not tell.
#[derive(Debug, Clone, Default)]
pub struct Seeing(Arc<[ModelName]>);

impl Seeing {
    /// From names like `provider/model`; `Err` is the first that is none.
    pub fn parse(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let parse = |name: String| ModelName::parse(&name, None).ok_or(name);
        names.into_iter().map(parse).collect::<Result<Vec<_>, _>>().map(|names| Self(names.into()))
    }

    pub(crate) fn holds(&self, provider: Provider, model: &str) -> bool {
        // Ollama means the same by both.
        let plain = |model: &str| match provider {
            Provider::Ollama => model.strip_suffix(":latest").unwrap_or(model).to_ascii_lowercase(),
            Provider::OpenAi | Provider::Anthropic => model.to_ascii_lowercase(),
        };
        self.0.iter().any(|name| name.provider == provider && plain(&name.model) == plain(model))
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub provider: Provider,
    /// Up to and including the version, as in `https://api.openai.com/v1`.
    pub base_url: String,
    /// Local servers need none.
    pub api_key: Option<SecretString>,
    /// The key is a user's own, not the operator's.
    pub is_users: bool,
    pub reach: Reach,
    /// The model that answers when a request names none.
    pub model: String,
    pub thinking: Thinking,
    pub seeing: Seeing,
    /// `None`: a direct connection, whatever the environment says of proxies.
    pub proxy: Option<SecretString>,
    pub timeouts: Timeouts,
    /// Tries of one call, the first included.
    pub tries: u32,
}

impl Settings {
    /// `OpenAI` chat completions with the limits of `adjutant_core::limits`.
    pub fn openai(base_url: impl Into<String>, model: impl Into<String>, api_key: Option<SecretString>) -> Self {
        Self::new(Provider::OpenAi, base_url, model, api_key)
    }

    /// The operator's access to a provider, with the limits of `adjutant_core::limits`.
    pub fn new(
        provider: Provider,
        base_url: impl Into<String>,
        model: impl Into<String>,
        api_key: Option<SecretString>,
    ) -> Self {
        Self {
            provider,
            base_url: base_url.into(),
            api_key,
            is_users: false,
            reach: Reach::Configured,
            model: model.into(),
            thinking: Thinking::default(),
            seeing: Seeing::default(),
            proxy: None,
            timeouts: Timeouts::default(),
            tries: limits::MODEL_TRIES,
        }
    }
}

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The operator's configuration names the address, so it may be a private one.
    Configured,
    /// Over TLS, and only to public addresses.
    Public,
}

/// How long a client waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request to the first event of the answer.
    pub first_byte: Duration,
    /// Between two events of the answer.
    pub idle: Duration,
    /// The wait before the second try is a random part of this; it doubles with each try.
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// A provider that asks for a longer wait is not asked again.
    pub retry_after_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: limits::MODEL_CONNECT,
            first_byte: limits::MODEL_FIRST_BYTE,
            idle: limits::MODEL_IDLE,
            backoff: limits::MODEL_BACKOFF,
            backoff_max: limits::MODEL_BACKOFF_MAX,
            retry_after_max: limits::MODEL_RETRY_AFTER,
        }
    }
}

/// Why no client can be built. Names settings, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("the model's base URL is no http or https URL with a host, like https://api.openai.com/v1")]
    BaseUrl,
    #[error("the model's base URL must not hold a user name, password or fragment; the key has its own setting")]
    BaseUrlParts,
    #[error("the model's name is empty")]
    Model,
    #[error("the model provider's key holds characters that no HTTP header can carry")]
    ApiKey,
    #[error("the address of the model provider is not a public one over https, and the operator does not name it")]
    Private,
    #[error("the proxy for the model provider is no valid proxy URL")]
    Proxy,
    #[error(
        "no TLS client could be set up for the model provider: are certificates installed (package ca-certificates)?"
    )]
    Tls,
}
