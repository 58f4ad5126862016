//! Clients with short limits, requests, and the reading of streams to their end.

use std::collections::HashMap;
use std::time::Duration;

use adjutant_core::message::{Part, Role};
use adjutant_core::model::{
    LlmClient, ModelAccess, ModelAnswer, ModelError, ModelErrorKind, ModelEvent, ModelRequest, PromptMessage, Purpose,
};
use adjutant_llm::router::{Operator, Router};
use adjutant_llm::settings::{Settings, Timeouts};
use futures::StreamExt;
use futures::stream::BoxStream;
use secrecy::SecretString;

use crate::fake::Fake;

pub(crate) const KEY: &str = "test-key-CANARY-0451";
/// What a test that expects silence waits for it.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

pub(crate) fn settings(base_url: &str) -> Settings {
    let timeouts =
        Timeouts { backoff: Duration::from_millis(1), backoff_max: Duration::from_millis(2), ..Timeouts::default() };
    let key = Some(SecretString::from(KEY));
    Settings { timeouts, ..Settings::openai(base_url, "scripted", key) }
}

/// The router of one provider with one model.
pub(crate) fn alone(settings: Settings) -> Router {
    Router::new(Operator::alone(settings)).unwrap()
}

pub(crate) fn client(fake: &Fake) -> Router {
    alone(settings(&fake.base_url()))
}

/// Gives up on a silent provider soon.
pub(crate) fn impatient(fake: &Fake, tries: u32) -> Router {
    let mut settings = settings(&fake.base_url());
    settings.timeouts.first_byte = SHORT;
    settings.timeouts.idle = SHORT;
    settings.tries = tries;
    alone(settings)
}

pub(crate) fn message(role: Role, parts: Vec<Part>) -> PromptMessage {
    PromptMessage { role, parts }
}

pub(crate) fn ask(words: &str) -> ModelRequest {
    ModelRequest {
        models: vec![],
        purpose: Purpose::Answer,
        access: ModelAccess::operator(),
        files: HashMap::new(),
        messages: vec![message(Role::User, vec![Part::text(words)])],
        tools: vec![],
        max_output_tokens: 512,
        temperature: None,
    }
}

/// The text that was relayed, and how the stream ended.
pub(crate) struct Told {
    pub(crate) thought: String,
    pub(crate) relayed: String,
    pub(crate) end: Result<ModelAnswer, ModelError>,
}

impl Told {
    pub(crate) fn kind(&self) -> ModelErrorKind {
        self.end.as_ref().expect_err("an error").kind
    }

    #[track_caller]
    pub(crate) fn answer(self) -> ModelAnswer {
        let answer = self.end.expect("an answer");
        assert_eq!(answer.text, self.relayed);
        answer
    }
}

pub(crate) async fn read(mut stream: BoxStream<'static, Result<ModelEvent, ModelError>>) -> Told {
    soon(async move {
        let mut relayed = String::new();
        let mut thought = String::new();
        let mut end = None;
        while let Some(event) = stream.next().await {
            assert!(end.is_none(), "nothing comes after the end");
            match event {
                Ok(ModelEvent::TextDelta(text)) => relayed.push_str(&text),
                Ok(ModelEvent::ThinkingDelta(text)) => thought.push_str(&text),
                Ok(ModelEvent::Finished(answer)) => end = Some(Ok(answer)),
                Err(error) => end = Some(Err(error)),
            }
        }
        Told { thought, relayed, end: end.expect("an end") }
    })
    .await
}

pub(crate) async fn tell(client: &impl LlmClient, words: &str) -> Told {
    read(client.stream(ask(words))).await
}

/// The next delta, which must be text.
pub(crate) async fn delta(stream: &mut BoxStream<'static, Result<ModelEvent, ModelError>>) -> String {
    match soon(stream.next()).await {
        Some(Ok(ModelEvent::TextDelta(text))) => text,
        other => panic!("no delta but {other:?}"),
    }
}

/// The ceiling of every wait.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens within ten seconds")
}
