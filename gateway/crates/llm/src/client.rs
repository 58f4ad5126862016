//! The client itself: tries a call until the model begins to answer, then relays what comes.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::model::{LlmClient, ModelAccess, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Purpose};
use futures::StreamExt;
use futures::stream::BoxStream;
use genai::adapter::AdapterKind;
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::time::sleep;

use crate::attempt::{Attempt, Progress, Tap};
use crate::failure::{self, Failure};
use crate::http;
use crate::openai::request;
use crate::redact::Redactor;
use crate::retry;
use crate::settings::{Provider, Settings, SetupError, Timeouts};

/// One provider. Clones share the connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    genai: genai::Client,
    http: reqwest::Client,
    adapter: AdapterKind,
    base: Url,
    model: String,
    redactor: Redactor,
    timeouts: Timeouts,
    tries: u32,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Result<Self, SetupError> {
        let model = settings.model.trim().to_owned();
        if model.is_empty() {
            return Err(SetupError::Model);
        }
        let base = http::base_url(&settings.base_url)?;
        let http = http::build(&settings, &base)?;
        let genai = genai::Client::builder().with_reqwest(http.clone()).build().map_err(|_| SetupError::Tls)?;
        let adapter = match settings.provider {
            Provider::OpenAi => AdapterKind::OpenAI,
        };
        let inner = Inner {
            genai,
            http,
            adapter,
            base,
            model,
            redactor: Redactor::new(settings.api_key),
            timeouts: settings.timeouts,
            tries: settings.tries.max(1),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks the provider for its models, which costs nothing, and says in a sentence what came of it.
    pub async fn check(&self) -> Result<String, ModelError> {
        self.inner.check().await.map_err(|failure| failure.error)
    }
}

impl LlmClient for Client {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async_stream::try_stream! {
            let asked = request.models.first().cloned().unwrap_or_else(|| inner.model.clone());
            // Hands the request over: a stream that lasts does not hold the prompt.
            let mut attempt = inner.begin(request, &asked).await.map_err(|failure| failure.error)?;
            let mut progress = Ok(Progress::More);
            loop {
                if let Some(text) = attempt.take_text() {
                    yield ModelEvent::TextDelta(text);
                }
                if progress.map_err(|failure: Failure| failure.error)? == Progress::Ended {
                    break;
                }
                progress = attempt.advance().await;
            }
            yield ModelEvent::Finished(attempt.finish(&asked).map_err(|failure| failure.error)?);
        })
    }

    fn plan(&self, models: &[String], _: Purpose, _: &ModelAccess) -> Result<Vec<String>, ModelError> {
        Ok(if models.is_empty() { vec![self.inner.model.clone()] } else { models.to_vec() })
    }

    fn default_model(&self) -> Option<&str> {
        Some(&self.inner.model)
    }
}

impl Inner {
    /// Tries until the model begins to answer, or its answer is over without a word.
    async fn begin(&self, request: ModelRequest, asked: &str) -> Result<Attempt, Failure> {
        let mut failed = 0;
        loop {
            let failure = match self.attempt(&request, asked).await {
                Ok(attempt) => return Ok(attempt),
                Err(failure) => failure,
            };
            failed += 1;
            if !failure.passing || failed >= self.tries {
                return Err(failure);
            }
            let random = getrandom::u64().unwrap_or(u64::MAX / 2);
            let Some(wait) = retry::wait(failed, failure.error.retry_after, &self.timeouts, random) else {
                return Err(failure);
            };
            tracing::warn!(
                model.error = failure.error.kind.code(),
                model.failed_tries = failed,
                wait_ms = wait.as_millis(),
                "asking the model again"
            );
            sleep(wait).await;
        }
    }

    async fn attempt(&self, request: &ModelRequest, asked: &str) -> Result<Attempt, Failure> {
        let tap = Arc::new(Tap::new(self.redactor.clone()));
        let options = request::options(request, asked, tap.clone());
        // The HTTP client adds the key; the override keeps the crate from asking for one.
        let url = http::below(&self.base, "chat/completions");
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(url.as_str()),
            auth: AuthData::RequestOverride { url: url.to_string(), headers: Headers::default() },
            model: ModelIden::new(self.adapter, asked),
        };
        let response = self.genai.exec_chat_stream(target, request::chat(request), Some(&options)).await;
        let stream = response.map_err(|error| failure::transport(error, &self.redactor))?.stream;
        let mut attempt = Attempt::new(stream, tap, self.redactor.clone(), self.timeouts);
        while attempt.advance().await? == Progress::More && !attempt.has_begun() {}
        Ok(attempt)
    }

    async fn check(&self) -> Result<String, Failure> {
        let request = self.http.get(http::below(&self.base, "models")).timeout(self.timeouts.first_byte);
        let response = request.send().await.map_err(|error| failure::unanswered(&error, self.timeouts.first_byte))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.whole_body(response).await?;
        let model = &self.model;
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            return Ok(format!("the model provider answers but does not list its models, so {model} is not checked"));
        }
        if !status.is_success() {
            return Err(failure::http(status, &headers, &body, &self.redactor));
        }
        let listed: Value =
            serde_json::from_str(&body).map_err(|_| Failure::garbled("the list of models is no JSON"))?;
        let Some(models) = listed.get("data").and_then(Value::as_array) else {
            return Err(Failure::garbled("the list of models is no list"));
        };
        if models.iter().any(|entry| entry.get("id").and_then(Value::as_str) == Some(model)) {
            return Ok(format!("the model provider answers and offers {model}"));
        }
        let count = models.len();
        Ok(format!("the model provider answers, but {model} is not among the {count} models it lists"))
    }

    async fn whole_body(&self, response: reqwest::Response) -> Result<String, Failure> {
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|error| failure::unanswered(&error, self.timeouts.first_byte))?);
            if body.len() > limits::MODEL_LIST_BYTES {
                return Err(Failure::lasting(
                    ModelErrorKind::Garbled,
                    "the model provider's list of models is too long",
                ));
            }
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
