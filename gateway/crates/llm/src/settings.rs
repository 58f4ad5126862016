//! What a client must be told, and why it cannot be built from it. Reads no environment.

use std::time::Duration;

use adjutant_core::limits;
use secrecy::SecretString;

/// The wire format that the provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Chat completions, as `OpenAI` and most others serve them.
    OpenAi,
}

impl Provider {
    /// The names that `LLM_PROVIDER` may have.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "openai").then_some(Self::OpenAi)
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub provider: Provider,
    /// Up to and including the version, as in `https://api.openai.com/v1`.
    pub base_url: String,
    /// Local servers need none.
    pub api_key: Option<SecretString>,
    /// The model that answers when a request names none.
    pub model: String,
    /// `None`: a direct connection, whatever the environment says of proxies.
    pub proxy: Option<SecretString>,
    pub timeouts: Timeouts,
    /// Tries of one call, the first included.
    pub tries: u32,
}

impl Settings {
    /// `OpenAI` chat completions with the limits of `adjutant_core::limits`.
    pub fn openai(base_url: impl Into<String>, model: impl Into<String>, api_key: Option<SecretString>) -> Self {
        Self {
            provider: Provider::OpenAi,
            base_url: base_url.into(),
            api_key,
            model: model.into(),
            proxy: None,
            timeouts: Timeouts::default(),
            tries: limits::MODEL_TRIES,
        }
    }
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
    #[error("the proxy for the model provider is no valid proxy URL")]
    Proxy,
    #[error(
        "no TLS client could be set up for the model provider: are certificates installed (package ca-certificates)?"
    )]
    Tls,
}
