//! A new thread from a branch of another: its messages as copies with ids of their own, and a history of events that a
//! client can resume from the first number. It has no runs.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::{FileId, MessageId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Part};
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::threads::{Advance, Change, ThreadSummary};
use adjutant_store::tree::Standing;
use adjutant_store::tx::Tx;
use adjutant_store::{events, files, messages, threads};

use super::change::{NO_MESSAGE, ThreadError, place_of, tell};
use crate::engine::Engine;
use crate::events::event::{Event, EventBody};
use crate::runs::commit::{event_row, wake_peers};

const TOO_LONG: &str = "branch";

impl Engine {
    /// Copies the branch that ends at `message` into a new thread.
    pub async fn fork_thread(
        &self,
        owner: &Owner,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<ThreadSummary, ThreadError> {
        let new = ThreadId::new();
        let order = self.inner.hub.order_of(new);
        let _ordered = order.lock().await;
        let (forked, told) = self
            .store()
            .scoped(owner, async |tx| {
                // Locked, so that it is not removed meanwhile.
                threads::lock(tx, thread).await?.open()?;
                self.copy_branch(tx, thread, message, new).await
            })
            .await
            .map_err(|error| match error {
                StoreError::Invalid(what) if what == TOO_LONG => ThreadError::BranchTooLong,
                other => other.into(),
            })?;
        self.hub().publish(owner, new, false, told);
        Ok(forked)
    }

    async fn copy_branch(
        &self,
        tx: &mut Tx,
        from: ThreadId,
        message: MessageId,
        new: ThreadId,
    ) -> Result<(ThreadSummary, Vec<Event>), StoreError> {
        if place_of(tx, from, message).await? != Standing::Placed {
            return Err(StoreError::Conflict(NO_MESSAGE.to_owned()));
        }
        let branch = messages::branch(tx, from, message, limits::FORK_MESSAGES + 1).await?;
        let bytes: u64 = branch.iter().map(|(_, bytes)| bytes).sum();
        if i64::try_from(branch.len()).is_ok_and(|length| length > limits::FORK_MESSAGES) || bytes > limits::FORK_BYTES
        {
            return Err(StoreError::Invalid(TOO_LONG.to_owned()));
        }
        threads::insert(tx, new, threads::Kind::Listed).await?;
        let mut told = Vec::new();
        let mut calls = HashMap::new();
        let mut head = None;
        for page in pages(&branch) {
            let advance = Advance { events: 1, head_id: None, usage: Usage::default() };
            let seq = threads::advance(tx, new, advance).await?;
            let mut copies = messages::of_ids(tx, from, &page).await?;
            for copy in &mut copies {
                *copy = renewed(copy, new, head, seq, &mut calls);
                head = Some(copy.id);
            }
            messages::copy(tx, new, &copies).await?;
            files::attach(tx, new, &attached(&copies)).await?;
            let body = EventBody::MessagesCopied { from_thread: from, from_message: message };
            events::append(tx, new, &[event_row(seq, None, &body, head)?]).await?;
            told.push(Event { seq, run_id: None, body, messages: copies.into_iter().map(Arc::new).collect() });
        }
        threads::mark_fork(tx, new, from, message).await?;
        let forked = threads::change(tx, new, &Change { head_id: head, ..Change::default() }).await?;
        told.push(tell(tx, &forked).await?);
        wake_peers(&self.inner, tx, new, 1, forked.last_seq).await?;
        Ok((forked, told))
    }
}

/// The branch in pieces that can be told in one event each.
fn pages(branch: &[(MessageId, u64)]) -> Vec<Vec<MessageId>> {
    let mut pages: Vec<Vec<MessageId>> = Vec::new();
    let mut bytes = 0;
    for (id, size) in branch {
        match pages.last_mut() {
            Some(page) if page.len() < limits::FORK_PAGE && bytes + size <= limits::FORK_PAGE_BYTES => page.push(*id),
            _ => {
                pages.push(vec![*id]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    pages
}

/// The message as one of the new thread: of no run, and its tool calls under ids that no ledger knows.
fn renewed(
    message: &Message,
    thread_id: ThreadId,
    parent_id: Option<MessageId>,
    seq: i64,
    calls: &mut HashMap<ToolCallId, ToolCallId>,
) -> Message {
    let mut parts = message.parts.clone();
    for part in &mut parts {
        let id = match part {
            Part::ToolCall(call) => &mut call.id,
            Part::ToolResult(result) => &mut result.call_id,
            _ => continue,
        };
        *id = *calls.entry(*id).or_insert_with(ToolCallId::new);
    }
    Message {
        id: MessageId::new(),
        thread_id,
        parent_id,
        run_id: None,
        role: message.role,
        parts,
        client_message_id: None,
        seq,
        created_at: message.created_at,
        partial: message.partial,
        made: message.made.clone(),
    }
}

fn attached(messages: &[Message]) -> Vec<(MessageId, FileId)> {
    messages.iter().flat_map(|message| message.files().map(|file| (message.id, file.file_id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_in_number_and_size_and_keep_the_order() {
        let large = limits::FORK_PAGE_BYTES;
        let sizes = [1, 2, large, 5, large * 3, 4, large - 4, 1].into_iter();
        let branch: Vec<(MessageId, u64)> = sizes.map(|size| (MessageId::new(), size)).collect();
        let lengths: Vec<usize> = pages(&branch).iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1, 1, 1, 2, 1]);
        let flat: Vec<MessageId> = pages(&branch).concat();
        assert_eq!(flat, branch.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let many: Vec<(MessageId, u64)> = (0..120).map(|_| (MessageId::new(), 1)).collect();
        assert_eq!(pages(&many).iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
        assert!(pages(&[]).is_empty());
    }
}
