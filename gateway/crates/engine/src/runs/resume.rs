//! Taking a run up again from its last commit: after a crash, a hand-over, a decision or a turn in
//! the queue.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::message::{Message, Role};
use adjutant_core::prompt;
use adjutant_core::run::checkpoint;
use adjutant_core::run::state::{Event as MachineEvent, Phase, Recorded, RunState};
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::{CallState, LedgerRow};
use adjutant_store::questions::QuestionState;
use adjutant_store::runs::{Lease, Run, RunStatus};
use adjutant_store::summaries::Summary;
use adjutant_store::tx::Tx;
use adjutant_store::{ledger, messages, questions, runs, threads};

use super::assistant::{self, Loaded, RIGHTS_LOST};
use super::commit;
use super::control::announce;
use super::driver::{Context, Driver};
use super::hold::Hold;
use super::joining;
use super::past::Past;
use super::rules::Rules;
use crate::engine::Engine;
use crate::events::event::{Event, EventBody};

/// All that a worker needs, read in one transaction.
struct Found {
    run: Run,
    hidden: bool,
    state: RunState,
    ledger: Vec<LedgerRow>,
    summary: Option<Summary>,
    tail: Vec<Message>,
    loaded: Loaded,
    rules: Rules,
    /// The thread holds text of others, on whatever branch.
    foreign: bool,
    /// What this taking up announces: that the run has begun, what joined it, what it no longer asks.
    events: Vec<Event>,
}

impl Engine {
    /// Starts a worker for a run that this replica holds. What goes wrong here is left to recovery.
    pub(crate) async fn resume(&self, owner: &Owner, hold: Hold) {
        let lease = hold.lease();
        let taken = match self.find(owner, lease).await {
            Ok(found) => self.work_on(hold, found).await,
            Err(error) => {
                hold.settle();
                Err(error)
            }
        };
        match taken {
            Ok(()) | Err(StoreError::FenceLost | StoreError::NotFound) => {}
            Err(error) => {
                tracing::warn!(run.id = %lease.run, error = ?error, "the run could not be taken up yet");
                if !matches!(error, StoreError::Unavailable(_)) {
                    self.inner.panicked.lock().insert(lease.run);
                }
                self.inner.recovery.notify_one();
            }
        }
    }

    async fn find(&self, owner: &Owner, lease: Lease) -> Result<Found, StoreError> {
        let thread = self.store().scoped(owner, async |tx| Ok(runs::load(tx, lease.run).await?.thread_id)).await?;
        let order = self.inner.hub.order_of(thread);
        let _ordered = order.lock().await;
        let found = self.store().scoped(owner, async |tx| self.read(tx, thread, lease).await).await?;
        if !found.events.is_empty() {
            self.hub().publish(owner, thread, found.hidden, found.events.clone());
        }
        Ok(found)
    }

