//! The client of one provider with one key: tries a call until the model begins to answer.

use std::sync::Arc;
use std::time::Duration;

use adjutant_core::limits;
use adjutant_core::model::{ModelError, ModelErrorKind, ModelRequest};
use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::time::sleep;

use crate::attempt::{Attempt, Progress, Tap};
use crate::failure::{self, Failure};
use crate::offers::Offered;
use crate::redact::Redactor;
use crate::settings::{Provider, Seeing, Settings, SetupError, Thinking, Timeouts};
use crate::wire::Reader;
use crate::wire::sight::Sight;
use crate::{anthropic, http, ollama, openai, retry};

/// One provider. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    genai: genai::Client,
    http: reqwest::Client,
    provider: Provider,
    base: Url,
    /// Scheme, host and port.
    origin: String,
    mark: String,
    thinking: Thinking,
    seeing: Seeing,
    redactor: Redactor,
    timeouts: Timeouts,
    tries: u32,
}

/// How long one model is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nobody else is left to ask.
    Full,
    /// Another model can be asked instead: it is not waited for.
    Short,
    /// It failed again and again, and nobody else is left to ask.
    Once,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Result<Self, SetupError> {
        if settings.model.trim().is_empty() {
            return Err(SetupError::Model);
        }
        let base = http::base_url(&settings.base_url)?;
        let http = http::build(&settings, &base)?;
        let genai = genai::Client::builder().with_reqwest(http.clone()).build().map_err(|_| SetupError::Tls)?;
        let provider = settings.provider;
        let origin = base.origin().ascii_serialization();
        let inner = Inner {
            genai,
            http,
            provider,
            // Thinking goes back only to the address that it came from: another one cannot know it.
            mark: format!("{} {origin}", provider.as_str()),
            origin,
            base,
            thinking: settings.thinking,
            seeing: settings.seeing,
            redactor: Redactor::new(settings.api_key, provider, settings.is_users),
            timeouts: settings.timeouts,
            tries: settings.tries.max(1),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks the provider for its models, which costs nothing, and says of each of these whether it is offered.
    pub(crate) async fn check(&self, models: &[Option<String>]) -> Result<Vec<Offered>, ModelError> {
        let listed = self.inner.list().await.map_err(|failure| failure.error)?;
        let of = |model: &Option<String>| match (model, &listed) {
            (None, _) => Offered::Unasked,
            (Some(_), None) => Offered::Untold,
            (Some(model), Some(listed)) if listed.iter().any(|entry| entry.is(self.inner.provider, model)) => {
                Offered::Listed
            }
            (Some(_), Some(listed)) => Offered::Absent { of: listed.len() },
        };
        Ok(models.iter().map(of).collect())
    }

    /// The provider's models; none where it does not list them.
    pub(crate) async fn models(&self) -> Result<Vec<Listed>, ModelError> {
        Ok(self.inner.list().await.map_err(|failure| failure.error)?.unwrap_or_default())
    }

    /// What that model takes beside text.
    pub(crate) fn sight(&self, model: &str) -> Sight {
        self.inner.sight(model)
    }

    pub(crate) fn origin(&self) -> &str {
        &self.inner.origin
    }

    /// Marks the thinking that this provider wrote and takes back.
    pub(crate) fn mark(&self) -> &str {
        &self.inner.mark
    }

    /// Tries until the model begins to answer, or its answer is over without a word.
    pub(crate) async fn begin(
        &self,
        request: &ModelRequest,
        asked: &str,
        patience: Patience,
    ) -> Result<Attempt, Failure> {
        let inner = &*self.inner;
        let tries = match patience {
            Patience::Full => inner.tries,
            Patience::Short => inner.tries.min(limits::MODEL_TRIES_BEFORE_NEXT),
            Patience::Once => 1,
        };
        let mut failed = 0;
        loop {
            let failure = match inner.attempt(request, asked).await {
                Ok(attempt) => return Ok(attempt),
                Err(failure) => failure,
            };
            failed += 1;
            let is_slow = failure.error.kind == ModelErrorKind::TimedOut && patience == Patience::Short;
            if !failure.passing || failed >= tries || is_slow {
                return Err(failure);
            }
            let random = getrandom::u64().unwrap_or(u64::MAX / 2);
            let Some(wait) = retry::wait(failed, failure.error.retry_after, &inner.timeouts, random) else {
                return Err(failure);
            };
            if patience == Patience::Short && wait > inner.timeouts.backoff {
                return Err(failure);
            }
            tracing::warn!(
                model.error = failure.error.kind.code(),
                model.failed_tries = failed,
                wait_ms = wait.as_millis(),
                "asking the model again"
            );
            sleep(wait).await;
        }
    }
}

/// A model in a provider's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// When it came into being or was last changed, in seconds, where the list tells.
    pub(crate) since: Option<i64>,
}

