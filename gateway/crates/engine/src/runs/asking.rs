//! Questions that calls under way ask a person: put, answered from anywhere, and taken back. The worker keeps the
//! way back to the call; everything else is in the store.

use std::collections::HashMap;

use adjutant_core::ids::{QuestionId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::{ForeignText, without_nul};
use adjutant_core::question::{Answer, CallEvent, Question};
use adjutant_store::error::StoreError;
use adjutant_store::questions::{self, QuestionState};
use adjutant_store::runs::RunStatus;
use futures::channel::oneshot;
use tokio::time::Instant;

use super::commit::{self, Batch};
use super::driver::Driver;
use crate::events::event::{EventBody, Progress};

/// What the calls under way have asked.
#[derive(Default)]
pub(super) struct Asked {
    open: HashMap<QuestionId, Open>,
    /// How often each call asked.
    counts: HashMap<ToolCallId, usize>,
    reported: HashMap<ToolCallId, Instant>,
    next_look: Option<Instant>,
}

struct Open {
    call: ToolCallId,
    answer: oneshot::Sender<Answer>,
    until: Instant,
}

impl Asked {
    /// A person is asked now: the run does not work meanwhile.
    pub(super) fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    /// When the store is asked again, although nobody rang.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look.filter(|_| self.waits())
    }

    /// Whether the call asked anything, which then has to be taken back with its end. What it still asks is void.
    pub(super) fn forget(&mut self, call: ToolCallId) -> bool {
        self.open.retain(|_, open| open.call != call);
        self.counts.remove(&call).is_some()
    }
}

impl Driver {
    pub(super) async fn heard(
        &mut self,
        call: ToolCallId,
        event: CallEvent,
        asked: &mut Asked,
    ) -> Result<(), StoreError> {
        match event {
            CallEvent::Progress { progress, total, message } => {
                self.report(call, progress, total, message, asked);
                Ok(())
            }
            CallEvent::Asks(question, answer) => self.put(call, question, answer, asked).await,
        }
    }

    /// Progress is live only, and no more often than a person can read.
    fn report(
        &self,
        call: ToolCallId,
        progress: f64,
        total: Option<f64>,
        message: Option<ForeignText>,
        asked: &mut Asked,
    ) {
        let now = Instant::now();
        let recent = |at: &Instant| now.duration_since(*at) < limits::PROGRESS_INTERVAL;
        if asked.reported.get(&call).is_some_and(recent) || !progress.is_finite() {
            return;
        }
        asked.reported.insert(call, now);
        let cut = |text: ForeignText| without_nul(text.as_str().chars().take(limits::PROGRESS_CHARS).collect());
        let progress = Progress {
            thread: self.context.thread,
            run: self.context.lease.run,
            call,
            progress,
            total: total.filter(|total| total.is_finite()),
            message: message.map(cut),
        };
        self.engine.hub().publish_progress(&self.context.scope.owner(), progress, self.context.hidden);
    }

    async fn put(
        &mut self,
        call: ToolCallId,
        question: Question,
        answer: oneshot::Sender<Answer>,
        asked: &mut Asked,
    ) -> Result<(), StoreError> {
        let Some(row) = self.calls.get(&call) else { return Ok(()) };
        let count = asked.counts.entry(call).or_default();
        *count += 1;
        if *count > limits::QUESTIONS_PER_CALL || !question.fits() {
            tracing::info!(run.id = %self.context.lease.run, "a question of a tool is beyond the limits and was cancelled");
            let _ = answer.send(Answer::Cancel);
            return Ok(());
        }
        let id = QuestionId::new();
        let question = storable(question)?;
        let mut batch = Batch::default();
        batch.event(EventBody::QuestionAsked {
            question_id: id,
            tool_call_id: call,
            name: row.name.clone(),
            question: question.clone(),
        });
        batch.questions.push((id, call, question));
        if !asked.waits() {
            self.pause();
        }
        asked.next_look.get_or_insert_with(|| Instant::now() + limits::QUESTION_LOOK);
        asked.open.insert(id, Open { call, answer, until: Instant::now() + limits::QUESTION_TIME });
        commit::commit(&self.engine.inner, &self.context, &self.state, RunStatus::Running, batch).await?;
        Ok(())
    }

    /// Hands answers to the calls that wait for them, and gives up on what nobody answers.
    pub(super) async fn hand_answers(&mut self, asked: &mut Asked) -> Result<(), StoreError> {
        if !asked.waits() {
            return Ok(());
        }
        // A call that was dropped no longer waits; what it asked is taken back with its result.
        let now = Instant::now();
        asked.next_look = Some(now + limits::QUESTION_LOOK);
        let ids: Vec<QuestionId> = asked.open.keys().copied().collect();
        let owner = self.context.scope.owner();
        let answers = self.engine.store().scoped(&owner, async |tx| questions::answers(tx, &ids).await).await?;
        for (id, answer) in answers {
            if let Some(open) = asked.open.remove(&id) {
                let _ = open.answer.send(answer);
            }
        }
        let mut batch = Batch::default();
        for (id, open) in &asked.open {
            if open.until <= now || open.answer.is_canceled() {
                let state = if open.until <= now { QuestionState::Expired } else { QuestionState::Withdrawn };
                batch.closed.push((*id, state));
            }
        }
        if !batch.closed.is_empty() {
            let closed = batch.closed.clone();
            commit::commit(&self.engine.inner, &self.context, &self.state, RunStatus::Running, batch).await?;
            // Answered at the last moment: then the answer counts.
            let ids: Vec<QuestionId> = closed.iter().map(|(id, _)| *id).collect();
            let answers = self.engine.store().scoped(&owner, async |tx| questions::answers(tx, &ids).await).await?;
            for (id, answer) in answers {
                if let Some(open) = asked.open.remove(&id) {
                    let _ = open.answer.send(answer);
                }
            }
        }
        if !asked.waits() {
            self.go_on();
        }
        Ok(())
    }
}

/// The database has no room for NUL.
fn storable(question: Question) -> Result<Question, StoreError> {
    let value = serde_json::to_value(question).map_err(StoreError::bug)?;
    serde_json::from_value(adjutant_core::message::value_without_nul(value)).map_err(StoreError::bug)
}
