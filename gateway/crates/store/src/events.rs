//! Events: what clients are told of a thread, numbered without gaps. Text stays in messages.

use adjutant_core::ids::{ApprovalId, MessageId, RunId, ThreadId};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub seq: i64,
    /// `None`: it is about the thread itself.
    pub run_id: Option<RunId>,
    pub kind: String,
    pub payload: Value,
    pub message_id: Option<MessageId>,
}

/// Appends events whose numbers came from [`crate::threads::advance`] or the lock of a new thread.
pub async fn append(tx: &mut Tx, thread: ThreadId, events: &[EventRow]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let owner = tx.owner().clone();
    let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
    let runs: Vec<Option<Uuid>> = events.iter().map(|event| event.run_id.map(RunId::as_uuid)).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let payloads: Vec<&Value> = events.iter().map(|event| &event.payload).collect();
    let messages: Vec<Option<Uuid>> = events.iter().map(|event| event.message_id.map(MessageId::as_uuid)).collect();
    sqlx::query!(
        "insert into events (user_id, profile, thread_id, seq, run_id, kind, payload, message_id)
         select $1, $2, $3, new.* from unnest($4::bigint[], $5::uuid[], $6::text[], $7::jsonb[], $8::uuid[]) as new",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &seqs,
        &runs as _,
        &kinds as _,
        &payloads as _,
        &messages as _,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The number of the event with which the first of these was put to a person: approvals and questions, by their ids.
pub async fn of_asking(tx: &mut Tx, thread: ThreadId, asked: &[ApprovalId]) -> Result<Option<i64>, StoreError> {
    let owner = tx.owner().clone();
    let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let found = sqlx::query_scalar!(
        "select seq from events
          where user_id = $1 and profile = $2 and thread_id = $3 and kind in ('approval_requested', 'question_asked')
            and coalesce(payload->>'approvalId', payload->>'questionId') = any($4)
          order by seq limit 1",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &asked,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// The next `limit` events after number `after`, in order.
pub async fn after(tx: &mut Tx, thread: ThreadId, after: i64, limit: i64) -> Result<Vec<EventRow>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select seq, run_id, kind, payload, message_id from events
          where user_id = $1 and profile = $2 and thread_id = $3 and seq > $4
          order by seq limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        after,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| EventRow {
            seq: row.seq,
            run_id: row.run_id.map(RunId::from_uuid),
            kind: row.kind,
            payload: row.payload,
            message_id: row.message_id.map(MessageId::from_uuid),
        })
        .collect())
}
