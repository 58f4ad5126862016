//! A thread's summary: what a model reads in place of its older messages. There is one, of one branch at a time; on a
//! branch that does not hold the message up to which it goes, it counts for nothing.

use std::time::Duration;

use adjutant_core::ids::{MessageId, ThreadId};
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::runs::interval;
use crate::threads::{Row, ThreadSummary};
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub text: String,
    /// The newest message that it stands for.
    pub to: MessageId,
    /// What it stands for holds text of others.
    pub holds_foreign_text: bool,
    /// Who wrote it.
    pub model: String,
    pub at: DateTime<Utc>,
}

/// The right to write a summary, until this time. Whoever writes one later has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim(DateTime<Utc>);

/// The summary of a thread, if it has one.
pub async fn load(tx: &mut Tx, thread: ThreadId) -> Result<Option<Summary>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        r#"select summary as "text!", summary_to as "to!", summary_foreign, summary_model as "model!",
                  summary_at as "at!"
             from threads
            where user_id = $1 and profile = $2 and id = $3 and summary is not null and deleted_at is null"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Summary {
        text: row.text,
        to: MessageId::from_uuid(row.to),
        holds_foreign_text: row.summary_foreign,
        model: row.model,
        at: row.at,
    }))
}

/// Takes the right to write one, for a while: nobody else does meanwhile. `None`: somebody does.
pub async fn claim(tx: &mut Tx, thread: ThreadId, lease: Duration) -> Result<Option<Claim>, StoreError> {
    let owner = tx.owner().clone();
    let until = sqlx::query_scalar!(
        r#"update threads set summary_until = app_now() + $4::interval
            where user_id = $1 and profile = $2 and id = $3
              and (summary_until is null or summary_until < app_now())
           returning summary_until as "until!""#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        interval(lease),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(until.map(Claim))
}

/// Gives the right back.
pub async fn release(tx: &mut Tx, thread: ThreadId, claim: Claim) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update threads set summary_until = null
          where user_id = $1 and profile = $2 and id = $3 and summary_until = $4",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        claim.0,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What is stored as a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSummary<'a> {
    pub text: &'a str,
    pub to: MessageId,
    pub holds_foreign_text: bool,
    pub model: &'a str,
}

/// Stores it in place of the one before, gives the right back, and takes the next number for the event. `None`: the right
/// is lost, or the thread is deleted.
pub async fn store(
    tx: &mut Tx,
    thread: ThreadId,
    claim: Claim,
    new: NewSummary<'_>,
) -> Result<Option<ThreadSummary>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_as!(
        Row,
        "update threads
            set last_seq = last_seq + 1, summary = $5, summary_to = $6, summary_foreign = $7, summary_model = $8,
                summary_at = app_now(), summary_changed = app_now(), summary_until = null
          where user_id = $1 and profile = $2 and id = $3 and summary_until = $4 and deleted_at is null
         returning id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                   summary_to, total_input_tokens, total_output_tokens, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        claim.0,
        new.text,
        new.to.as_uuid(),
        new.holds_foreign_text,
        new.model,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Row::into_summary))
}

/// Takes it away, with the right of whoever goes on from it: models read the messages themselves again. `None`: there was
/// none.
pub async fn remove(tx: &mut Tx, thread: ThreadId) -> Result<Option<ThreadSummary>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_as!(
        Row,
        "update threads
            set last_seq = last_seq + 1, summary = null, summary_to = null, summary_foreign = false, summary_model = null,
                summary_at = null, summary_changed = app_now(), summary_until = null
          where user_id = $1 and profile = $2 and id = $3 and deleted_at is null and summary is not null
         returning id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                   summary_to, total_input_tokens, total_output_tokens, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Row::into_summary))
}
