//! What people do to runs that exist: cancel, decide, try again, discard, and hand in the results of
//! tools that the caller of the API runs. Everything is written first; the worker is told after.

use std::sync::Arc;

use adjutant_core::ids::{ApprovalId, MessageId, QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::{ForeignText, Made, Message, OutcomeKind, Part, Role, ToolResultPart};
use adjutant_core::model::Usage;
use adjutant_core::question::{Answer, InvalidAnswer};
use adjutant_core::scope::Owner;
use adjutant_store::approvals::Decision;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::{CallState, Target};
use adjutant_store::messages::NewMessage;
use adjutant_store::questions::QuestionState;
use adjutant_store::runs::{Lease, Run, RunStatus};
use adjutant_store::threads::{Advance, LockedThread};
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, consents, events, hints, ledger, messages, questions, runs, threads};
use serde_json::Value;

use super::commit::{self, as_message, event_row, start_next};
use super::hold::Hold;
use super::submit::NO_FILE;
use crate::engine::Engine;
use crate::events::event::{Event, EventBody, FinishedOutcome, RunStateName};

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no such run or approval")]
    NotFound,
    #[error("this was decided before")]
    AlreadyDecided,
    #[error("this was answered before, or is asked no more")]
    AlreadyAnswered,
    #[error(transparent)]
    InvalidAnswer(#[from] InvalidAnswer),
    #[error("the run is not quarantined")]
    NotQuarantined,
    #[error("the run does not wait for these tool results")]
    NotWaiting,
    #[error("the run does not wait for its turn with a message of its own")]
    NotQueued,
    #[error("no such file")]
    NoFile,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            other => Self::Store(other),
        }
    }
}

/// What a change leaves to be done after its commit.
#[derive(Default)]
pub(crate) struct After {
    pub(crate) events: Vec<Event>,
    /// Runs that this replica now holds and must work on.
    pub(crate) resume: Vec<Hold>,
    /// Somebody else works on the run and must hear of the change.
    pub(crate) tell_worker: bool,
}

impl Engine {
    /// Ends a run within a second. Cancelling one that has ended changes nothing.
    pub async fn cancel(&self, owner: &Owner, run: RunId) -> Result<(), ControlError> {
        self.change(owner, run, async |engine, tx, run, _thread| {
            let mut after = After::default();
            engine.cancel_locked(tx, &run, &mut after).await?;
            Ok(after)
        })
        .await
    }

    /// Inside a transaction that has locked the run's thread and the run.
    pub(crate) async fn cancel_locked(&self, tx: &mut Tx, run: &Run, after: &mut After) -> Result<(), StoreError> {
        match run.status {
            RunStatus::Running => {
                runs::request_cancel(tx, run.id).await?;
                after.tell_worker = true;
            }
            RunStatus::Waiting => {
                runs::request_cancel(tx, run.id).await?;
                after.resume.push(self.take(tx, run.id).await?);
            }
            RunStatus::Queued => {
                runs::move_to(tx, run.id, RunStatus::Cancelled, 0, limits::LEASE).await?;
                let (outcome, usage) = (FinishedOutcome::Cancelled, Usage::default());
                let body = EventBody::RunFinished { outcome, model: None, usage };
                after.events.push(announce(tx, run, body).await?);
            }
            RunStatus::Quarantined => self.end_quarantined(tx, run, after).await?,
            RunStatus::Succeeded
            | RunStatus::Failed
            | RunStatus::Cancelled
            | RunStatus::Discarded
            | RunStatus::Joined => {}
        }
        Ok(())
    }

