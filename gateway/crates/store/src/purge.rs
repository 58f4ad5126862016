//! Removal for good, across owners: threads whose time to undo is over, temporary ones, and files that no message names.

use std::time::Duration;

use crate::error::StoreError;
use crate::runs::interval;
use crate::tx::SystemTx;

/// How many were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    pub threads: i32,
    pub files: i32,
}

/// Removes at most `at_most` of each. What another replica or a request holds is left for the next time.
pub async fn purge(tx: &mut SystemTx, undo: Duration, unused: Duration, at_most: i32) -> Result<Purged, StoreError> {
    let row = sqlx::query!(
        r#"select threads_gone as "threads!", files_gone as "files!" from purge($1, $2, $3)"#,
        interval(undo),
        interval(unused),
        at_most,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Purged { threads: row.threads, files: row.files })
}

/// Removes at most `at_most` temporary threads in which nothing happened for so long, but none in which a run is running.
pub async fn purge_temporary(tx: &mut SystemTx, kept: Duration, at_most: i32) -> Result<i32, StoreError> {
    sqlx::query_scalar!(r#"select purge_temporary($1, $2) as "threads!""#, interval(kept), at_most)
        .fetch_one(tx.conn())
        .await
        .map_err(StoreError::from)
}
