//! Removal for good, now and then. The loop is a thin wrapper around [`Engine::purge`].

use adjutant_core::limits;
use adjutant_store::error::StoreError;
use adjutant_store::purge;
use adjutant_store::purge::Purged;

use crate::engine::Engine;

impl Engine {
    /// Removes deleted threads whose time to undo is over, temporary ones, and files that no message names. Any number of
    /// replicas may do this at once: each takes other rows.
    pub async fn purge(&self) -> Result<Purged, StoreError> {
        let mut all = Purged::default();
        loop {
            let (temporary, done) = self
                .store()
                .system("remove for good what was deleted", async |tx| {
                    let temporary = purge::purge_temporary(tx, limits::THREAD_TEMPORARY, limits::PURGE_BATCH).await?;
                    let done = purge::purge(tx, limits::THREAD_UNDO, limits::FILE_UNUSED, limits::PURGE_BATCH).await?;
                    Ok((temporary, done))
                })
                .await?;
            all.threads += done.threads + temporary;
            all.files += done.files;
            if done.threads.max(done.files).max(temporary) < limits::PURGE_BATCH
                || self.supervisor().stopping().is_cancelled()
            {
                return Ok(all);
            }
        }
    }

    /// Looks now and then, until the server stops.
    pub async fn keep_purging(&self) {
        let stopping = self.supervisor().stopping().clone();
        loop {
            match self.purge().await {
                Ok(Purged { threads: 0, files: 0 }) => {}
                Ok(Purged { threads, files }) => tracing::info!(threads, files, "removed for good"),
                Err(error) => tracing::warn!(%error, "could not remove what was deleted"),
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(limits::PURGE) => {}
            }
        }
    }
}
