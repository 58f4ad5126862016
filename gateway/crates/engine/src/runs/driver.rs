//! The worker of one run: feeds events to the machine, commits what follows, performs what is wanted.
//! It decides nothing that the machine could decide.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::ids::{ApprovalId, MessageId, ToolCallId};
use adjutant_core::message::{ForeignText, Made, Message, OutcomeKind, Part, Role, ToolResultPart};
use adjutant_core::run::consent::Why;
use adjutant_core::run::machine;
use adjutant_core::run::state::{CallStatus, Effect, Event as MachineEvent, Outcome, Phase, RunState};
use adjutant_core::scope::Scope;
use adjutant_core::tool::ToolCatalogue;
use adjutant_store::approvals::NewApproval;
use adjutant_store::consents::Definition;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::{CallState, LedgerRow, Target};
use adjutant_store::messages::NewMessage;
use adjutant_store::runs::{Lease, RunStatus};
use adjutant_store::sent::PieceDigest;
use adjutant_store::{ledger, runs, users};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::acting::{Running, Settled};
use super::assistant::{Assistant, RIGHTS_LOST};
use super::commit::{self, Batch};
use super::hold::Hold;
use super::resume::recorded;
use super::rules::Rules;
use super::submission::RunRequest;
use super::thinking::Thought;
use crate::engine::Engine;
use crate::events::event::{EventBody, FinishedOutcome, RunStateName};

/// What does not change while a worker has the run.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) scope: Scope,
    pub(super) thread: adjutant_core::ids::ThreadId,
    pub(super) hidden: bool,
    pub(super) lease: Lease,
    pub(super) agent: String,
    pub(super) request: RunRequest,
}

pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) context: Context,
    pub(super) assistant: Arc<Assistant>,
    pub(super) state: RunState,
    /// What stands for the messages before the tail.
    pub(super) summary: Option<String>,
    /// The branch so far, bounded, oldest first.
    pub(super) tail: Vec<Arc<Message>>,
    /// The calls of the current answer.
    pub(super) calls: HashMap<ToolCallId, LedgerRow>,
    /// What the provider calls them.
    pub(super) provider_ids: HashMap<ToolCallId, String>,
    pub(super) catalogue: Option<ToolCatalogue>,
    /// Pieces of what was sent to the model that are stored for sure.
    pub(super) stored_pieces: HashSet<PieceDigest>,
    pub(super) rules: Rules,
    /// What the tools of the current calls were when the model called them.
    pub(super) definitions: HashMap<ToolCallId, Definition>,
    pub(super) bell: Arc<Notify>,
    /// When a stopping server no longer waits for this run's tools.
    pub(super) drained_by: Option<Instant>,
    /// Since when working time has not been added to the state.
    counted: Instant,
    /// A person is asked: the time that passes is theirs.
    paused: bool,
}

/// How a worker let go of its run.
enum Left {
    /// The run ended; the queue's next run may start.
    Ended { next: Option<Hold> },
    /// For a person, or for the caller of the API.
    Waiting,
    /// Its commit failed or was never made: whether the run exists is for recovery to find out.
    Unborn,
    /// Handed over because the server stops.
    Released,
}

/// What the effects of one step come down to.
#[derive(Default)]
struct Wanted {
    model: bool,
    tools: Vec<ToolCallId>,
    status: Option<RunStatus>,
}

impl Driver {
    pub(super) fn new(
        engine: Engine,
        context: Context,
        assistant: Assistant,
        state: RunState,
        tail: Vec<Arc<Message>>,
        bell: Arc<Notify>,
    ) -> Self {
        Self {
            engine,
            context,
            assistant: Arc::new(assistant),
            state,
            summary: None,
            tail,
            calls: HashMap::new(),
            provider_ids: HashMap::new(),
            catalogue: None,
            stored_pieces: HashSet::new(),
            rules: Rules::default(),
            definitions: HashMap::new(),
            bell,
            drained_by: None,
            counted: Instant::now(),
            paused: false,
        }
    }

