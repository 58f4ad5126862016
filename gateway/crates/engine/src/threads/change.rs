//! Renaming, pinning, archiving, moving into folders, switching the branch, deleting and restoring. Each change is one
//! numbered event that says all that is known of the thread then, so that a client may apply it twice or late.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::without_nul;
use adjutant_core::model::ModelError;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::runs::RunStatus;
use adjutant_store::threads::{Change, LockedThread, ThreadSummary};
use adjutant_store::tree::Standing;
use adjutant_store::tx::Tx;
use adjutant_store::{events, hints, runs, threads, tree};

use crate::engine::Engine;
use crate::events::event::{Event, EventBody};
use crate::runs::commit::{event_row, wake_peers};
use crate::runs::control::After;
use crate::runs::submit;

#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    #[error("no such thread")]
    NotFound,
    #[error("no such message in this thread")]
    NoMessage,
    #[error("no such file")]
    NoFile,
    #[error("a run is going in this thread")]
    Busy,
    #[error("nothing is older than the newest questions")]
    NothingToCompact,
    #[error("no model answered in this thread yet")]
    NothingAnswered,
    #[error("the key was revoked")]
    RightsLost,
    #[error("a summary of this thread is being written")]
    Compacting,
    #[error(transparent)]
    Model(ModelError),
    #[error("the server stops")]
    Stopping,
    #[error("a title has at most {} characters", limits::TITLE_CHARS)]
    TitleTooLong,
    #[error("the name of a folder has at most {} characters", limits::FOLDER_CHARS)]
    FolderTooLong,
    #[error("the branch is longer than what can be copied")]
    BranchTooLong,
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ThreadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict(what) if what == NO_MESSAGE => Self::NoMessage,
            StoreError::Conflict(what) if what == BUSY => Self::Busy,
            StoreError::Conflict(what) if what == submit::NO_FILE || what.contains("file_id") => Self::NoFile,
            other => Self::Store(other),
        }
    }
}

pub(super) const NO_MESSAGE: &str = "message of the thread";
const BUSY: &str = "run of the thread";

impl Engine {
    /// Changes title, pin, archive, folder or head, or keeps a temporary thread. The head stays where it is while a run
    /// of the thread has not ended: the run would go on from another place than the person sees.
    pub async fn change_thread(
        &self,
        owner: &Owner,
        thread: ThreadId,
        mut change: Change,
    ) -> Result<ThreadSummary, ThreadError> {
        if let Some(title) = change.title.take() {
            change.title = Some(title.map(accept_title).transpose()?.flatten());
        }
        if let Some(folder) = change.folder.take() {
            change.folder = Some(folder.map(accept_folder).transpose()?.flatten());
        }
        if change == Change::default() {
            return Ok(self.store().scoped(owner, async |tx| threads::load(tx, thread).await).await?);
        }
        self.in_thread(owner, thread, async |_, tx, locked, after| {
            let locked = locked.open()?;
            if let Some(head) = change.head_id.filter(|head| Some(*head) != locked.head_id) {
                let standing = place_of(tx, thread, head).await?;
                not_busy(tx, thread).await?;
                if standing != Standing::Placed {
                    return Err(StoreError::Conflict(NO_MESSAGE.to_owned()));
                }
            }
            write_change(tx, thread, &change, after).await
        })
        .await
    }

    /// Deletes a thread: it is hidden at once, what goes on in it is cancelled, and after [`limits::THREAD_UNDO`] it is
    /// removed for good.
    pub async fn delete_thread(&self, owner: &Owner, thread: ThreadId) -> Result<(), ThreadError> {
        self.in_thread(owner, thread, async |engine, tx, locked, after| {
            locked.open()?;
            for run in runs::unfinished(tx, thread).await? {
                engine.cancel_locked(tx, &run, after).await?;
            }
            let change = Change { deleted: Some(true), ..Change::default() };
            write_change(tx, thread, &change, after).await.map(drop)
        })
        .await
    }

    /// Takes a deletion back. A thread that is not deleted stays as it is.
    pub async fn restore_thread(&self, owner: &Owner, thread: ThreadId) -> Result<ThreadSummary, ThreadError> {
        self.in_thread(owner, thread, async |_, tx, locked, after| {
            if !locked.deleted {
                return threads::load(tx, thread).await;
            }
            if !threads::is_restorable(tx, thread, limits::THREAD_UNDO).await? {
                return Err(StoreError::NotFound);
            }
            let change = Change { deleted: Some(false), ..Change::default() };
            write_change(tx, thread, &change, after).await
        })
        .await
    }