    async fn read(&self, tx: &mut Tx, thread: adjutant_core::ids::ThreadId, lease: Lease) -> Result<Found, StoreError> {
        let locked = threads::lock(tx, thread).await?;
        let mut run = runs::load(tx, lease.run).await?;
        if run.fence != lease.fence || run.status != RunStatus::Running {
            return Err(StoreError::FenceLost);
        }
        let mut events = Vec::new();
        if run.checkpoint.is_none() {
            let event = commit::begin(&self.inner, tx, thread, lease).await?;
            events.push(event);
            run = runs::load(tx, lease.run).await?;
        }
        let saved = run.checkpoint.clone().ok_or_else(|| StoreError::bug("a run without a checkpoint"))?;
        let state = checkpoint::load(saved).map_err(StoreError::bug)?;
        events.extend(take_back(tx, &run).await?);
        let mut tip = match messages::last_of_run(tx, thread, lease.run).await {
            // A run that answers an existing message has none of its own before its first answer.
            Err(StoreError::NotFound) => run.message_id,
            found => found?,
        };
        if matches!(state.phase, Phase::Ready | Phase::Thinking) {
            let joined = joining::take_in(tx, thread, lease.run, Some(tip)).await?;
            tip = joined.messages.last().map_or(tip, |message| message.id);
            events.extend(joined.events);
        }
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            commit::wake_peers(&self.inner, tx, thread, first.seq, last.seq).await?;
        }
        let past = Past::load(tx, thread, &locked, tip, Some(run.message_id)).await?;
        let brings_foreign_text = past.brings_foreign_text();
        let Past { summary, mut tail } = past;
        if !tail.iter().any(|message| message.id == run.message_id) {
            // So long a run: what it was asked always stays.
            let asked = messages::tail(tx, thread, run.message_id, 1).await?;
            tail.splice(..0, asked);
        }
        let ledger = ledger::of_run(tx, lease.run).await?;
        let loaded = assistant::load_again(tx, &self.inner.parts, &run).await?;
        let rules = Rules::to_offer(tx).await?;
        let foreign = brings_foreign_text || messages::hold_foreign_text(tx, thread).await?;
        Ok(Found { run, hidden: locked.hidden, state, ledger, summary, tail, loaded, rules, foreign, events })
    }

    async fn work_on(&self, hold: Hold, found: Found) -> Result<(), StoreError> {
        let Found { run, hidden, state, ledger, summary, tail, loaded, rules, foreign, events: _ } = found;
        let tail: Vec<Arc<Message>> = tail.into_iter().map(Arc::new).collect();
        let read_foreign_text = foreign || prompt::holds_foreign_text(&tail);
        let event = match state.phase {
            _ if !loaded.is_active => {
                let (code, message) = RIGHTS_LOST;
                let (code, message) = (code.to_owned(), message.to_owned());
                MachineEvent::Refused { ledger: recorded(&ledger), code, message }
            }
            Phase::Ready => MachineEvent::Begun { read_foreign_text },
            _ => MachineEvent::Recovered { ledger: recorded(&ledger), read_foreign_text },
        };
        let Loaded { scope, assistant, .. } = loaded;
        let context = Context {
            scope,
            thread: run.thread_id,
            hidden,
            lease: hold.lease(),
            agent: run.agent,
            request: serde_json::from_value(run.request).unwrap_or_default(),
        };
        let mut driver = Driver::new(self.clone(), context, assistant, state, tail, hold.bell());
        driver.rules = rules;
        driver.summary = summary.map(|summary| summary.text);
        driver.provider_ids = provider_ids(&driver.tail);
        driver.calls = ledger.into_iter().map(|row| (row.id, row)).collect();
        // A decision or a cancel may have come while nobody worked on the run.
        let mut events = vec![event];
        events.extend(driver.told().await?);
        driver.start(hold, events, None);
        Ok(())
    }
}

/// Takes back what the worker before this one asked: the calls that would hear the answer are gone.
async fn take_back(tx: &mut Tx, run: &Run) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    for (question_id, tool_call_id) in questions::withdraw(tx, run.id, None).await? {
        let action = QuestionState::Withdrawn.as_str().to_owned();
        events.push(announce(tx, run, EventBody::QuestionAnswered { question_id, tool_call_id, action }).await?);
    }
    Ok(events)
}

pub(super) fn recorded(ledger: &[LedgerRow]) -> Vec<(adjutant_core::ids::ToolCallId, Recorded)> {
    let state = |row: &LedgerRow| match row.state {
        CallState::Planned => Recorded::Planned,
        CallState::Asking => Recorded::Asking,
        CallState::Started => Recorded::Started,
        CallState::Ended(_) => Recorded::Settled,
    };
    ledger.iter().map(|row| (row.id, state(row))).collect()
}

/// What the provider calls the calls of the newest answer.
fn provider_ids(tail: &[Arc<Message>]) -> HashMap<adjutant_core::ids::ToolCallId, String> {
    let newest = tail.iter().rev().find(|message| message.role == Role::Assistant);
    newest
        .into_iter()
        .flat_map(|message| message.tool_calls())
        .map(|call| (call.id, call.provider_id.clone()))
        .collect()
}
