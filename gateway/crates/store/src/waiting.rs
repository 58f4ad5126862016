//! Messages that wait for their turn: the only ones that are ever rewritten. The run must be locked and be queued.

use adjutant_core::ids::{FileId, MessageId, RunId, ThreadId};
use adjutant_core::message::Part;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

/// Gives the message another content; of its files those stay that `files` names.
pub async fn rewrite(
    tx: &mut Tx,
    thread: ThreadId,
    id: MessageId,
    parts: &[Part],
    files: &[FileId],
) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update messages set content = $5 where user_id = $1 and profile = $2 and thread_id = $3 and id = $4",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        id.as_uuid(),
        Json(parts) as _,
    )
    .execute(tx.conn())
    .await?;
    let files: Vec<Uuid> = files.iter().map(|file| file.as_uuid()).collect();
    sqlx::query!(
        "delete from message_files
          where user_id = $1 and profile = $2 and thread_id = $3 and message_id = $4 and file_id <> all($5)",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        id.as_uuid(),
        &files,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Says anew what becomes of the message when its turn has not come.
pub async fn set_mode(tx: &mut Tx, run: RunId, mode: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set request = request || jsonb_build_object('mode', $4::text)
          where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
        mode,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
