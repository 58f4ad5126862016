//! One model call of a run: the prompt, the stream, and what came of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::ids::{FileId, MessageId, StepId};
use adjutant_core::limits;
use adjutant_core::message::{Part, Role, ThinkingPart, without_nul};
use adjutant_core::model::{
    FileContent, ModelAnswer, ModelError, ModelErrorKind, ModelEvent, ModelRequest, PassedOver, Purpose, StopReason,
    Usage,
};
use adjutant_core::prompt::{self, Opening};
use adjutant_core::run::state::Event as MachineEvent;
use adjutant_core::tool::ToolSpec;
use adjutant_store::error::StoreError;
use adjutant_store::files;
use adjutant_store::steps::{ModelCallStep, StepKind};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::assistant::{self, Assistant, BrokenKey};
use super::commit::Batch;
use super::driver::Driver;
use super::rules::Rules;
use super::sent::Sent;
use crate::events::event::EventBody;
use crate::events::hub::Place;

/// What a model call came to.
pub(super) enum Thought {
    Happened(MachineEvent, Box<Batch>),
    /// The commit that the worker waited for was not made.
    Unborn,
    Stopping,
}

/// Rings again when it is dropped.
struct Ring<'a>(&'a Notify);

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What came of an answer so far.
#[derive(Default)]
struct Heard {
    text: String,
    /// When the first thought came.
    thinks: Option<Instant>,
    /// From there to the first word, or to the end of an answer without words.
    thought: Option<Duration>,
}

impl Heard {
    fn words_come(&mut self) {
        if let Some(thinks) = self.thinks {
            self.thought.get_or_insert_with(|| thinks.elapsed());
        }
    }