    /// Answers an approval. The first answer counts; a later one is told so.
    pub async fn decide(
        &self,
        owner: &Owner,
        approval: ApprovalId,
        decision: Decision,
        reason: Option<&str>,
    ) -> Result<(), ControlError> {
        let run = self.store().scoped(owner, async |tx| approvals::run_of(tx, approval).await).await?;
        self.change(owner, run, async |engine, tx, run, _thread| {
            let Some((call, definition)) = approvals::decide(tx, approval, decision, reason).await? else {
                return Err(StoreError::Conflict(DECIDED.to_owned()));
            };
            if decision == Decision::Always {
                let rows = ledger::of_run(tx, run.id).await?;
                let row = rows.iter().find(|row| row.id == call);
                if let Some(Target::Server { server, tool }) = row.map(|row| &row.target) {
                    consents::allow(tx, &run.agent, server, tool, definition.as_ref()).await?;
                }
            }
            let decision = decision.as_str().to_owned();
            let body = EventBody::ApprovalDecided { approval_id: approval, tool_call_id: call, decision };
            let mut after = After { events: vec![announce(tx, &run, body).await?], ..After::default() };
            match run.status {
                RunStatus::Waiting => after.resume.push(engine.take(tx, run.id).await?),
                RunStatus::Running => after.tell_worker = true,
                _ => {}
            }
            Ok(after)
        })
        .await
    }

    /// Answers a question of a tool, for whichever replica has its call. The first answer counts; a later one is told so.
    pub async fn answer(&self, owner: &Owner, question: QuestionId, answer: Answer) -> Result<(), ControlError> {
        let asked = self.store().scoped(owner, async |tx| questions::load(tx, question).await).await?;
        if asked.state != QuestionState::Pending {
            return Err(ControlError::AlreadyAnswered);
        }
        let (state, action, values) = match answer {
            Answer::Accept(values) => {
                (QuestionState::Accepted, "accept", Some(Value::Object(asked.question.accept(values)?)))
            }
            Answer::Decline => (QuestionState::Declined, "decline", None),
            Answer::Cancel => (QuestionState::Cancelled, "cancel", None),
        };
        self.change(owner, asked.run_id, async |_, tx, run, _thread| {
            let Some(call) = questions::close(tx, question, state, values.as_ref()).await? else {
                return Err(StoreError::Conflict(ANSWERED.to_owned()));
            };
            let body =
                EventBody::QuestionAnswered { question_id: question, tool_call_id: call, action: action.to_owned() };
            let events = vec![announce(tx, &run, body).await?];
            Ok(After { events, tell_worker: run.status == RunStatus::Running, ..After::default() })
        })
        .await
    }

    /// A person wants a quarantined run tried again, from its last commit.
    pub async fn retry(&self, owner: &Owner, run: RunId) -> Result<(), ControlError> {
        self.change(owner, run, async |engine, tx, run, thread| {
            if run.status != RunStatus::Quarantined {
                return Err(StoreError::Conflict(QUARANTINED.to_owned()));
            }
            runs::forget_crashes(tx, run.id).await?;
            runs::move_to(tx, run.id, RunStatus::Queued, 0, limits::LEASE).await?;
            let mut after = After::default();
            match start_next(&engine.inner, tx, thread).await? {
                Some((hold, event)) => {
                    after.events.push(event);
                    after.resume.push(hold);
                }
                None => {
                    let body = EventBody::RunState { state: RunStateName::Queued, reason: None, parent_id: None };
                    after.events.push(announce(tx, &run, body).await?);
                }
            }
            Ok(after)
        })
        .await
    }

    /// A person gives a quarantined run up.
    pub async fn discard(&self, owner: &Owner, run: RunId) -> Result<(), ControlError> {
        self.change(owner, run, async |engine, tx, run, _thread| {
            if run.status != RunStatus::Quarantined {
                return Err(StoreError::Conflict(QUARANTINED.to_owned()));
            }
            let mut after = After::default();
            engine.end_quarantined(tx, &run, &mut after).await?;
            Ok(after)
        })
        .await
    }

