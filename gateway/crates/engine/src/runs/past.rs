//! What a run reads of its thread: the newest messages of its branch, and the summary that stands for those before them.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_store::error::StoreError;
use adjutant_store::threads::LockedThread;
use adjutant_store::tx::Tx;
use adjutant_store::{messages, summaries};

pub(crate) struct Past {
    pub(crate) summary: Option<String>,
    /// Oldest first, [`limits::TAIL_MESSAGES`] at most.
    pub(crate) tail: Vec<Message>,
}

/// The branch that ends at `tip`. Of a summary that goes up to a message of another branch, or to one that is older than the
/// tail, nothing is read.
pub(crate) async fn load(
    tx: &mut Tx,
    thread: ThreadId,
    locked: &LockedThread,
    tip: MessageId,
) -> Result<Past, StoreError> {
    let mut tail = messages::tail(tx, thread, tip, limits::TAIL_MESSAGES).await?;
    let place = locked.summary_to.and_then(|to| tail.iter().position(|message| message.id == to));
    let Some(place) = place else { return Ok(Past { summary: None, tail }) };
    let summary = summaries::load(tx, thread).await?;
    if summary.is_some() {
        tail.drain(..=place);
    }
    Ok(Past { summary: summary.map(|summary| summary.text), tail })
}
