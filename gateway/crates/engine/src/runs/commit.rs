//! One commit of a run: result, checkpoint, ledger and events in one transaction under the lease,
//! then the events to whoever listens.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::{MessageId, QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::{Message, OutcomeKind, Part};
use adjutant_core::model::Usage;
use adjutant_core::prompt;
use adjutant_core::question::Question;
use adjutant_core::run::state::{Event as MachineEvent, RunState};
use adjutant_core::run::{checkpoint, machine};
use adjutant_core::scope::Owner;
use adjutant_store::approvals::NewApproval;
use adjutant_store::error::StoreError;
use adjutant_store::events::EventRow;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::messages::NewMessage;
use adjutant_store::questions::QuestionState;
use adjutant_store::runs::{Lease, Progress, RunStatus};
use adjutant_store::steps::ModelCallStep;
use adjutant_store::threads::Advance;
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, events, hints, ledger, messages, questions, runs, sent, steps, threads};
use chrono::{DateTime, Utc};

use super::driver::Context;
use super::hold::Hold;
use super::joining::{self, Joined};
use super::sent::SentRecord;
use crate::engine::Inner;
use crate::events::event::{Event, EventBody};

/// What one step of a run wants to keep.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) planned: Vec<LedgerRow>,
    pub(super) settled: Vec<(ToolCallId, OutcomeKind)>,
    pub(super) asked: Vec<NewApproval>,
    pub(super) questions: Vec<(QuestionId, ToolCallId, Question)>,
    /// Questions that nobody will answer any more.
    pub(super) closed: Vec<(QuestionId, QuestionState)>,
    /// Calls that asked questions and have their result now.
    pub(super) done_asking: Vec<ToolCallId>,
    /// A model call follows: messages that wait to join come in behind this one.
    pub(super) joins_behind: Option<MessageId>,
    pub(super) step: Option<ModelCallStep>,
    /// What the model was sent.
    pub(super) sent: Option<SentRecord>,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
    pub(super) error: Option<(String, String)>,
}

/// An event, and the message that it announces.
pub(super) struct Entry {
    pub(super) body: EventBody,
    /// Its `seq` is set by the commit.
    pub(super) message: Option<NewMessage>,
}

impl Batch {
    pub(super) fn event(&mut self, body: EventBody) {
        self.entries.push(Entry { body, message: None });
    }

    pub(super) fn message(&mut self, body: EventBody, message: NewMessage) {
        self.entries.push(Entry { body, message: Some(message) });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.planned.is_empty()
            && self.settled.is_empty()
            && self.closed.is_empty()
            && self.step.is_none()
    }
}

/// What a commit leaves behind.
pub(super) struct Committed {
    /// The messages it appended, in order, and those that joined.
    pub(super) messages: Vec<Arc<Message>>,
    /// The state that was kept: what joined may be text of others.
    pub(super) state: RunState,
    /// The state that was written: a run does not begin to wait for what has been answered already.
    pub(super) status: RunStatus,
    /// The queued run of this thread that may start now.
    pub(super) next: Option<Hold>,
    /// The thread is left out of lists: somebody may have kept it meanwhile.
    pub(super) hidden: bool,
}

/// Writes a batch under the lease. `FenceLost` means that somebody else has the run and nothing
/// was written.
pub(super) async fn commit(
    inner: &Arc<Inner>,
    context: &Context,
    state: &RunState,
    status: RunStatus,
    batch: Batch,
) -> Result<Committed, StoreError> {
    let owner = context.scope.owner();
    let order = inner.hub.order_of(context.thread);
    let _ordered = order.lock().await;
    let Written { published, joined, state, status, next, hidden } =
        inner.store().scoped(&owner, async |tx| write(inner, tx, context, state, status, &batch).await).await?;
    let own = published.iter().flat_map(|event| &event.messages).cloned();
    let messages = own.chain(joined).collect();
    inner.hub.publish(&owner, context.thread, hidden, published);
    Ok(Committed { messages, state, status, next, hidden })
}

struct Written {
    published: Vec<Event>,
    joined: Vec<Arc<Message>>,
    state: RunState,
    status: RunStatus,
    next: Option<Hold>,
    hidden: bool,
}