    fn thought_ms(&self) -> Option<u64> {
        self.thought.map(|thought| u64::try_from(thought.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Before the store is asked again whether a person wants the run to end.
const ASK_AGAIN: Duration = Duration::from_secs(1);

enum Stopped {
    Answered(Box<Result<ModelAnswer, ModelError>>),
    /// A key that the user stored cannot be used.
    KeyBroken(BrokenKey),
    TooLong,
    /// The files of the prompt could not be read.
    Broken(StoreError),
    Unborn,
    Cancelled,
    TimeUp,
    Stopping,
}

impl Driver {
    pub(super) async fn think(&mut self, mut gate: Option<oneshot::Receiver<()>>) -> Result<Thought, StoreError> {
        let started_at = self.engine.inner.parts.clock.now();
        let stopping = self.engine.supervisor().stopping().clone();
        let deadline = self.deadline();
        let mut heard = Heard::default();
        if gate.is_none() {
            self.renew_access().await?;
        }
        let mut catalogue = self.catalogue.take();
        let mut sent = None;
        let stopped = {
            let this = &*self;
            tokio::select! {
                biased;
                () = stopping.cancelled() => Stopped::Stopping,
                () = this.cancel_requested() => Stopped::Cancelled,
                () = tokio::time::sleep_until(deadline) => Stopped::TimeUp,
                stopped = this.converse(&mut gate, &mut catalogue, &mut sent, &mut heard) => stopped,
            }
        };
        self.catalogue = catalogue;
        // Whatever follows is written to a run that must exist first.
        if let Some(gate) = gate
            && gate.await.is_err()
        {
            return Ok(Thought::Unborn);
        }
        let mut batch = Batch::default();
        let number = i32::try_from(self.state.steps).unwrap_or(i32::MAX);
        batch.sent = sent.map(|sent: Sent| sent.record(number, &self.stored_pieces)).transpose()?;
        let happened = match stopped {
            Stopped::Stopping => return Ok(Thought::Stopping),
            Stopped::Unborn => return Ok(Thought::Unborn),
            Stopped::Broken(error) => return Err(error),
            Stopped::Answered(answered) => match *answered {
                Ok(answer) => self.answered(answer, &heard, started_at, &mut batch).await?,
                Err(error) => self.failed(error, &heard.text, started_at, &mut batch),
            },
            Stopped::KeyBroken(key) => {
                self.ended_badly(key.code(), key.to_string(), Vec::new(), &heard.text, started_at, &mut batch)
            }
            Stopped::TooLong => {
                let message = "the model's answer is longer than the limit".to_owned();
                self.ended_badly("limit_answer", message, Vec::new(), &heard.text, started_at, &mut batch)
            }
            Stopped::Cancelled => {
                self.keep_partial(&heard.text, &mut batch);
                MachineEvent::CancelRequested
            }
            Stopped::TimeUp => {
                self.keep_partial(&heard.text, &mut batch);
                MachineEvent::TimeUp
            }
        };
        Ok(Thought::Happened(happened, Box::new(batch)))
    }

    /// What may pay can change while a run goes on: a key that was removed is not used for the next call.
    async fn renew_access(&mut self) -> Result<(), StoreError> {
        let (parts, scope) = (&self.engine.inner.parts, &self.context.scope);
        let now = self
            .engine
            .store()
            .scoped(&scope.owner(), async |tx| Ok(assistant::load(tx, parts, scope).await?.assistant))
            .await?;
        let Assistant { access, broken, .. } = now;
        self.assistant = Arc::new(Assistant { access, broken, ..Assistant::clone(&self.assistant) });
        Ok(())
    }

    /// Resolves when a person wants the run to end.
    async fn cancel_requested(&self) {
        loop {
            self.bell.notified().await;
            // The answer may end meanwhile: then the ring is for whatever comes next.
            let unheard = Ring(&self.bell);
            match self.is_cancel_requested().await {
                Ok(true) => return,
                Ok(false) | Err(StoreError::NotFound) => std::mem::forget(unheard),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    async fn converse(
        &self,
        gate: &mut Option<oneshot::Receiver<()>>,
        catalogue: &mut Option<adjutant_core::tool::ToolCatalogue>,
        sent: &mut Option<Sent>,
        heard: &mut Heard,
    ) -> Stopped {
        let parts = &self.engine.inner.parts;
        if catalogue.is_none() {
            let mut listed = parts.tools.list(&self.context.scope).await;
            self.assistant.restrict(&mut listed);
            *catalogue = Some(listed);
        }
        let catalogue = catalogue.as_ref().map_or(&[][..], |catalogue| &catalogue.tools);
        if let Some(broken) = &self.assistant.broken {
            return Stopped::KeyBroken(broken.clone());
        }
        let files = match self.files().await {
            Ok(files) => files,
            Err(error) => return Stopped::Broken(error),
        };
        let request = self.model_request(catalogue, files);
        *sent = Some(Sent::of(&request, parts.clock.now()));
        let mut stream = parts.llm.stream(request);
        let mut first = None;
        if let Some(opened) = gate {
            loop {
                tokio::select! {
                    biased;
                    born = &mut *opened => match born {
                        Ok(()) => break,
                        Err(_) => {
                            *gate = None;
                            return Stopped::Unborn;
                        }
                    },
                    item = stream.next(), if first.is_none() => first = Some(item),
                }
            }
        }
        *gate = None;
        let owner = self.context.scope.owner();
        // An earlier attempt at this answer may have left text.
        self.engine.hub().reset_answer(&owner, self.context.thread, self.context.lease.run);
        let place = Place {
            thread: self.context.thread,
            run: self.context.lease.run,
            message: self.state.answer_id,
            hidden: self.context.hidden,
        };
        loop {
            let item = match first.take() {
                Some(item) => item,
                None => stream.next().await,
            };
            match item {
                Some(Ok(ModelEvent::TextDelta(delta))) => {
                    let delta = without_nul(delta);
                    heard.words_come();
                    heard.text.push_str(&delta);
                    if heard.text.len() > limits::ANSWER_BYTES {
                        return Stopped::TooLong;
                    }
                    self.engine.hub().publish_delta(&owner, &place, &delta);
                }
                // The client of models bounds it.
                Some(Ok(ModelEvent::ThinkingDelta(delta))) => {
                    heard.thinks.get_or_insert_with(Instant::now);
                    self.engine.hub().publish_thinking(&owner, &place, &without_nul(delta));
                }
                Some(Ok(ModelEvent::Finished(answer))) => {
                    heard.words_come();
                    return Stopped::Answered(Box::new(Ok(answer)));
                }
                Some(Err(error)) => return Stopped::Answered(Box::new(Err(error))),
                None => return Stopped::Answered(Box::new(Err(ended_silently()))),
            }
        }
    }

    /// What this run asks for, else what the profile prefers.
    fn models(&self) -> Vec<String> {
        match &self.context.request.model {
            Some(model) => vec![model.clone()],
            None => self.assistant.models.clone(),
        }
    }

    /// The content of the files that the prompt needs.
    async fn files(&self) -> Result<HashMap<FileId, Arc<FileContent>>, StoreError> {
        let needed = prompt::files::needed(&self.tail);
        if needed.is_empty() {
            return Ok(HashMap::new());
        }
        let owner = self.context.scope.owner();
        self.engine
            .store()
            .scoped(&owner, async |tx| {
                let mut found = HashMap::new();
                for info in files::of_ids(tx, &needed).await? {
                    let bytes = files::content(tx, info.id).await?;
                    let content = FileContent { name: info.name, media_type: info.media_type, bytes };
                    found.insert(info.id, Arc::new(content));
                }
                Ok(found)
            })
            .await
    }

    fn model_request(&self, catalogue: &[ToolSpec], files: HashMap<FileId, Arc<FileContent>>) -> ModelRequest {
        let request = &self.context.request;
        let brought: HashSet<&str> = request.caller_tools.iter().map(|tool| tool.name.as_str()).collect();
        let mut tools: Vec<ToolSpec> = catalogue
            .iter()
            .filter(|tool| !brought.contains(tool.name.as_str()) && self.rules.offers(tool))
            .cloned()
            .collect();
        tools.extend(request.caller_tools.iter().cloned());
        ModelRequest {
            models: self.models(),
            purpose: Purpose::Answer,
            access: self.assistant.access.clone(),
            messages: prompt::build(
                &Opening { summary: self.summary.as_deref(), ..self.assistant.opening() },
                &prompt::files::inlined(&self.tail, &files),
                limits::PROMPT_BYTES,
            ),
            files,
            tools,
            max_output_tokens: request.max_output_tokens.unwrap_or(limits::ANSWER_TOKENS).min(limits::ANSWER_TOKENS),
            temperature: request.temperature,
        }
    }

    /// The answer, its planned calls and its step, ready to be committed together.
    async fn answered(
        &mut self,
        answer: ModelAnswer,
        heard: &Heard,
        started_at: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<MachineEvent, StoreError> {
        if !answer.calls.is_empty() {
            let agent = self.context.agent.as_str();
            let owner = self.context.scope.owner();
            self.rules = self.engine.store().scoped(&owner, async |tx| Rules::load(tx, agent).await).await?;
        }
        let read_foreign_text = self.catalogue.as_ref().is_some_and(|known| self.rules.shows_foreign_text(known));
        let mut parts = Vec::new();
        let thought = |part: ThinkingPart| {
            let (signature, redacted) = (part.signature.map(without_nul), part.redacted.map(without_nul));
            Part::Thinking(ThinkingPart { text: without_nul(part.text), signature, redacted, provider: part.provider })
        };
        parts.extend(answer.thinking.into_iter().map(thought));
        let text = without_nul(answer.text);
        if !text.is_empty() {
            parts.push(Part::text(text));
        }
        let calls = self.gather(answer.calls, &mut parts, batch);
        if !parts.is_empty() {
            let mut message = self.next_message(self.state.answer_id, Role::Assistant, parts, batch);
            message.made.model = Some(format!("{}/{}", answer.provider, answer.model));
            message.made.thought_ms = heard.thought_ms();
            batch.message(EventBody::Answer, message);
        }
        batch.step = Some(ModelCallStep {
            model: Some(answer.model.clone()),
            stop: Some(stop(answer.stop).to_owned()),
            usage: answer.usage,
            provider: Some(answer.provider),
            paid_by: Some(answer.paid_by),
            cost: answer.cost,
            passed_over: shown(answer.passed_over),
            ..self.step(started_at)
        });
        batch.usage = answer.usage;
        batch.model = Some(answer.model);
        Ok(MachineEvent::Answered { calls, usage: answer.usage, next_answer_id: MessageId::new(), read_foreign_text })
    }

    fn failed(&self, error: ModelError, text: &str, started_at: DateTime<Utc>, batch: &mut Batch) -> MachineEvent {
        self.ended_badly(error.kind.code(), error.message, error.passed_over, text, started_at, batch)
    }

    fn ended_badly(
        &self,
        code: &str,
        message: String,
        passed_over: Vec<PassedOver>,
        text: &str,
        started_at: DateTime<Utc>,
        batch: &mut Batch,
    ) -> MachineEvent {
        let message = without_nul(message);
        self.keep_partial(text, batch);
        let error = Some((code.to_owned(), message.clone()));
        batch.step = Some(ModelCallStep { error, passed_over: shown(passed_over), ..self.step(started_at) });
        MachineEvent::ModelFailed { code: code.to_owned(), message, usage: Usage::default() }
    }

    /// What had arrived of an answer that will not be finished, labelled as such.
    fn keep_partial(&self, text: &str, batch: &mut Batch) {
        if text.is_empty() {
            return;
        }
        let mut message = self.next_message(self.state.answer_id, Role::Assistant, vec![Part::text(text)], batch);
        message.partial = true;
        batch.message(EventBody::Answer, message);
    }

    /// The record of a call that ends now, as far as every end is alike.
    fn step(&self, started_at: DateTime<Utc>) -> ModelCallStep {
        ModelCallStep {
            number: i32::try_from(self.state.steps).unwrap_or(i32::MAX),
            id: StepId::new(),
            kind: StepKind::ModelCall,
            model: None,
            stop: None,
            error: None,
            usage: Usage::default(),
            provider: None,
            paid_by: None,
            cost: None,
            passed_over: Vec::new(),
            started_at,
            finished_at: self.engine.inner.parts.clock.now(),
        }
    }
}

/// Why an answer ended, as a step has it.
pub(super) fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Finished => "finished",
        StopReason::Length => "length",
        StopReason::Filtered => "filtered",
    }
}

/// Fit to be stored.
pub(super) fn shown(passed_over: Vec<PassedOver>) -> Vec<PassedOver> {
    let clean = |passed: PassedOver| PassedOver {
        model: without_nul(passed.model),
        code: passed.code,
        reason: without_nul(passed.reason),
    };
    passed_over.into_iter().map(clean).collect()
}

fn ended_silently() -> ModelError {
    ModelError::new(ModelErrorKind::Truncated, "the model's answer ended before it was complete")
}
