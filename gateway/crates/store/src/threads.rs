//! Threads: a tree of messages with a head, and the counter that numbers its events.

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::model::Usage;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::Tx;

/// What a writer needs to know of a thread that it has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedThread {
    pub head_id: Option<MessageId>,
    pub last_seq: i64,
    pub hidden: bool,
}

/// One row of the list of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadSummary {
    pub id: ThreadId,
    pub title: Option<String>,
    pub head_id: Option<MessageId>,
    pub last_seq: i64,
    pub total_input_tokens: i64,
    pub total_output_tokens: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A new, empty thread, locked by this transaction as its creator.
pub async fn insert(tx: &mut Tx, id: ThreadId, hidden: bool) -> Result<LockedThread, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into threads (user_id, profile, id, hidden) values ($1, $2, $3, $4)",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        hidden,
    )
    .execute(tx.conn())
    .await?;
    Ok(LockedThread { head_id: None, last_seq: 0, hidden })
}

/// Locks the thread until the end of the transaction: whoever appends to a thread holds this.
pub async fn lock(tx: &mut Tx, id: ThreadId) -> Result<LockedThread, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        "select head_id, last_seq, hidden from threads where user_id = $1 and profile = $2 and id = $3 for update",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    Ok(LockedThread { head_id: row.head_id.map(MessageId::from_uuid), last_seq: row.last_seq, hidden: row.hidden })
}

/// The number of the newest event, without a lock.
pub async fn last_seq(tx: &mut Tx, id: ThreadId) -> Result<i64, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select last_seq from threads where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// Whether the thread is left out of lists, without a lock.
pub async fn is_hidden(tx: &mut Tx, id: ThreadId) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select hidden from threads where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// What a commit changes in its thread.
#[derive(Debug, Clone, Copy)]
pub struct Advance {
    /// How many events are appended.
    pub events: i64,
    /// The new head, if the commit moves it.
    pub head_id: Option<MessageId>,
    pub usage: Usage,
}

/// Takes the next `events` numbers and moves the head. Returns the number of the newest event.
pub async fn advance(tx: &mut Tx, id: ThreadId, advance: Advance) -> Result<i64, StoreError> {
    let owner = tx.owner().clone();
    let (input, output) = (signed(advance.usage.input_tokens), signed(advance.usage.output_tokens));
    sqlx::query_scalar!(
        "update threads
            set last_seq = last_seq + $4, head_id = coalesce($5, head_id), updated_at = app_now(),
                total_input_tokens = total_input_tokens + $6, total_output_tokens = total_output_tokens + $7
          where user_id = $1 and profile = $2 and id = $3
         returning last_seq",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        advance.events,
        advance.head_id.map(MessageId::as_uuid),
        input,
        output,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// Threads that are not hidden, newest first, after the given position.
pub async fn list(
    tx: &mut Tx,
    before: Option<(DateTime<Utc>, ThreadId)>,
    limit: i64,
) -> Result<Vec<ThreadSummary>, StoreError> {
    let owner = tx.owner().clone();
    let (at, id) = before.map_or((None, None), |(at, id)| (Some(at), Some(id.as_uuid())));
    let rows = sqlx::query!(
        "select id, title, head_id, last_seq, total_input_tokens, total_output_tokens, created_at, updated_at
           from threads
          where user_id = $1 and profile = $2 and not hidden
            and ($3::timestamptz is null or (updated_at, id) < ($3, $4))
          order by updated_at desc, id desc
          limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        at,
        id,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ThreadSummary {
            id: ThreadId::from_uuid(row.id),
            title: row.title,
            head_id: row.head_id.map(MessageId::from_uuid),
            last_seq: row.last_seq,
            total_input_tokens: row.total_input_tokens,
            total_output_tokens: row.total_output_tokens,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
        .collect())
}

pub(crate) fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
