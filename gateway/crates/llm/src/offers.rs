//! The models that a provider lists. Asking costs nothing, and needs no model to be chosen yet.

use adjutant_core::limits;
use adjutant_core::model::{ModelError, ModelErrorKind};
use futures::StreamExt;
use serde_json::Value;

use crate::failure::{self, Failure};
use crate::http;
use crate::redact::Redactor;
use crate::settings::{Provider, Settings};

/// More than anybody reads; a list may be as long as its bytes allow.
const MOST: usize = 5_000;

/// The names that `LLM_MODEL` may have with these settings, as the provider orders them. The settings' own model
/// does not matter.
pub async fn models(settings: &Settings) -> Result<Vec<String>, ModelError> {
    ask(settings).await.map_err(|failure| failure.error)
}

async fn ask(settings: &Settings) -> Result<Vec<String>, Failure> {
    let wrong = |error: crate::settings::SetupError| Failure::lasting(ModelErrorKind::NotConfigured, error.to_string());
    let base = http::base_url(&settings.base_url).map_err(wrong)?;
    let client = http::build(settings, &base).map_err(wrong)?;
    let redactor = Redactor::new(settings.api_key.clone());
    let limit = settings.timeouts.first_byte;
    let request = client.get(http::below(&base, path(settings.provider))).timeout(limit);
    let response = request.send().await.map_err(|error| failure::unanswered(&error, limit))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| failure::unanswered(&error, limit))?);
        if body.len() > limits::MODEL_LIST_BYTES {
            return Err(Failure::garbled("the list of models is too long"));
        }
    }
    if !status.is_success() {
        return Err(failure::http(status, &headers, &String::from_utf8_lossy(&body), &redactor));
    }
    let listed: Value = serde_json::from_slice(&body).map_err(|_| Failure::garbled("the list of models is no JSON"))?;
    names(&listed).ok_or_else(|| Failure::garbled("the list of models is no list"))
}

fn path(provider: Provider) -> &'static str {
    if Some(provider) == Provider::parse("ollama") { "api/tags" } else { "models" }
}

/// `OpenAI` and Anthropic list `data` with an `id` each, Ollama `models` with a `name` each.
fn names(listed: &Value) -> Option<Vec<String>> {
    let by = |list: &str, name: &str| {
        let names =
            listed.get(list)?.as_array()?.iter().filter_map(|entry| Some(entry.get(name)?.as_str()?.to_owned()));
        Some(names.take(MOST).collect())
    };
    by("data", "id").or_else(|| by("models", "name"))
}