    /// Starts the worker. With a gate it may talk to the model but publish and commit nothing until
    /// the gate opens.
    pub(super) fn start(self, mut hold: Hold, events: Vec<MachineEvent>, gate: Option<oneshot::Receiver<()>>) {
        hold.work(self.context.scope.owner(), self.context.thread);
        let supervisor = self.engine.supervisor().clone();
        supervisor.spawn("run", self.live(events.into(), gate, hold));
    }

    async fn live(mut self, events: VecDeque<MachineEvent>, gate: Option<oneshot::Receiver<()>>, hold: Hold) {
        let Ok(_place) = Arc::clone(&self.engine.inner.places).acquire_owned().await else { return };
        let run = self.context.lease.run;
        match self.work(events, gate).await {
            Ok(Left::Ended { next }) => {
                hold.settle();
                self.give_title();
                if let Some(next) = next {
                    self.engine.resume(&self.context.scope.owner(), next).await;
                }
            }
            Ok(Left::Waiting | Left::Released) => hold.settle(),
            Ok(Left::Unborn) => hold.interrupt(),
            Err(StoreError::FenceLost) => {
                tracing::info!(run.id = %run, "another replica has the run");
                hold.settle();
            }
            Err(StoreError::NotFound) => {
                tracing::info!(run.id = %run, "the run was deleted with its user");
                hold.settle();
            }
            Err(error @ StoreError::Unavailable(_)) => {
                tracing::warn!(run.id = %run, %error, "the run is interrupted until the database is back");
                hold.interrupt();
            }
            Err(error) => tracing::error!(run.id = %run, error = ?error, "the run's worker failed"),
        }
    }

    async fn work(
        &mut self,
        mut events: VecDeque<MachineEvent>,
        mut gate: Option<oneshot::Receiver<()>>,
    ) -> Result<Left, StoreError> {
        let mut running = Running::default();
        let mut wants_model = false;
        loop {
            let (event, batch) = if let Some(event) = events.pop_front() {
                (event, Batch::default())
            } else if wants_model {
                wants_model = false;
                match self.think(gate.take()).await? {
                    Thought::Happened(event, batch) => (event, *batch),
                    Thought::Unborn => return Ok(Left::Unborn),
                    Thought::Stopping => return self.release().await,
                }
            } else {
                match self.next_settled(&mut running).await? {
                    Settled::Call(event, batch) => (event, *batch),
                    Settled::Told(told) => {
                        events.extend(told);
                        continue;
                    }
                    Settled::Stopping => return self.release().await,
                }
            };
            let (state, effects) = machine::step(self.state.clone(), event);
            self.state = state;
            let (wanted, next) = self.keep(effects, batch, events.is_empty()).await?;
            if self.is_finished() {
                return Ok(Left::Ended { next });
            }
            match wanted.status {
                Some(RunStatus::Waiting) => return Ok(Left::Waiting),
                // What the run was about to wait for is there.
                Some(RunStatus::Running) => events.extend(self.told().await?),
                _ => {}
            }
            wants_model |= wanted.model;
            events.extend(self.begin_calls(&wanted.tools, &mut running).await?);
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.state.phase, Phase::Finished { .. })
    }

