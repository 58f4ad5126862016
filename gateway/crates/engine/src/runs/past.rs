//! What a run reads of its thread: the newest messages of its branch, and the summary that stands for those before them.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_store::error::StoreError;
use adjutant_store::messages;
use adjutant_store::summaries::{self, Summary};
use adjutant_store::threads::LockedThread;
use adjutant_store::tx::Tx;

#[derive(Default)]
pub(super) struct Past {
    pub(super) summary: Option<Summary>,
    /// Oldest first, [`limits::TAIL_MESSAGES`] at most.
    pub(super) tail: Vec<Message>,
}

impl Past {
    /// The branch that ends at `tip`. The thread's summary is a part of it where the branch holds the summary's end, and
    /// where what the run answers, if that is there already, stands behind it.
    pub(super) async fn load(
        tx: &mut Tx,
        thread: ThreadId,
        locked: &LockedThread,
        tip: MessageId,
        answered: Option<MessageId>,
    ) -> Result<Self, StoreError> {
        let mut tail = messages::tail(tx, thread, tip, limits::TAIL_MESSAGES).await?;
        let Some(behind) = end(tx, thread, locked, &tail).await? else { return Ok(Self { summary: None, tail }) };
        let stands = |answered: MessageId| tail[behind..].iter().any(|message| message.id == answered);
        if !answered.is_none_or(stands) {
            return Ok(Self { summary: None, tail });
        }
        let summary = summaries::load(tx, thread).await?;
        if summary.is_some() {
            tail.drain(..behind);
        }
        Ok(Self { summary, tail })
    }

    /// Whether the summary holds text of others, which no message behind it shows any more.
    pub(super) fn brings_foreign_text(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.holds_foreign_text)
    }
}

/// How many messages of the tail the summary stands for. `None`: it goes up to a message of another branch.
async fn end(
    tx: &mut Tx,
    thread: ThreadId,
    locked: &LockedThread,
    tail: &[Message],
) -> Result<Option<usize>, StoreError> {
    let Some(to) = locked.summary_to else { return Ok(None) };
    if let Some(place) = tail.iter().position(|message| message.id == to) {
        return Ok(Some(place + 1));
    }
    let Some(before) = tail.first().and_then(|first| first.parent_id) else { return Ok(None) };
    let older = messages::roles(tx, thread, before, Some(to), limits::SUMMARY_BRANCH).await?;
    Ok(older.first().filter(|(first, _)| *first == to).map(|_| 0))
}
