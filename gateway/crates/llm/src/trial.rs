//! Whether a provider can be used: its list of models, which costs nothing, and one small real request. `init` and the
//! test of a key over HTTP make the same.

use std::collections::HashMap;
use std::time::Duration;

use adjutant_core::limits;
use adjutant_core::message::{Part, Role};
use adjutant_core::model::{
    LlmClient as _, ModelAccess, ModelError, ModelErrorKind, ModelEvent, ModelRequest, PromptMessage, Purpose, Tested,
};
use futures::StreamExt as _;
use tokio::time::{Instant, timeout};

use crate::offers;
use crate::router::{Operator, Router};
use crate::settings::{Provider, Settings};

/// What a model said when it was asked for a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As the model wrote it.
    pub text: String,
    pub took: Duration,
}

/// The models that the provider lists.
pub async fn models(settings: &Settings) -> Result<Vec<String>, ModelError> {
    let late = || ModelError::new(ModelErrorKind::TimedOut, "the model provider did not list its models in time");
    timeout(limits::MODEL_TEST_LIST, offers::models(settings)).await.unwrap_or_else(|_| Err(late()))
}

/// One small request to the settings' model.
pub async fn ask(settings: Settings) -> Result<Word, ModelError> {
    let begun = Instant::now();
    let client = Router::new(Operator::alone(settings))
        .map_err(|error| ModelError::new(ModelErrorKind::NotConfigured, error.to_string()))?;
    let mut stream = client.stream(request());
    let answered = async {
        while let Some(event) = stream.next().await {
            if let ModelEvent::Finished(answer) = event? {
                return Ok(answer.text);
            }
        }
        Err(ModelError::new(ModelErrorKind::Truncated, "the answer broke off before its end"))
    };
    let late = || {
        let within = limits::MODEL_TEST_ANSWER.as_secs();
        ModelError::new(ModelErrorKind::TimedOut, format!("the model did not answer within {within} s"))
    };
    let text = timeout(limits::MODEL_TEST_ANSWER, answered).await.unwrap_or_else(|_| Err(late()))?;
    Ok(Word { text, took: begun.elapsed() })
}

fn request() -> ModelRequest {
    let prompt = |role, text: &str| PromptMessage { role, parts: vec![Part::text(text)] };
    ModelRequest {
        models: Vec::new(),
        purpose: Purpose::Answer,
        access: ModelAccess::operator(),
        messages: vec![
            prompt(Role::System, "You are being tested. Answer with one short word."),
            prompt(Role::User, "Say: ready"),
        ],
        files: HashMap::new(),
        tools: Vec::new(),
        max_output_tokens: limits::MODEL_TEST_TOKENS,
        temperature: None,
    }
}

/// Lists, and asks `model` where one is named; then only its answer counts, because a list may be open to everybody, or
/// closed to a key that may chat.
pub(crate) async fn test(settings: Settings, model: Option<String>) -> Tested {
    let (models, unlisted) = match models(&settings).await {
        Ok(models) => (models, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let provider = settings.provider;
    let refused = match (model, unlisted) {
        (_, Some(error)) if is_away(error.kind) => Some(error),
        // A person who waits would rather know now than after further tries.
        (Some(model), _) => ask(Settings { model, tries: 1, ..settings }).await.err(),
        (None, Some(error)) => Some(error),
        (None, None) if models.is_empty() => Some(nothing_listed(provider)),
        (None, None) => None,
    };
    Tested { refused, models }
}

/// Nobody there could answer the second question either.
fn is_away(kind: ModelErrorKind) -> bool {
    matches!(kind, ModelErrorKind::NotConfigured | ModelErrorKind::Unavailable | ModelErrorKind::TimedOut)
}

fn nothing_listed(provider: Provider) -> ModelError {
    let why = match provider {
        Provider::Ollama => "Ollama answers, but it has no model yet: load one with `ollama pull`",
        _ => "the model provider answers but lists no models: name one to try it",
    };
    ModelError::new(ModelErrorKind::Refused, why)
}
