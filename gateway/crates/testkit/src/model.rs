//! An in-process [`LlmClient`] that plays a script and records every request.

use std::sync::{Arc, Mutex, PoisonError};

use adjutant_core::message::{Part, Role, ThinkingPart, joined_text};
use adjutant_core::model::{
    LlmClient, ModelAccess, ModelAnswer, ModelCall, ModelError, ModelErrorKind, ModelEvent, ModelRequest, PaidBy,
    Purpose, StopReason, Usage,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::Value;
use tokio::sync::Semaphore;

/// What the scripted model calls itself.
pub const PROVIDER: &str = "scripted";

/// One thing the scripted model does.
#[derive(Debug, Clone)]
pub enum Move {
    Say(String),
    /// Thinks aloud; the thought is signed.
    Think(String),
    /// Waits until the test gives a permit.
    Hold(Arc<Semaphore>),
    Call(String, Value),
    Fail(ModelErrorKind),
}

impl Move {
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    pub fn call(name: &str, arguments: Value) -> Self {
        Self::Call(name.to_owned(), arguments)
    }
}

type Script = dyn Fn(&ModelRequest) -> Vec<Move> + Send + Sync;

pub struct FakeModel {
    script: Box<Script>,
    requests: Arc<Mutex<Vec<ModelRequest>>>,
}

impl FakeModel {
    pub fn new(script: impl Fn(&ModelRequest) -> Vec<Move> + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), requests: Arc::default() }
    }

    /// What it is asked, for a test that gives it away.
    pub fn recorded(&self) -> Arc<Mutex<Vec<ModelRequest>>> {
        Arc::clone(&self.requests)
    }

    pub fn requests(&self) -> Vec<ModelRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A message of the user as they wrote it, without the line that says when it was sent.
pub fn as_written(text: &str) -> String {
    text.rsplit_once("\n\n[sent ").map_or(text, |(written, _)| written).to_owned()
}

/// The newest text of the user in a request, as they wrote it.
pub fn last_user(request: &ModelRequest) -> String {
    let newest = request.messages.iter().rev().find(|message| message.role == Role::User);
    newest.map(|message| as_written(&joined_text(&message.parts))).unwrap_or_default()
}

/// How many answers of the model follow the newest message of the user.
pub fn round(request: &ModelRequest) -> usize {
    let after = request.messages.iter().rev().take_while(|message| message.role != Role::User);
    after.filter(|message| message.role == Role::Assistant).count()
}

/// The tool results after the newest message of the user, in order.
pub fn results(request: &ModelRequest) -> Vec<String> {
    let after = request.messages.iter().rev().take_while(|message| message.role != Role::User);
    let mut results: Vec<String> = after
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some(result.content.as_str().to_owned()),
            _ => None,
        })
        .collect();
    results.reverse();
    results
}

impl LlmClient for FakeModel {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let moves = (self.script)(&request);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let mut answer = ModelAnswer {
            text: String::new(),
            thinking: Vec::new(),
            calls: Vec::new(),
            usage: Usage { input_tokens: 11, output_tokens: 7, cached_input_tokens: 3, cache_write_tokens: 0 },
            stop: StopReason::Finished,
            model: "scripted".to_owned(),
            provider: PROVIDER.to_owned(),
            paid_by: PaidBy::Operator,
            cost: None,
            passed_over: Vec::new(),
        };
        let mut failure = None;
        for one in &moves {
            match one {
                Move::Say(text) => answer.text.push_str(text),
                Move::Call(name, arguments) => answer.calls.push(ModelCall {
                    provider_id: format!("call_{}", answer.calls.len()),
                    name: name.clone(),
                    arguments: Ok(arguments.clone()),
                }),
                Move::Fail(kind) => failure = Some(*kind),
                Move::Think(text) => answer.thinking.push(ThinkingPart {
                    text: text.clone(),
                    signature: Some("scripted signature".to_owned()),
                    redacted: None,
                    provider: PROVIDER.to_owned(),
                }),
                Move::Hold(_) => {}
            }
        }
        let deltas = stream::iter(moves).filter_map(|one| async move {
            match one {
                Move::Say(text) => Some(Ok(ModelEvent::TextDelta(text))),
                Move::Think(text) => Some(Ok(ModelEvent::ThinkingDelta(text))),
                Move::Hold(permits) => {
                    if let Ok(permit) = permits.acquire().await {
                        permit.forget();
                    }
                    None
                }
                Move::Call(..) | Move::Fail(_) => None,
            }
        });
        let end = match failure {
            Some(kind) => Err(ModelError::new(kind, "the scripted model failed")),
            None => Ok(ModelEvent::Finished(answer)),
        };
        deltas.chain(stream::once(std::future::ready(end))).boxed()
    }

    fn plan(&self, models: &[String], _: Purpose, _: &ModelAccess) -> Result<Vec<String>, ModelError> {
        Ok(if models.is_empty() { vec!["scripted/scripted".to_owned()] } else { models.to_vec() })
    }

    fn default_model(&self) -> Option<&str> {
        Some("scripted")
    }
}
