//! Which thread a client means by a name of its own.

use adjutant_core::ids::ThreadId;

use crate::error::StoreError;
use crate::tx::Tx;

pub async fn find(tx: &mut Tx, name: &str) -> Result<Option<ThreadId>, StoreError> {
    let owner = tx.owner().clone();
    let found = sqlx::query_scalar!(
        "select thread_id from client_threads where user_id = $1 and profile = $2 and client_thread_id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.map(ThreadId::from_uuid))
}

/// The first thread of that name keeps it.
pub async fn insert(tx: &mut Tx, name: &str, thread: ThreadId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into client_threads (user_id, profile, client_thread_id, thread_id) values ($1, $2, $3, $4)
         on conflict (user_id, profile, client_thread_id) do nothing",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
        thread.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
