//! A message that waits for its turn is rewritten where it stands: its place in the queue, its ids and its number stay, and an
//! event tells it anew. Saying the same twice changes nothing the second time.

use std::sync::Arc;

use adjutant_core::ids::{FileId, RunId, ThreadId};
use adjutant_core::message::Part;
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::runs::{Run, RunStatus};
use adjutant_store::threads::Advance;
use adjutant_store::tx::Tx;
use adjutant_store::{events, files, messages, threads, waiting};

use super::commit::event_row;
use super::control::{After, ControlError, NOT_QUEUED};
use super::submission::{Mode, RunRequest};
use super::submit;
use crate::engine::Engine;
use crate::events::event::{Event, EventBody};

/// What a waiting message says from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    pub parts: Vec<Part>,
    /// The files it has stay its files.
    pub keeps_files: bool,
    /// `None` leaves it as it is.
    pub mode: Option<Mode>,
}

impl Engine {
    /// Rewrites the message that a queued run brought. What the message says already is no change, also when its turn has
    /// come meanwhile; anything else is refused then.
    pub async fn revise(&self, owner: &Owner, run: RunId, revision: Revision) -> Result<(), ControlError> {
        self.change(owner, run, async |_, tx, run, thread| {
            let mut after = After::default();
            after.events.extend(rewrite(tx, thread, &run, &revision).await?);
            Ok(after)
        })
        .await
    }
}

/// The event that tells the new content; `None`: it is the old one.
async fn rewrite(tx: &mut Tx, thread: ThreadId, run: &Run, revision: &Revision) -> Result<Option<Event>, StoreError> {
    let message = messages::load(tx, thread, run.message_id).await?;
    let mut parts = revision.parts.clone();
    if revision.keeps_files {
        parts.extend(message.files().cloned().map(Part::File));
    }
    let named = submit::describe(tx, &mut parts).await?;
    let request: RunRequest = serde_json::from_value(run.request.clone()).unwrap_or_default();
    let mode = revision.mode.filter(|mode| *mode != request.mode);
    let is_new = parts != message.parts;
    // A run that answers an existing message once more brought none.
    let is_its_own = message.run_id == Some(run.id);
    let waits = run.status == RunStatus::Queued && run.checkpoint.is_none();
    if is_its_own && !is_new && (mode.is_none() || !waits) {
        return Ok(None);
    }
    if !is_its_own || !waits {
        return Err(StoreError::Conflict(NOT_QUEUED.to_owned()));
    }
    if let Some(mode) = mode {
        waiting::set_mode(tx, run.id, mode.as_str()).await?;
    }
    if !is_new {
        return Ok(None);
    }
    waiting::rewrite(tx, thread, message.id, &parts, &named).await?;
    let attached: Vec<_> = named.into_iter().map(|file: FileId| (message.id, file)).collect();
    files::attach(tx, thread, &attached).await?;
    let body = EventBody::RunRevised { announced: message.seq };
    let advance = Advance { events: 1, head_id: None, usage: Usage::default() };
    let seq = threads::advance(tx, thread, advance).await?;
    events::append(tx, thread, &[event_row(seq, Some(run.id), &body, Some(message.id))?]).await?;
    let brought = messages::announced_by(tx, thread, &[message.seq]).await?.into_iter().map(Arc::new).collect();
    Ok(Some(Event { seq, run_id: Some(run.id), body, messages: brought }))
}