    async fn end_quarantined(&self, tx: &mut Tx, run: &Run, after: &mut After) -> Result<(), StoreError> {
        for row in ledger::of_run(tx, run.id).await? {
            let outcome = match row.state {
                CallState::Ended(_) => continue,
                CallState::Started if !row.repeatable => OutcomeKind::Unknown,
                CallState::Started => OutcomeKind::Failed,
                CallState::Planned | CallState::Asking => OutcomeKind::Denied,
            };
            ledger::settle(tx, row.id, outcome).await?;
        }
        approvals::withdraw(tx, run.id).await?;
        questions::withdraw(tx, run.id, None).await?;
        runs::move_to(tx, run.id, RunStatus::Discarded, 0, limits::LEASE).await?;
        let (code, message) = ("run_discarded".to_owned(), "the run was discarded".to_owned());
        after.events.push(announce(tx, run, EventBody::RunFailed { code, message, usage: run.usage }).await?);
        Ok(())
    }

    /// Results of tools that the caller of the API ran. The run goes on when all are there.
    pub async fn answer_calls(
        &self,
        owner: &Owner,
        run: RunId,
        results: Vec<(ToolCallId, String)>,
    ) -> Result<(), ControlError> {
        self.change(owner, run, async |engine, tx, run, thread| {
            if run.status != RunStatus::Waiting {
                return Err(StoreError::Conflict(WAITING.to_owned()));
            }
            let rows = ledger::of_run(tx, run.id).await?;
            let tip = messages::last_of_run(tx, thread, run.id).await?;
            let tail = messages::tail(tx, thread, tip, limits::TAIL_MESSAGES).await?;
            let mut parent_id = tip;
            let mut after = After::default();
            for (call, text) in &results {
                let open = rows
                    .iter()
                    .find(|row| row.id == *call && row.target == Target::Caller && row.state == CallState::Planned);
                let Some(row) = open else { return Err(StoreError::Conflict(WAITING.to_owned())) };
                let asked = tail.iter().flat_map(Message::tool_calls).find(|asked| asked.id == *call);
                let part = ToolResultPart {
                    call_id: *call,
                    provider_id: asked.map_or_else(|| call.to_string(), |asked| asked.provider_id.clone()),
                    name: row.name.clone(),
                    outcome: OutcomeKind::Succeeded,
                    content: ForeignText::new(text.clone()),
                    truncated: false,
                };
                let id = MessageId::new();
                let message = NewMessage {
                    id,
                    parent_id: Some(parent_id),
                    run_id: Some(run.id),
                    role: Role::Tool,
                    parts: vec![Part::ToolResult(part)],
                    client_message_id: None,
                    partial: false,
                    made: Made::default(),
                    seq: 0,
                };
                ledger::settle(tx, *call, OutcomeKind::Succeeded).await?;
                after.events.push(engine.announce_message(tx, &run, EventBody::ToolResult, message).await?);
                parent_id = id;
            }
            after.resume.push(engine.take(tx, run.id).await?);
            Ok(after)
        })
        .await
    }

    /// A run that crashed too often stops here until a person decides.
    pub(super) async fn quarantine(&self, owner: &Owner, lease: Lease) -> Result<(), ControlError> {
        self.change(owner, lease.run, async |engine, tx, run, thread| {
            let mut after = After::default();
            if run.fence == lease.fence && run.status == RunStatus::Running {
                runs::move_to(tx, run.id, RunStatus::Quarantined, 0, limits::LEASE).await?;
                let reason = Some("the server crashed twice while it worked on this run".to_owned());
                let body = EventBody::RunState { state: RunStateName::Quarantined, reason, parent_id: None };
                after.events.push(announce(tx, &run, body).await?);
                if let Some((hold, event)) = start_next(&engine.inner, tx, thread).await? {
                    after.events.push(event);
                    after.resume.push(hold);
                }
            }
            Ok(after)
        })
        .await
    }