async fn write(
    inner: &Arc<Inner>,
    tx: &mut Tx,
    context: &Context,
    state: &RunState,
    wanted: RunStatus,
    batch: &Batch,
) -> Result<Written, StoreError> {
    let now = inner.parts.clock.now();
    let thread = context.thread;
    let run = context.lease.run;
    let mut status = wanted;
    if wanted == RunStatus::Waiting {
        // Under the thread's lock, which every decision takes too: either it is seen here, or it sees the run wait.
        threads::lock(tx, thread).await?;
        if is_answered(tx, run, state).await? {
            status = RunStatus::Running;
        }
    }
    let closed = close_questions(tx, thread, run, batch).await?;
    let kept = batch.entries.iter().filter(|entry| status == wanted || !entry.body.is_waiting());
    let entries: Vec<&Entry> = closed.iter().chain(kept).collect();
    let count = i64::try_from(entries.len()).map_err(StoreError::bug)?;
    let head_id = entries.iter().rev().find_map(|entry| entry.message.as_ref()).map(|message| message.id);
    // The thread first, then its runs: everybody locks in this order.
    let last = threads::advance(tx, thread, Advance { events: count, head_id, usage: batch.usage }).await?;
    let hidden = context.hidden && threads::is_hidden(tx, thread).await?;
    let first = last - count + 1;
    let took = settle(tx, context.lease, &batch.settled).await?;
    let mut rows = Vec::with_capacity(entries.len());
    let mut new_messages = Vec::new();
    let mut published = Vec::with_capacity(entries.len());
    for (seq, entry) in (first..).zip(entries) {
        let mut message = entry.message.clone().map(|message| NewMessage { seq, ..message });
        if let Some(message) = &mut message {
            message.made.took_ms = result_of(message).and_then(|call| took.get(&call).copied());
        }
        rows.push(event_row(seq, Some(run), &entry.body, message.as_ref().map(|message| message.id))?);
        let announced = message.iter().map(|message| as_message(thread, message.clone(), now)).collect();
        published.push(Event { seq, run_id: Some(run), body: entry.body.clone(), messages: announced });
        new_messages.extend(message);
    }
    messages::append(tx, thread, &new_messages).await?;
    // What joins stands behind them, and what it brings belongs into the checkpoint.
    let tip = head_id.or(batch.joins_behind).filter(|_| batch.joins_behind.is_some() && status == RunStatus::Running);
    let joined = match tip {
        Some(tip) => joining::take_in(tx, thread, run, Some(tip)).await?,
        None => Joined::default(),
    };
    let mut state = state.clone();
    if !joined.messages.is_empty() {
        let read_foreign_text = prompt::holds_foreign_text(&joined.messages);
        (state, _) = machine::step(state, MachineEvent::Joined { read_foreign_text });
    }
    let checkpoint = checkpoint::save(&state).map_err(StoreError::bug)?;
    let progress = Progress {
        status,
        checkpoint: &checkpoint,
        model: batch.model.as_deref(),
        usage: batch.usage,
        error: batch.error.as_ref().map(|(code, message)| (code.as_str(), message.as_str())),
    };
    runs::advance(tx, context.lease, &progress).await?;

    for row in &batch.planned {
        ledger::plan(tx, row).await?;
    }
    for new in &batch.asked {
        approvals::insert(tx, run, new).await?;
    }
    for (id, call, question) in &batch.questions {
        questions::insert(tx, *id, run, *call, question).await?;
    }
    events::append(tx, thread, &rows).await?;
    if let Some(step) = &batch.step {
        steps::insert(tx, run, step).await?;
    }
    if let Some(SentRecord { step, pieces }) = &batch.sent {
        sent::record(tx, thread, run, step, pieces).await?;
    }
    published.extend(joined.events);
    let mut next = None;
    if status.is_final() {
        approvals::withdraw(tx, run).await?;
        questions::withdraw(tx, run, None).await?;
        if let Some((hold, event)) = start_next(inner, tx, thread).await? {
            published.push(event);
            next = Some(hold);
        }
    }
    if let (Some(first), Some(last)) = (published.first(), published.last()) {
        wake_peers(inner, tx, thread, first.seq, last.seq).await?;
    }
    Ok(Written { published, joined: joined.messages, state, status, next, hidden })
}

/// Ends calls that have their results. Returns how long each took of those that were started.
async fn settle(
    tx: &mut Tx,
    lease: Lease,
    settled: &[(ToolCallId, OutcomeKind)],
) -> Result<HashMap<ToolCallId, u64>, StoreError> {
    let mut took = HashMap::new();
    if !settled.is_empty() {
        // The run before its calls, as whoever lets them start locks them.
        runs::hold(tx, lease).await?;
    }
    for (call, outcome) in settled {
        if let Some(milliseconds) = ledger::settle(tx, *call, *outcome).await? {
            took.insert(*call, milliseconds);
        }
    }
    Ok(took)
}

/// The call whose result the message is.
fn result_of(message: &NewMessage) -> Option<ToolCallId> {
    message.parts.iter().find_map(|part| match part {
        Part::ToolResult(result) => Some(result.call_id),
        _ => None,
    })
}

