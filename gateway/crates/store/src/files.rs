//! Files that people attach: stored whole, beside the messages that name them.

use adjutant_core::ids::{FileId, MessageId, ThreadId};
use adjutant_core::message::FilePart;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

#[derive(Debug, Clone, Copy)]
pub struct NewFile<'a> {
    pub id: FileId,
    pub name: &'a str,
    pub media_type: &'a str,
    pub sha256: &'a [u8],
    pub content: &'a [u8],
}

/// A file without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    pub id: FileId,
    pub name: String,
    pub media_type: String,
    pub size: u64,
    pub sha256: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

impl FileInfo {
    pub fn part(&self) -> FilePart {
        FilePart { file_id: self.id, name: self.name.clone(), media_type: self.media_type.clone(), size: self.size }
    }
}

/// Stores a file. Refused with `Invalid("file quota")` when the user's files would be larger than `quota` together.
pub async fn insert(tx: &mut Tx, new: &NewFile<'_>, quota: u64) -> Result<FileInfo, StoreError> {
    let used = used(tx).await?;
    insert_beside(tx, new, used, quota).await
}

/// As [`insert`], unless a file of this content and name is there already: then it is that one, also when two come at
/// once.
pub async fn keep(tx: &mut Tx, new: &NewFile<'_>, quota: u64) -> Result<FileInfo, StoreError> {
    let used = used(tx).await?;
    match same(tx, new.sha256, new.name).await? {
        Some(there) => Ok(there),
        None => insert_beside(tx, new, used, quota).await,
    }
}

/// Bytes of all files of the user. Holds other files of theirs back until this transaction ends.
pub async fn used(tx: &mut Tx) -> Result<u64, StoreError> {
    let used = sqlx::query_scalar!(r#"select files_used() as "used!""#).fetch_one(tx.conn()).await?;
    Ok(used.unsigned_abs())
}

async fn insert_beside(tx: &mut Tx, new: &NewFile<'_>, used: u64, quota: u64) -> Result<FileInfo, StoreError> {
    let owner = tx.owner().clone();
    let size = i64::try_from(new.content.len()).map_err(StoreError::bug)?;
    #[cfg(feature = "fault-early-ack")]
    tx.commit_late();
    if used.saturating_add(size.unsigned_abs()) > quota {
        return Err(StoreError::Invalid(QUOTA.to_owned()));
    }
    sqlx::query_as!(
        Row,
        "insert into files (user_id, profile, id, name, media_type, size, sha256, content)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         returning id, name, media_type, size, sha256, created_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        new.id.as_uuid(),
        new.name,
        new.media_type,
        size,
        new.sha256,
        new.content,
    )
    .fetch_one(tx.conn())
    .await
    .map(Row::into_info)
    .map_err(StoreError::from)
}

/// What [`insert`] refuses a file with that does not fit.
pub const QUOTA: &str = "file quota";

pub async fn load(tx: &mut Tx, id: FileId) -> Result<FileInfo, StoreError> {
    of_ids(tx, &[id]).await?.pop().ok_or(StoreError::NotFound)
}

/// Those of these files that are there, in no order.
pub async fn of_ids(tx: &mut Tx, ids: &[FileId]) -> Result<Vec<FileInfo>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select id, name, media_type, size, sha256, created_at from files
          where user_id = $1 and profile = $2 and id = any($3)",
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::into_info).collect())
}

/// A file of this content and name that is there already; it stays until this transaction ends.
async fn same(tx: &mut Tx, sha256: &[u8], name: &str) -> Result<Option<FileInfo>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_as!(
        Row,
        "select id, name, media_type, size, sha256, created_at from files
          where user_id = $1 and profile = $2 and sha256 = $3 and name = $4
          order by created_at desc limit 1 for key share",
        owner.user.as_str(),
        owner.profile.as_str(),
        sha256,
        name,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Row::into_info))
}

pub async fn content(tx: &mut Tx, id: FileId) -> Result<Vec<u8>, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select content from files where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// Removes a file. One that a message names stays: a conflict with the foreign key of `message_files`.
pub async fn delete(tx: &mut Tx, id: FileId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let done = sqlx::query!(
        "delete from files where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Records which messages name which files. One that is gone is a conflict with a foreign key whose name has `file_id`.
pub async fn attach(tx: &mut Tx, thread: ThreadId, pairs: &[(MessageId, FileId)]) -> Result<(), StoreError> {
    if pairs.is_empty() {
        return Ok(());
    }
    let owner = tx.owner().clone();
    let messages: Vec<Uuid> = pairs.iter().map(|(message, _)| message.as_uuid()).collect();
    let files: Vec<Uuid> = pairs.iter().map(|(_, file)| file.as_uuid()).collect();
    sqlx::query!(
        "insert into message_files (user_id, profile, thread_id, message_id, file_id)
         select $1, $2, $3, new.* from unnest($4::uuid[], $5::uuid[]) as new
         on conflict do nothing",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &messages,
        &files,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    name: String,
    media_type: String,
    size: i64,
    sha256: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_info(self) -> FileInfo {
        FileInfo {
            id: FileId::from_uuid(self.id),
            name: self.name,
            media_type: self.media_type,
            size: self.size.unsigned_abs(),
            sha256: self.sha256,
            created_at: self.created_at,
        }
    }
}
