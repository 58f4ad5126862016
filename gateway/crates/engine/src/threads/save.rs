//! An earlier message of the person, said otherwise, without an answer for now: it stands beside the old one, in a branch of
//! its own, and the thread's head moves to it. Saying the same twice makes one.

use std::sync::Arc;

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::message::{Made, Part, Role};
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::messages::NewMessage;
use adjutant_store::threads::{Advance, Change, LockedThread};
use adjutant_store::tree::Standing;
use adjutant_store::tx::Tx;
use adjutant_store::{events, files, messages, threads};

use super::change::{NO_MESSAGE, ThreadError, not_busy, place_of, write_change};
use crate::engine::Engine;
use crate::events::event::{Event, EventBody};
use crate::runs::commit::event_row;
use crate::runs::control::After;
use crate::runs::submission::Edited;
use crate::runs::submit;

impl Engine {
    /// Returns the message that says it now. Refused while a run of the thread has not ended: the head stays where it is
    /// then.
    pub async fn save_message(
        &self,
        owner: &Owner,
        thread: ThreadId,
        edited: Edited,
        parts: Vec<Part>,
    ) -> Result<MessageId, ThreadError> {
        self.in_thread(owner, thread, async |_, tx, locked, after| {
            let locked = locked.open()?;
            save(tx, thread, &locked, edited, parts.clone(), after).await
        })
        .await
    }
}

async fn save(
    tx: &mut Tx,
    thread: ThreadId,
    locked: &LockedThread,
    edited: Edited,
    mut parts: Vec<Part>,
    after: &mut After,
) -> Result<MessageId, StoreError> {
    if place_of(tx, thread, edited.message).await? != Standing::Placed {
        return Err(StoreError::Conflict(NO_MESSAGE.to_owned()));
    }
    let old = messages::load(tx, thread, edited.message).await?;
    if old.role != Role::User {
        return Err(StoreError::Conflict(NO_MESSAGE.to_owned()));
    }
    if edited.keeps_files {
        parts.extend(old.files().cloned().map(Part::File));
    }
    let named = submit::describe(tx, &mut parts).await?;
    if let Some(head) = locked.head_id {
        let head = messages::load(tx, thread, head).await?;
        let is_said = head.role == Role::User && head.parent_id == old.parent_id && head.parts == parts;
        if is_said {
            return Ok(head.id);
        }
    }
    not_busy(tx, thread).await?;
    let seq = threads::advance(tx, thread, Advance { events: 1, head_id: None, usage: Usage::default() }).await?;
    let id = MessageId::new();
    let (parent_id, client_message_id, made) = (old.parent_id, None, Made::default());
    let (run_id, role, partial) = (None, Role::User, false);
    let new = NewMessage { id, parent_id, run_id, role, parts, client_message_id, partial, made, seq };
    messages::append(tx, thread, &[new]).await?;
    let attached: Vec<_> = named.into_iter().map(|file| (id, file)).collect();
    files::attach(tx, thread, &attached).await?;
    let body = EventBody::MessagesCopied { from_thread: thread, from_message: old.id };
    events::append(tx, thread, &[event_row(seq, None, &body, Some(id))?]).await?;
    let message = Arc::new(messages::load(tx, thread, id).await?);
    after.events.push(Event { seq, run_id: None, body, messages: vec![message] });
    write_change(tx, thread, &Change { head_id: Some(id), ..Change::default() }, after).await?;
    Ok(id)
}
