//! Going on with a thread: which messages of the request are new to it. The client's last answer must
//! be the thread's, else the two have parted and nothing is appended.

use std::sync::Arc;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Role};
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::runs::{Run, RunStatus};
use adjutant_store::tx::Tx;
use adjutant_store::{ledger, messages, runs, threads};

use super::failure::Failure;
use super::history::{Body, Entry};
use super::visible::joined;
use super::waiting;

/// The end of a thread's active branch.
struct Tip {
    tail: Vec<Arc<Message>>,
    /// The run of the newest message, with its calls if it waits.
    newest: Option<(Run, Vec<LedgerRow>)>,
}

/// What is to be appended to the thread. A run that is going there will be waited for; one that waits
/// itself is told of, because nothing would be answered before it.
pub(in crate::http) async fn new_entries(
    engine: &Engine,
    owner: &Owner,
    thread: ThreadId,
    mut entries: Vec<Entry>,
) -> Result<Vec<Entry>, Failure> {
    let tip = engine.store().scoped(owner, async |tx| read(tx, thread).await).await.map_err(|error| match error {
        StoreError::NotFound => Failure::no_thread(),
        other => other.into(),
    })?;
    if let Some((run, calls)) = &tip.newest
        && run.status == RunStatus::Waiting
    {
        return Err(waits(run.id, calls));
    }
    let last_answer = entries.iter().rposition(|entry| matches!(entry.body, Body::Assistant { .. }));
    let new = match last_answer {
        Some(index) => {
            let new = entries.split_off(index + 1);
            let Some(Entry { body: Body::Assistant { text, .. }, .. }) = entries.last() else { return Ok(new) };
            if !tip.ended_with(text.trim()) {
                return Err(parted("the last assistant message of the request is not the thread's last answer"));
            }
            new
        }
        None => {
            entries.retain(|entry| !matches!(entry.body, Body::System(_)));
            entries
        }
    };
    if new.iter().any(|entry| matches!(entry.body, Body::Tool { .. })) {
        return Err(parted("the thread does not wait for these tool results"));
    }
    Ok(new)
}

pub(super) fn parted(why: &'static str) -> Failure {
    Failure::conflict("thread_conflict", why)
}

fn waits(run: RunId, calls: &[LedgerRow]) -> Failure {
    let open = waiting::with_caller(calls);
    let message = match waiting::consent(run, calls) {
        Some(notice) => notice,
        None => {
            let ids: Vec<String> = open.iter().map(|call| waiting::shown(call.id)).collect();
            format!("the thread waits for the results of {}: send them, or cancel run {run}", ids.join(", "))
        }
    };
    Failure::conflict("thread_waiting", message)
}

async fn read(tx: &mut Tx, thread: ThreadId) -> Result<Tip, StoreError> {
    let Some(head) = threads::lock(tx, thread).await?.head_id else {
        return Ok(Tip { tail: Vec::new(), newest: None });
    };
    let tail = messages::tail(tx, thread, head, limits::TAIL_MESSAGES).await?;
    let mut newest = None;
    if let Some(id) = tail.last().and_then(|message| message.run_id) {
        let run = runs::load(tx, id).await?;
        let calls = if run.status == RunStatus::Waiting { ledger::of_run(tx, id).await? } else { Vec::new() };
        newest = Some((run, calls));
    }
    Ok(Tip { tail: tail.into_iter().map(Arc::new).collect(), newest })
}

impl Tip {
    /// Whether a client that saw the thread's last answer may have this text of it.
    fn ended_with(&self, said: &str) -> bool {
        let Some((run, _)) = &self.newest else { return false };
        if waiting::notice_in(said) == Some(run.id) {
            return true;
        }
        let earlier = before(&self.tail, run.id);
        match run.status {
            RunStatus::Succeeded => ends_with(&self.tail, said),
            // What it wrote is not complete: a client may keep it or not.
            RunStatus::Failed | RunStatus::Cancelled | RunStatus::Discarded | RunStatus::Joined => {
                ends_with(&self.tail, said) || ends_with(earlier, said)
            }
            RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Quarantined => {
                ends_with(earlier, said)
            }
        }
    }
}

/// The messages that stand before those of a run.
fn before(tail: &[Arc<Message>], run: RunId) -> &[Arc<Message>] {
    let first = tail.iter().position(|message| message.run_id == Some(run)).unwrap_or(tail.len());
    &tail[..first]
}

/// Whether the last answer is this text. It may be that of several model calls, of which a client may
/// have seen the last ones only: a response begins anew when the caller has run a tool.
fn ends_with(tail: &[Arc<Message>], said: &str) -> bool {
    let unanswered = |message: &&Arc<Message>| matches!(message.role, Role::User | Role::System);
    let answer = tail.iter().rev().skip_while(unanswered).take_while(|message| !unanswered(message));
    let mut texts: Vec<String> =
        answer.filter(|message| message.role == Role::Assistant).map(|message| message.text()).collect();
    texts.reverse();
    let said_by = |from: usize| joined(texts[from..].iter().map(String::as_str)).trim() == said;
    (0..texts.len()).any(said_by)
}

#[cfg(test)]
mod tests {
    use adjutant_core::ids::MessageId;
    use adjutant_core::message::Part;
    use chrono::DateTime;

    use super::*;

    fn message(run: RunId, role: Role, text: &str) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId::new(),
            thread_id: ThreadId::new(),
            parent_id: None,
            run_id: Some(run),
            role,
            parts: vec![Part::text(text)],
            client_message_id: None,
            seq: 1,
            created_at: DateTime::UNIX_EPOCH,
            partial: false,
            made: adjutant_core::message::Made::default(),
        })
    }

    #[test]
    fn the_last_answer_is_known_whole_and_by_its_end() {
        let run = RunId::new();
        let tail = [
            message(run, Role::User, "add"),
            message(run, Role::Assistant, "First."),
            message(run, Role::Tool, ""),
            message(run, Role::Assistant, ""),
            message(run, Role::Tool, ""),
            message(run, Role::Assistant, "Then. "),
            message(run, Role::User, "more"),
        ];
        for said in ["First.\n\nThen.", "Then."] {
            assert!(ends_with(&tail, said), "{said}");
        }
        for said in ["", "First.", "First.Then.", "add", "more"] {
            assert!(!ends_with(&tail, said), "{said}");
        }
        assert!(!ends_with(&tail[..1], ""));
        assert!(!ends_with(&[], ""));
    }

    #[test]
    fn messages_before_a_run_are_those_of_earlier_ones() {
        let (first, second) = (RunId::new(), RunId::new());
        let tail =
            [message(first, Role::User, "a"), message(first, Role::Assistant, "b"), message(second, Role::User, "c")];
        assert_eq!(before(&tail, second).len(), 2);
        assert_eq!(before(&tail, first).len(), 0);
    }
}