    /// Turns effects into what must be kept, and commits it. The run waits only when the machine has
    /// heard everything.
    async fn keep(
        &mut self,
        effects: Vec<Effect>,
        mut batch: Batch,
        heard_all: bool,
    ) -> Result<(Wanted, Option<Hold>), StoreError> {
        let mut wanted = Wanted::default();
        for effect in effects {
            match effect {
                Effect::CallModel => wanted.model = true,
                Effect::RunTool { call } => {
                    wanted.tools.push(call);
                    if let Some(row) = batch.planned.iter_mut().find(|row| row.id == call && row.repeatable) {
                        row.state = CallState::Started;
                    }
                }
                Effect::AskApproval { call, why } => self.ask(call, why, &mut batch),
                Effect::Settle { call, outcome, text } => {
                    self.settle(call, outcome, ForeignText::new(text), false, &mut batch);
                }
                // Looked up below: what it heard last may have changed nothing.
                Effect::Wait => {}
                Effect::Finish { outcome } => wanted.status = Some(self.finish(outcome, &mut batch)),
            }
        }
        if heard_all && self.state.waits() {
            wanted.status = Some(RunStatus::Waiting);
            batch.event(EventBody::RunState {
                state: RunStateName::Waiting,
                reason: Some(self.waits_for().to_owned()),
                parent_id: None,
            });
        }
        if wanted.model {
            batch.joins_behind = self.tail.last().map(|message| message.id);
        }
        if batch.is_empty() && wanted.status.is_none() {
            return Ok((wanted, None));
        }
        let planned: Vec<LedgerRow> = batch.planned.clone();
        let pieces: Vec<PieceDigest> =
            batch.sent.iter().flat_map(|sent| &sent.pieces).map(|piece| piece.digest).collect();
        self.count_time();
        let status = wanted.status.unwrap_or(RunStatus::Running);
        let committed = commit::commit(&self.engine.inner, &self.context, &self.state, status, batch).await?;
        self.context.hidden = committed.hidden;
        wanted.status = wanted.status.map(|_| committed.status);
        self.state = committed.state;
        self.tail.extend(committed.messages);
        self.stored_pieces.extend(pieces);
        for row in planned {
            self.calls.insert(row.id, row);
        }
        Ok((wanted, committed.next))
    }

    fn ask(&self, call: ToolCallId, why: Why, batch: &mut Batch) {
        let Some(row) = batch.planned.iter_mut().find(|row| row.id == call) else { return };
        row.state = CallState::Asking;
        let Target::Server { server, tool } = row.target.clone() else { return };
        let approval_id = ApprovalId::new();
        let body = EventBody::ApprovalRequested {
            approval_id,
            tool_call_id: call,
            name: row.name.clone(),
            server,
            tool,
            arguments: row.arguments.clone(),
            risk: row.risk,
            why: Some(why),
        };
        let definition = self.definitions.get(&call).copied();
        batch.asked.push(NewApproval { id: approval_id, call, definition, why });
        batch.event(body);
    }

    /// Gives a call its one result.
    pub(super) fn settle(
        &self,
        call: ToolCallId,
        outcome: OutcomeKind,
        content: ForeignText,
        truncated: bool,
        batch: &mut Batch,
    ) {
        let name = match batch.planned.iter_mut().find(|row| row.id == call) {
            Some(row) => {
                row.state = CallState::Ended(outcome);
                row.name.clone()
            }
            None => {
                batch.settled.push((call, outcome));
                self.calls.get(&call).map(|row| row.name.clone()).unwrap_or_default()
            }
        };
        let provider_id = self.provider_ids.get(&call).cloned().unwrap_or_else(|| call.to_string());
        let part = ToolResultPart { call_id: call, provider_id, name, outcome, content, truncated };
        let message = self.next_message(MessageId::new(), Role::Tool, vec![Part::ToolResult(part)], batch);
        batch.message(EventBody::ToolResult, message);
    }

    /// A message that follows the newest one of this run.
    pub(super) fn next_message(&self, id: MessageId, role: Role, parts: Vec<Part>, batch: &Batch) -> NewMessage {
        let in_batch = batch.entries.iter().rev().find_map(|entry| entry.message.as_ref()).map(|message| message.id);
        NewMessage {
            id,
            parent_id: in_batch.or_else(|| self.tail.last().map(|message| message.id)),
            run_id: Some(self.context.lease.run),
            role,
            parts,
            client_message_id: None,
            partial: false,
            made: Made::default(),
            seq: 0,
        }
    }

