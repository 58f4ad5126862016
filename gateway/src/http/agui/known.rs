//! Which thread a client means, and which of its messages that thread has already. A client sends its whole history
//! each time: its own messages are known by the ids it gave them, ours by the ids we gave.

use std::collections::HashSet;
use std::fmt::Write as _;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Role};
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_store::error::StoreError;
use adjutant_store::runs::RunStatus;
use adjutant_store::tx::Tx;
use adjutant_store::{client_threads, messages, questions, runs, threads};

use super::input::{AgMessage, CONTEXT_HEADING};
use crate::auth::key;
use crate::http::openai::failure::Failure;

/// A thread that exists, with the end of its active branch.
pub(super) struct Known {
    pub(super) id: ThreadId,
    tail: Vec<Message>,
    /// So many of them are summarized: a model does not read them any more.
    summarized: usize,
    /// The run that waits for a person or for the client, if one does.
    pub(super) waits_for: Option<RunId>,
}

/// The thread of that name: one that this door was told of before, or one of the owner's by its own id.
pub(super) async fn find(engine: &Engine, owner: &Owner, name: &str) -> Result<Option<Known>, Failure> {
    let found = engine.store().scoped(owner, async |tx| read(tx, name).await).await;
    match found {
        Err(StoreError::NotFound) => Ok(None),
        other => Ok(other?),
    }
}

async fn read(tx: &mut Tx, name: &str) -> Result<Option<Known>, StoreError> {
    let Some(id) = client_threads::find(tx, name).await?.or_else(|| name.parse().ok()) else { return Ok(None) };
    let locked = threads::lock(tx, id).await?;
    let tail = match locked.head_id {
        Some(head) => messages::tail(tx, id, head, limits::TAIL_MESSAGES).await?,
        None => Vec::new(),
    };
    let end = tail.iter().position(|message| locked.summary_to == Some(message.id));
    let summarized = end.map_or(0, |end| end + 1);
    Ok(Some(Known { id, tail, summarized, waits_for: waiting(tx, id).await? }))
}

/// The run of the thread that does not go on by itself.
async fn waiting(tx: &mut Tx, thread: ThreadId) -> Result<Option<RunId>, StoreError> {
    for run in runs::unfinished(tx, thread).await? {
        let waits = match run.status {
            RunStatus::Waiting => true,
            RunStatus::Running => !questions::open_of_run(tx, run.id).await?.is_empty(),
            _ => false,
        };
        if waits {
            return Ok(Some(run.id));
        }
    }
    Ok(None)
}

impl Known {
    /// The messages behind the last one that the thread has.
    pub(super) fn new_messages(&self, name: &str, mut sent: Vec<AgMessage>) -> Vec<AgMessage> {
        let ours: HashSet<MessageId> = self.tail.iter().map(|message| message.id).collect();
        let theirs: HashSet<&str> =
            self.tail.iter().filter_map(|message| message.client_message_id.as_deref()).collect();
        let has = |message: &AgMessage| {
            message.id.parse().is_ok_and(|id| ours.contains(&id))
                || theirs.contains(client_message_id(name, &message.id).as_str())
        };
        // A client with other ids than it had: what follows the last answer is new.
        let last = sent.iter().rposition(has).or_else(|| sent.iter().rposition(|message| message.role == "assistant"));
        match last {
            Some(last) => sent.split_off(last + 1),
            None => {
                sent.retain(|message| message.role == "user");
                sent
            }
        }
    }

    /// Whether the model was told this last.
    pub(super) fn was_told(&self, context: &str) -> bool {
        let told =
            self.tail[self.summarized..].iter().rev().filter(|message| message.role == Role::System).map(Message::text);
        told.into_iter().find(|text| text.starts_with(CONTEXT_HEADING)).is_some_and(|text| text == context)
    }
}

/// A client's message id as the store keeps it: unique among all its threads, and of a bounded length.
pub(super) fn client_message_id(thread: &str, message: &str) -> String {
    let mut id = "agui:".to_owned();
    for byte in &key::digest(&format!("{}:{thread}{message}", thread.len()))[..16] {
        let _ = write!(id, "{byte:02x}");
    }
    id
}