    /// Locks the thread, makes the change, publishes what it announces, and sees to it that workers hear of it.
    pub(crate) async fn in_thread<T, F>(&self, owner: &Owner, thread: ThreadId, work: F) -> Result<T, ThreadError>
    where
        F: AsyncFnOnce(&Self, &mut Tx, LockedThread, &mut After) -> Result<T, StoreError>,
    {
        let order = self.inner.hub.order_of(thread);
        let ordered = order.lock().await;
        // A caller who gives up in here may leave a run without a worker: recovery looks at once.
        let unfinished = Unfinished(self);
        let (value, hidden, after, told) = self
            .store()
            .scoped(owner, async |tx| {
                let mut after = After::default();
                let locked = threads::lock(tx, thread).await?;
                let value = work(self, tx, locked, &mut after).await?;
                if let (Some(first), Some(last)) = (after.events.first(), after.events.last()) {
                    wake_peers(&self.inner, tx, thread, first.seq, last.seq).await?;
                }
                let mut told = Vec::new();
                if after.tell_worker {
                    let open = runs::unfinished(tx, thread).await?;
                    told.extend(open.iter().filter(|run| run.cancel_requested).map(|run| run.id));
                    if self.inner.has_peers() {
                        for run in &told {
                            hints::send(tx, &format!("run {run}")).await?;
                        }
                    }
                }
                // Whoever keeps a thread tells everybody of it.
                let hidden = locked.hidden && threads::is_hidden(tx, thread).await?;
                Ok((value, hidden, after, told))
            })
            .await?;
        if !after.events.is_empty() {
            self.hub().publish(owner, thread, hidden, after.events);
        }
        drop(ordered);
        for run in told {
            self.inner.ring(run);
        }
        for hold in after.resume {
            self.resume(owner, hold).await;
        }
        std::mem::forget(unfinished);
        Ok(value)
    }
}

/// How the message stands that a branch is to end with.
pub(super) async fn place_of(tx: &mut Tx, thread: ThreadId, tip: MessageId) -> Result<Standing, StoreError> {
    tree::standing(tx, thread, tip).await.map_err(|error| match error {
        StoreError::NotFound => StoreError::Conflict(NO_MESSAGE.to_owned()),
        other => other,
    })
}

/// Refuses to move the head while a run of the thread has not ended.
pub(super) async fn not_busy(tx: &mut Tx, thread: ThreadId) -> Result<(), StoreError> {
    let going = runs::unfinished(tx, thread).await?;
    if going.iter().any(|run| run.status != RunStatus::Quarantined) {
        return Err(StoreError::Conflict(BUSY.to_owned()));
    }
    Ok(())
}

/// Rings for recovery unless it is forgotten.
struct Unfinished<'a>(&'a Engine);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.inner.recovery.notify_one();
    }
}

pub(super) async fn write_change(
    tx: &mut Tx,
    thread: ThreadId,
    change: &Change,
    after: &mut After,
) -> Result<ThreadSummary, StoreError> {
    let changed = threads::change(tx, thread, change).await?;
    after.events.push(tell(tx, &changed).await?);
    Ok(changed)
}

/// Appends the event that says what a thread is like now, under the number that the change took.
pub(crate) async fn tell(tx: &mut Tx, changed: &ThreadSummary) -> Result<Event, StoreError> {
    let body = EventBody::ThreadChanged {
        title: changed.title.clone(),
        head_id: changed.head_id,
        summary_to: changed.summary_to,
        pinned: changed.pinned,
        archived: changed.archived,
        folder: changed.folder.clone(),
        deleted_at: changed.deleted_at,
    };
    let seq = changed.last_seq;
    events::append(tx, changed.id, &[event_row(seq, None, &body, None)?]).await?;
    Ok(Event { seq, run_id: None, body, messages: Vec::new() })
}

/// One line without control characters; nothing is no title.
fn accept_title(title: String) -> Result<Option<String>, ThreadError> {
    let title = one_line(title);
    if title.chars().count() > limits::TITLE_CHARS {
        return Err(ThreadError::TitleTooLong);
    }
    Ok(Some(title).filter(|title| !title.is_empty()))
}

/// One line without control characters; nothing is no folder.
fn accept_folder(name: String) -> Result<Option<String>, ThreadError> {
    let name = one_line(name);
    if name.chars().count() > limits::FOLDER_CHARS {
        return Err(ThreadError::FolderTooLong);
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

fn one_line(text: String) -> String {
    let text = without_nul(text);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_and_bounded() {
        let accept = |title: &str| accept_title(title.to_owned()).ok().flatten();
        assert_eq!(accept("  a\n b\u{1b}[31m\tc ").as_deref(), Some("a b [31m c"));
        assert_eq!(accept(" \n\u{7} "), None);
        assert!(accept_title("x".repeat(limits::TITLE_CHARS)).is_ok());
        assert!(matches!(accept_title("x".repeat(limits::TITLE_CHARS + 1)), Err(ThreadError::TitleTooLong)));
    }

    #[test]
    fn the_name_of_a_folder_is_one_line_and_bounded() {
        let accept = |name: &str| accept_folder(name.to_owned()).ok().flatten();
        assert_eq!(accept("  Trips\n to\u{85}\u{1b} Oslo/Bergen ").as_deref(), Some("Trips to Oslo/Bergen"));
        assert_eq!(accept("\u{0}").as_deref(), Some("\u{fffd}"));
        assert_eq!(accept(" \n\u{7} "), None);
        assert_eq!(accept(&"ß".repeat(limits::FOLDER_CHARS)), Some("ß".repeat(limits::FOLDER_CHARS)));
        let long = accept_folder("x".repeat(limits::FOLDER_CHARS + 1));
        assert!(matches!(long, Err(ThreadError::FolderTooLong)));
    }
}