    fn finish(&self, outcome: Outcome, batch: &mut Batch) -> RunStatus {
        let usage = self.state.usage;
        match outcome {
            Outcome::Failed { code, message } => {
                batch.event(EventBody::RunFailed { code: code.clone(), message: message.clone(), usage });
                batch.error = Some((code, message));
                RunStatus::Failed
            }
            Outcome::Succeeded => {
                let outcome = FinishedOutcome::Success;
                batch.event(EventBody::RunFinished { outcome, model: batch.model.clone(), usage });
                RunStatus::Succeeded
            }
            Outcome::Cancelled => {
                let outcome = FinishedOutcome::Cancelled;
                batch.event(EventBody::RunFinished { outcome, model: batch.model.clone(), usage });
                RunStatus::Cancelled
            }
        }
    }

    fn waits_for(&self) -> &'static str {
        let Phase::Acting { calls } = &self.state.phase else { return "nothing" };
        if calls.iter().any(|call| call.status == CallStatus::Asking) { "approval" } else { "caller" }
    }

    /// Commits that the calls start, before a byte of them leaves; then lets them run. Nothing leaves for a
    /// run that has lost its rights: the event says so.
    async fn begin_calls(
        &mut self,
        calls: &[ToolCallId],
        running: &mut Running,
    ) -> Result<Option<MachineEvent>, StoreError> {
        if calls.is_empty() {
            return Ok(None);
        }
        let unrecorded: Vec<ToolCallId> = calls
            .iter()
            .copied()
            .filter(|call| self.calls.get(call).is_none_or(|row| row.state != CallState::Started || row.tries > 0))
            .collect();
        let lease = self.context.lease;
        let (starting, key) = (&unrecorded, self.context.scope.key.as_deref());
        let refused = self
            .engine
            .store()
            .scoped(&self.context.scope.owner(), async |tx| {
                if !users::rights(tx, key).await?.is_active {
                    return Ok(Some(ledger::of_run(tx, lease.run).await?));
                }
                if !starting.is_empty() {
                    runs::hold(tx, lease).await?;
                    ledger::start(tx, starting).await?;
                }
                Ok(None)
            })
            .await?;
        if let Some(mut rows) = refused {
            // Those that may be repeated are recorded with their answer, before anything leaves.
            rows.iter_mut().filter(|row| calls.contains(&row.id)).for_each(|row| row.state = CallState::Planned);
            let (code, message) = RIGHTS_LOST;
            let (code, message) = (code.to_owned(), message.to_owned());
            return Ok(Some(MachineEvent::Refused { ledger: recorded(&rows), code, message }));
        }
        for call in calls {
            if let Some(row) = self.calls.get(call) {
                running.begin(&self.engine, &self.context.scope, row);
            }
        }
        Ok(None)
    }

    async fn release(&mut self) -> Result<Left, StoreError> {
        let lease = self.context.lease;
        self.engine.store().scoped(&self.context.scope.owner(), async |tx| runs::release(tx, lease).await).await?;
        Ok(Left::Released)
    }

    /// Adds the working time since the last count to the state.
    fn count_time(&mut self) {
        let now = Instant::now();
        if self.paused {
            self.counted = now;
            return;
        }
        let spent = u64::try_from(now.duration_since(self.counted).as_millis()).unwrap_or(u64::MAX);
        self.state.active_ms = self.state.active_ms.saturating_add(spent);
        self.counted = now;
    }

    /// From here on the time is not the run's.
    pub(super) fn pause(&mut self) {
        self.count_time();
        self.paused = true;
    }

    /// The run works again.
    pub(super) fn go_on(&mut self) {
        self.count_time();
        self.paused = false;
    }

    /// When this run's working time is over.
    pub(super) fn deadline(&self) -> Instant {
        if self.paused {
            return Instant::now() + Duration::from_millis(DEADLINE_MAX);
        }
        let left = self.state.limits.active_ms.saturating_sub(self.state.active_ms);
        self.counted + Duration::from_millis(left.min(DEADLINE_MAX))
    }
}

const DEADLINE_MAX: u64 = 7 * 24 * 3_600_000;