impl Listed {
    fn read(entry: &Value, name: &str) -> Self {
        let seconds = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp());
        let text = |field: &str| entry.get(field).and_then(Value::as_str).and_then(seconds);
        let since = entry.get("created").and_then(Value::as_i64);
        Self {
            // An entry without a name counts, but nothing can be asked of it.
            name: entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned(),
            since: since.or_else(|| text("created_at")).or_else(|| text("modified_at")),
        }
    }

    /// Whether this is the model that was asked for.
    fn is(&self, provider: Provider, asked: &str) -> bool {
        self.name == asked || (provider == Provider::Ollama && self.name.strip_suffix(":latest") == Some(asked))
    }
}

impl Inner {
    async fn attempt(&self, request: &ModelRequest, asked: &str) -> Result<Attempt, Failure> {
        let tap = Arc::new(Tap::new(self.provider, self.redactor.clone()));
        let sight = self.sight(asked);
        let reader = Reader { model: asked, mark: &self.mark, sees_images: sight.images, reads_pdf: sight.documents };
        let (adapter, path, chat, options, headers) = match self.provider {
            Provider::OpenAi => (
                AdapterKind::OpenAI,
                "chat/completions",
                openai::request::chat(request, &reader),
                openai::request::options(request, asked, self.thinking, tap.clone()),
                Headers::default(),
            ),
            Provider::Anthropic => (
                AdapterKind::Anthropic,
                "messages",
                anthropic::request::chat(request, &reader),
                anthropic::request::options(request, &reader, self.thinking, tap.clone()),
                Headers::from(vec![anthropic::request::VERSION]),
            ),
            Provider::Ollama => (
                AdapterKind::Ollama,
                "api/chat",
                ollama::request::chat(request, &reader),
                ollama::request::options(request, self.thinking, tap.clone()),
                Headers::default(),
            ),
        };
        // The HTTP client adds the key; the override keeps the crate from asking for one.
        let url = http::below(&self.base, path);
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(url.as_str()),
            auth: AuthData::RequestOverride { url: url.to_string(), headers },
            model: ModelIden::new(adapter, asked),
        };
        let response = self.genai.exec_chat_stream(target, chat, Some(&options)).await;
        let stream = response.map_err(|error| failure::transport(error, &self.redactor))?.stream;
        let mut attempt = Attempt::new(stream, tap, self.redactor.clone(), self.timeouts);
        while attempt.advance().await? == Progress::More && !attempt.has_begun() {}
        if attempt.is_over_without_a_word() {
            // Nobody has heard anything yet: whoever is asked next may do better.
            return Err(attempt.finish(asked, &self.mark).err().unwrap_or_else(Failure::truncated));
        }
        Ok(attempt)
    }

    fn sight(&self, model: &str) -> Sight {
        let is_own_address = self.provider.own_base_url().starts_with(&self.origin);
        Sight::of(self.provider, is_own_address, model, &self.seeing)
    }

    /// `None`: the provider has no list.
    async fn list(&self) -> Result<Option<Vec<Listed>>, Failure> {
        let (path, list, name) = match self.provider {
            Provider::OpenAi | Provider::Anthropic => ("models", "data", "id"),
            Provider::Ollama => ("api/tags", "models", "name"),
        };
        let mut url = http::below(&self.base, path);
        let mut request = self.http.get(url.clone());
        if self.provider == Provider::Anthropic {
            // The longest page there is.
            url.query_pairs_mut().append_pair("limit", "1000");
            let (name, value) = anthropic::request::VERSION;
            request = self.http.get(url).header(name, value);
        }
        let response = request
            .timeout(self.timeouts.first_byte)
            .send()
            .await
            .map_err(|error| failure::unanswered(&error, self.timeouts.first_byte))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = whole_body(response, self.timeouts.first_byte).await?;
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(failure::http(status, &headers, &body, &self.redactor));
        }
        let listed: Value =
            serde_json::from_str(&body).map_err(|_| Failure::garbled("the list of models is no JSON"))?;
        let Some(models) = listed.get(list).and_then(Value::as_array) else {
            return Err(Failure::garbled("the list of models is no list"));
        };
        Ok(Some(models.iter().map(|entry| Listed::read(entry, name)).collect()))
    }
}

pub(crate) async fn whole_body(response: reqwest::Response, limit: Duration) -> Result<String, Failure> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| failure::unanswered(&error, limit))?);
        if body.len() > limits::MODEL_LIST_BYTES {
            let message = "the model provider's list of models is too long";
            return Err(Failure::lasting(ModelErrorKind::Garbled, message));
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}