    /// Locks thread and run, makes the change, publishes what it announces, and sees to it that the
    /// run's worker hears of it.
    pub(super) async fn change<F>(&self, owner: &Owner, run: RunId, change: F) -> Result<(), ControlError>
    where
        F: AsyncFnOnce(&Self, &mut Tx, Run, ThreadId) -> Result<After, StoreError>,
    {
        let thread = self.store().scoped(owner, async |tx| Ok(runs::load(tx, run).await?.thread_id)).await?;
        let order = self.inner.hub.order_of(thread);
        let ordered = order.lock().await;
        // A caller who gives up in here may leave a run without a worker: recovery looks at once.
        let unfinished = Unfinished(self);
        let (locked, after) = self
            .store()
            .scoped(owner, async |tx| {
                let locked: LockedThread = threads::lock(tx, thread).await?;
                let found = runs::lock(tx, run).await?;
                let after = change(self, tx, found, thread).await?;
                if let (Some(first), Some(last)) = (after.events.first(), after.events.last()) {
                    commit::wake_peers(&self.inner, tx, thread, first.seq, last.seq).await?;
                }
                if after.tell_worker && self.inner.has_peers() {
                    hints::send(tx, &format!("run {run}")).await?;
                }
                Ok((locked, after))
            })
            .await
            .map_err(refused)?;
        if !after.events.is_empty() {
            self.inner.hub.publish(owner, thread, locked.hidden, after.events);
        }
        drop(ordered);
        if after.tell_worker {
            self.inner.ring(run);
        }
        for hold in after.resume {
            self.resume(owner, hold).await;
        }
        std::mem::forget(unfinished);
        Ok(())
    }

    async fn take(&self, tx: &mut Tx, run: RunId) -> Result<Hold, StoreError> {
        let fence = runs::move_to(tx, run, RunStatus::Running, self.inner.parts.replica, limits::LEASE).await?;
        Ok(Hold::of(self, Lease { run, fence }))
    }

    async fn announce_message(
        &self,
        tx: &mut Tx,
        run: &Run,
        body: EventBody,
        message: NewMessage,
    ) -> Result<Event, StoreError> {
        let advance = Advance { events: 1, head_id: Some(message.id), usage: Usage::default() };
        let seq = threads::advance(tx, run.thread_id, advance).await?;
        let message = NewMessage { seq, ..message };
        messages::append(tx, run.thread_id, std::slice::from_ref(&message)).await?;
        events::append(tx, run.thread_id, &[event_row(seq, Some(run.id), &body, Some(message.id))?]).await?;
        let written = as_message(run.thread_id, message, self.inner.parts.clock.now());
        Ok(Event { seq, run_id: Some(run.id), body, messages: vec![Arc::clone(&written)] })
    }
}

/// Rings for recovery unless it is forgotten.
struct Unfinished<'a>(&'a Engine);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.inner.recovery.notify_one();
    }
}

const DECIDED: &str = "approval decided";
const ANSWERED: &str = "question answered";
const QUARANTINED: &str = "run quarantined";
const WAITING: &str = "run waiting";
pub(super) const NOT_QUEUED: &str = "run queued";

fn refused(error: StoreError) -> ControlError {
    match error {
        StoreError::Conflict(what) if what == DECIDED => ControlError::AlreadyDecided,
        StoreError::Conflict(what) if what == ANSWERED => ControlError::AlreadyAnswered,
        StoreError::Conflict(what) if what == QUARANTINED => ControlError::NotQuarantined,
        StoreError::Conflict(what) if what == WAITING => ControlError::NotWaiting,
        StoreError::Conflict(what) if what == NOT_QUEUED => ControlError::NotQueued,
        StoreError::Conflict(what) if what == NO_FILE || what.contains("file_id") => ControlError::NoFile,
        other => other.into(),
    }
}

/// Appends one event without a message. The thread must be locked.
pub(super) async fn announce(tx: &mut Tx, run: &Run, body: EventBody) -> Result<Event, StoreError> {
    let advance = Advance { events: 1, head_id: None, usage: Usage::default() };
    let seq = threads::advance(tx, run.thread_id, advance).await?;
    events::append(tx, run.thread_id, &[event_row(seq, Some(run.id), &body, None)?]).await?;
    Ok(Event { seq, run_id: Some(run.id), body, messages: Vec::new() })
}