/// Ends questions that nobody answered before; one that somebody did answer keeps its answer.
async fn close_questions(tx: &mut Tx, thread: ThreadId, run: RunId, batch: &Batch) -> Result<Vec<Entry>, StoreError> {
    if batch.closed.is_empty() && batch.done_asking.is_empty() {
        return Ok(Vec::new());
    }
    threads::lock(tx, thread).await?;
    let mut ended = Vec::new();
    for (id, state) in &batch.closed {
        if let Some(call) = questions::close(tx, *id, *state, None).await? {
            ended.push((*id, call, *state));
        }
    }
    for call in &batch.done_asking {
        let withdrawn = questions::withdraw(tx, run, Some(*call)).await?;
        ended.extend(withdrawn.into_iter().map(|(id, call)| (id, call, QuestionState::Withdrawn)));
    }
    let entry = |(question_id, tool_call_id, state): (QuestionId, ToolCallId, QuestionState)| Entry {
        body: EventBody::QuestionAnswered { question_id, tool_call_id, action: state.as_str().to_owned() },
        message: None,
    };
    Ok(ended.into_iter().map(entry).collect())
}

/// Whether a person cancelled the run, or decided what this state of it still asks.
async fn is_answered(tx: &mut Tx, run: RunId, state: &RunState) -> Result<bool, StoreError> {
    if runs::load(tx, run).await?.cancel_requested {
        return Ok(true);
    }
    let decided = approvals::of_run(tx, run).await?;
    Ok(decided.iter().any(|approval| approval.decision.is_some() && state.asks(approval.tool_call_id)))
}

/// Gives the oldest queued run of a free thread to this replica. The thread must be locked.
pub(super) async fn start_next(
    inner: &Arc<Inner>,
    tx: &mut Tx,
    thread: ThreadId,
) -> Result<Option<(Hold, Event)>, StoreError> {
    let Some(id) = runs::next_queued(tx, thread).await? else { return Ok(None) };
    let fence = runs::move_to(tx, id, RunStatus::Running, inner.parts.replica, limits::LEASE).await?;
    let lease = Lease { run: id, fence };
    let event = begin(inner, tx, thread, lease).await?;
    Ok(Some((Hold::new(inner, lease), event)))
}

/// Gives a run that was queued its place in the tree and its first state. The thread must be locked
/// and the run be under this lease.
pub(super) async fn begin(inner: &Inner, tx: &mut Tx, thread: ThreadId, lease: Lease) -> Result<Event, StoreError> {
    let run = runs::load(tx, lease.run).await?;
    let mut parent_id = None;
    let mut head_id = None;
    if run.checkpoint.is_none() {
        if !run.explicit_parent
            && let Some(first) = messages::unplaced_of_run(tx, thread, run.id).await?
        {
            parent_id = threads::lock(tx, thread).await?.head_id;
            messages::set_parent(tx, thread, first, parent_id).await?;
        }
        head_id = Some(run.message_id);
        let state = RunState::new(MessageId::new(), inner.parts.run_limits);
        let progress = Progress {
            status: RunStatus::Running,
            checkpoint: &checkpoint::save(&state).map_err(StoreError::bug)?,
            model: None,
            usage: Usage::default(),
            error: None,
        };
        runs::advance(tx, lease, &progress).await?;
    }
    let body = EventBody::RunState { state: crate::events::event::RunStateName::Running, reason: None, parent_id };
    let seq = threads::advance(tx, thread, Advance { events: 1, head_id, usage: Usage::default() }).await?;
    events::append(tx, thread, &[event_row(seq, Some(lease.run), &body, None)?]).await?;
    Ok(Event { seq, run_id: Some(lease.run), body, messages: Vec::new() })
}

pub(crate) fn event_row(
    seq: i64,
    run_id: Option<RunId>,
    body: &EventBody,
    message_id: Option<MessageId>,
) -> Result<EventRow, StoreError> {
    let payload = serde_json::to_value(body).map_err(StoreError::bug)?;
    Ok(EventRow { seq, run_id, kind: body.kind().to_owned(), payload, message_id })
}

pub(super) fn as_message(thread_id: ThreadId, new: NewMessage, created_at: DateTime<Utc>) -> Arc<Message> {
    Arc::new(Message {
        id: new.id,
        thread_id,
        parent_id: new.parent_id,
        run_id: new.run_id,
        role: new.role,
        parts: new.parts,
        client_message_id: new.client_message_id,
        seq: new.seq,
        created_at,
        partial: new.partial,
        made: new.made,
    })
}

/// Tells other replicas, if there are any, which numbers of a thread are new. A hint: losing it
/// costs time, never an event.
pub(crate) async fn wake_peers(
    inner: &Inner,
    tx: &mut Tx,
    thread: ThreadId,
    first: i64,
    last: i64,
) -> Result<(), StoreError> {
    if !inner.has_peers() {
        return Ok(());
    }
    let owner = owner_mark(tx.owner());
    hints::send(tx, &format!("thread {thread} {owner:016x} {first} {last} {}", inner.parts.replica)).await
}

/// An opaque mark of an owner, equal on all replicas, so that a replica without listeners of that
/// owner need not ask the store.
pub(crate) fn owner_mark(owner: &Owner) -> u64 {
    let bytes = owner.user.as_str().bytes().chain([0]).chain(owner.profile.as_str().bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
