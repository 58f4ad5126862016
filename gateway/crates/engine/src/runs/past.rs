//! What a run reads of its thread: the newest messages of its branch, and the summary that stands for those before them.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Role};
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
    /// The branch that ends at `tip`. The thread's summary is a part of it where the branch holds the summary's end with a
    /// question behind it, and where what the run answers, if that is there already, stands behind that end, too.
    pub(super) async fn load(
        tx: &mut Tx,
        thread: ThreadId,
        locked: &LockedThread,
        tip: MessageId,
        answered: Option<MessageId>,
    ) -> Result<Self, StoreError> {
        let mut tail = messages::tail(tx, thread, tip, limits::TAIL_MESSAGES).await?;
        let Some(to) = locked.summary_to else { return Ok(Self { summary: None, tail }) };
        let Some(behind) = behind(tx, thread, to, &tail).await? else { return Ok(Self { summary: None, tail }) };
        if let Some(answered) = answered
            && !tail[behind..].iter().any(|message| message.id == answered)
        {
            // So long a run that the tail does not reach back to what it answers.
            let is_older = !tail.iter().any(|message| message.id == answered);
            if !is_older || way(tx, thread, answered, to).await?.len() < 2 {
                return Ok(Self { summary: None, tail });
            }
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

/// How many messages of the tail a summary up to `to` stands for. `None`: that is on another branch, or what follows it is
/// no question, and nothing could begin with it.
async fn behind(tx: &mut Tx, thread: ThreadId, to: MessageId, tail: &[Message]) -> Result<Option<usize>, StoreError> {
    let begins = |role: Option<Role>| matches!(role, None | Some(Role::User | Role::System));
    if let Some(place) = tail.iter().position(|message| message.id == to) {
        return Ok(Some(place + 1).filter(|behind| begins(tail.get(*behind).map(|message| message.role))));
    }
    let Some(oldest) = tail.first() else { return Ok(None) };
    let way = way(tx, thread, oldest.id, to).await?;
    Ok(way.get(1).filter(|(_, role)| begins(Some(*role))).map(|_| 0))
}

/// The messages from `to` on up to `tip`, oldest first; none where `to` is not on that branch, or too far away.
async fn way(
    tx: &mut Tx,
    thread: ThreadId,
    tip: MessageId,
    to: MessageId,
) -> Result<Vec<(MessageId, Role)>, StoreError> {
    let way = messages::roles(tx, thread, tip, Some(to), limits::SUMMARY_BRANCH).await?;
    Ok(if way.first().is_some_and(|(first, _)| *first == to) { way } else { Vec::new() })
}
