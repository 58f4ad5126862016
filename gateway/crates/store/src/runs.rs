//! Runs: their state, lease and fence. Every write under a lease names the fence it holds.

use std::time::Duration;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::model::Usage;
use adjutant_core::scope::{Owner, ProfileName, UserId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use crate::error::StoreError;
use crate::threads::signed;
use crate::tx::{SystemTx, Tx};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    Queued,
    Running,
    /// For a person, or for the caller of the API.
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    /// Crashed the server twice: goes on only when a person says so.
    Quarantined,
    Discarded,
    /// Its messages were taken in by the run that was going.
    Joined,
}

impl RunStatus {
    const ALL: [Self; 9] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Quarantined,
        Self::Discarded,
        Self::Joined,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
            Self::Discarded => "discarded",
            Self::Joined => "joined",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing will happen to it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Discarded | Self::Joined)
    }
}

/// A run as its worker and its viewers need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    /// The message named its parent itself; else it follows the head when the run starts.
    pub explicit_parent: bool,
    pub status: RunStatus,
    pub origin: String,
    /// The key that it was asked for with, whose rights it has while they last.
    pub key_id: Option<String>,
    pub agent: String,
    pub request: Value,
    pub checkpoint: Option<Value>,
    pub fence: i64,
    pub crashes: i32,
    pub cancel_requested: bool,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub model: Option<String>,
    pub usage: Usage,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The run that took in this one's messages.
    pub joined_run_id: Option<RunId>,
}

#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    pub id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub explicit_parent: bool,
    pub origin: &'a str,
    pub key_id: Option<&'a str>,
    pub agent: &'a str,
    pub request: &'a Value,
    /// The client's id of a request that brought no message; the same one twice makes one run.
    pub client_request_id: Option<&'a str>,
    /// The machine's first state; stored when the run starts at once, because a run without a
    /// checkpoint is one that never began.
    pub checkpoint: &'a str,
    pub replica: i32,
    pub lease: Duration,
}

/// The lease under which a worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub run: RunId,
    pub fence: i64,
}

/// Stores a new run: running under this replica's lease if its thread is free, else queued. The
/// thread must be locked. Refused with `Invalid("queue")` when the queue has `queue_limit` entries.
pub async fn insert(tx: &mut Tx, new: &NewRun<'_>, queue_limit: i64) -> Result<RunStatus, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        r#"with others as (
             select coalesce(bool_or(state in ('running', 'waiting')), false) as busy,
                    count(*) filter (where state = 'queued') as queued
               from runs
              where user_id = $1 and profile = $2 and thread_id = $4 and state in ('running', 'waiting', 'queued')),
           decided as (select busy or queued > 0 as waits, queued < $11 as fits from others)
           insert into runs (user_id, profile, id, thread_id, message_id, explicit_parent, origin, agent, request,
                             state, checkpoint, replica, lease_until, fence, started_at, key_id, client_request_id)
           select $1, $2, $3, $4, $5, $6, $7, $8, $9,
                  case when waits then 'queued' else 'running' end,
                  case when waits then null else $13::text::jsonb end,
                  case when waits then null else $10::integer end,
                  case when waits then null else app_now() + $12 end,
                  case when waits then 0 else 1 end,
                  case when waits then null else app_now() end,
                  $14, $15
             from decided where fits
           returning state"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        new.id.as_uuid(),
        new.thread_id.as_uuid(),
        new.message_id.as_uuid(),
        new.explicit_parent,
        new.origin,
        new.agent,
        new.request,
        new.replica,
        queue_limit,
        interval(new.lease),
        new.checkpoint,
        new.key_id,
        new.client_request_id,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| StoreError::Invalid("queue".to_owned()))?;
    status(&row.state)
}

pub async fn load(tx: &mut Tx, id: RunId) -> Result<Run, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        Row,
        "select id, thread_id, message_id, explicit_parent, state, origin, key_id, agent, request, checkpoint, fence, crashes,
                cancel_requested, error_code, error_message, model, input_tokens, output_tokens, cached_input_tokens,
                cache_write_tokens, created_at, started_at, finished_at, joined_run_id
           from runs where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?
    .into_run()
}

/// As [`load`], and the row stays locked until the end of the transaction.
pub async fn lock(tx: &mut Tx, id: RunId) -> Result<Run, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        Row,
        "select id, thread_id, message_id, explicit_parent, state, origin, key_id, agent, request, checkpoint, fence, crashes,
                cancel_requested, error_code, error_message, model, input_tokens, output_tokens, cached_input_tokens,
                cache_write_tokens, created_at, started_at, finished_at, joined_run_id
           from runs where user_id = $1 and profile = $2 and id = $3 for update",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?
    .into_run()
}

/// What was answered to an earlier message with this client message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedBefore {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub run_id: RunId,
    pub seq: i64,
}

pub async fn accepted_before(tx: &mut Tx, client_message_id: &str) -> Result<Option<AcceptedBefore>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        "select m.thread_id, m.id as message_id, r.id as run_id, m.seq
           from messages m
           join runs r on r.user_id = m.user_id and r.profile = m.profile and r.id = m.run_id
          where m.user_id = $1 and m.profile = $2 and m.client_message_id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        client_message_id,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| AcceptedBefore {
        thread_id: ThreadId::from_uuid(row.thread_id),
        message_id: MessageId::from_uuid(row.message_id),
        run_id: RunId::from_uuid(row.run_id),
        seq: row.seq,
    }))
}

/// As [`accepted_before`], for a request that brought no message.
pub async fn requested_before(tx: &mut Tx, client_request_id: &str) -> Result<Option<AcceptedBefore>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        r#"select r.thread_id, r.message_id, r.id as run_id,
                  (select min(e.seq) from events e
                    where e.user_id = r.user_id and e.profile = r.profile and e.thread_id = r.thread_id
                      and e.run_id = r.id) as "seq!"
             from runs r where r.user_id = $1 and r.profile = $2 and r.client_request_id = $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        client_request_id,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| AcceptedBefore {
        thread_id: ThreadId::from_uuid(row.thread_id),
        message_id: MessageId::from_uuid(row.message_id),
        run_id: RunId::from_uuid(row.run_id),
        seq: row.seq,
    }))
}

/// The run of the thread that ended last. Nobody goes on with it.
pub async fn last_ended(tx: &mut Tx, thread: ThreadId) -> Result<Option<RunId>, StoreError> {
    let owner = tx.owner().clone();
    let id = sqlx::query_scalar!(
        "select id from runs
          where user_id = $1 and profile = $2 and thread_id = $3
            and state in ('succeeded', 'failed', 'cancelled', 'discarded')
          order by finished_at desc nulls last, id desc limit 1",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(RunId::from_uuid))
}

/// Runs of a thread that have not ended: going, waiting, queued or quarantined. The thread must be locked.
pub async fn unfinished(tx: &mut Tx, thread: ThreadId) -> Result<Vec<Run>, StoreError> {
    let owner = tx.owner().clone();
    let ids = sqlx::query_scalar!(
        "select id from runs
          where user_id = $1 and profile = $2 and thread_id = $3
            and state in ('running', 'waiting', 'queued', 'quarantined')
          order by id",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(lock(tx, RunId::from_uuid(id)).await?);
    }
    Ok(found)
}

/// What one commit changes in a run.
#[derive(Debug, Clone)]
pub struct Progress<'a> {
    pub status: RunStatus,
    pub checkpoint: &'a str,
    pub model: Option<&'a str>,
    pub usage: Usage,
    pub error: Option<(&'a str, &'a str)>,
}

/// Writes progress under a lease; first in its transaction, so that the fence guards all of it.
/// A run that no longer runs (waiting, ended) lets go of its replica.
pub async fn advance(tx: &mut Tx, lease: Lease, progress: &Progress<'_>) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let (code, message) = progress.error.map_or((None, None), |(code, message)| (Some(code), Some(message)));
    let keeps = progress.status == RunStatus::Running;
    let ended = progress.status.is_final();
    let done = sqlx::query!(
        "update runs
            set state = $5, checkpoint = $6::text::jsonb, model = coalesce($7, model), error_code = $8, error_message = $9,
                input_tokens = input_tokens + $10, output_tokens = output_tokens + $11,
                cached_input_tokens = cached_input_tokens + $12, cache_write_tokens = cache_write_tokens + $15,
                replica = case when $13 then replica end, lease_until = case when $13 then lease_until end,
                finished_at = case when $14 then app_now() end
          where user_id = $1 and profile = $2 and id = $3 and fence = $4 and state = 'running'",
        owner.user.as_str(),
        owner.profile.as_str(),
        lease.run.as_uuid(),
        lease.fence,
        progress.status.as_str(),
        progress.checkpoint,
        progress.model,
        code,
        message,
        signed(progress.usage.input_tokens),
        signed(progress.usage.output_tokens),
        signed(progress.usage.cached_input_tokens),
        keeps,
        ended,
        signed(progress.usage.cache_write_tokens),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::FenceLost) }
}

/// Makes sure that the lease still holds, and keeps it so until the end of the transaction.
pub async fn hold(tx: &mut Tx, lease: Lease) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select id from runs
          where user_id = $1 and profile = $2 and id = $3 and fence = $4 and state = 'running' for update",
        owner.user.as_str(),
        owner.profile.as_str(),
        lease.run.as_uuid(),
        lease.fence,
    )
    .fetch_optional(tx.conn())
    .await?
    .map(drop)
    .ok_or(StoreError::FenceLost)
}

/// Changes the state of a run that nobody works on (the row must be locked): to `running` under a
/// new fence for this replica, or to an end. Returns the new fence.
pub async fn move_to(tx: &mut Tx, id: RunId, to: RunStatus, replica: i32, lease: Duration) -> Result<i64, StoreError> {
    let owner = tx.owner().clone();
    let running = to == RunStatus::Running;
    sqlx::query_scalar!(
        "update runs
            set state = $4, fence = fence + 1, replica = case when $5 then $6::integer end,
                lease_until = case when $5 then app_now() + $7 end,
                started_at = case when $5 then coalesce(started_at, app_now()) else started_at end,
                finished_at = case when $8 then app_now() end
          where user_id = $1 and profile = $2 and id = $3
         returning fence",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        to.as_str(),
        running,
        replica,
        interval(lease),
        to.is_final(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// Forgets the crashes of a run that a person wants tried again.
pub async fn forget_crashes(tx: &mut Tx, id: RunId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set crashes = 0 where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts a crash of the worker alone: the replica lives on.
pub async fn count_crash(tx: &mut Tx, id: RunId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set crashes = crashes + 1 where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Remembers that a person wants the run to end, for whichever replica works on it.
pub async fn request_cancel(tx: &mut Tx, id: RunId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set cancel_requested = true where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The oldest queued run of a thread, if nothing else in the thread is going. The thread must be locked.
pub async fn next_queued(tx: &mut Tx, thread: ThreadId) -> Result<Option<RunId>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_scalar!(
        "select r.id from runs r
          where r.user_id = $1 and r.profile = $2 and r.thread_id = $3 and r.state = 'queued'
            and not exists (select from runs o where o.user_id = $1 and o.profile = $2 and o.thread_id = $3
                                                 and o.state in ('running', 'waiting'))
          order by r.id limit 1
            for update of r",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(RunId::from_uuid))
}

/// Queued runs of a thread whose messages want to join the one that is going, oldest first. The thread must be locked.
pub async fn steering(tx: &mut Tx, thread: ThreadId) -> Result<Vec<(RunId, MessageId)>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select id, message_id from runs
          where user_id = $1 and profile = $2 and thread_id = $3 and state = 'queued' and not explicit_parent
            and checkpoint is null and request ->> 'mode' = 'steer' and not request ? 'callerTools'
          order by id for update",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (RunId::from_uuid(row.id), MessageId::from_uuid(row.message_id))).collect())
}

/// Ends a queued run (the row must be locked): its messages belong to another run from now on.
pub async fn join(tx: &mut Tx, id: RunId, into: RunId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set state = 'joined', joined_run_id = $4, fence = fence + 1, finished_at = app_now()
          where user_id = $1 and profile = $2 and id = $3 and state = 'queued'",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        into.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Lets a worker's run go without an end: any replica may take it over, and that is no crash.
pub async fn release(tx: &mut Tx, lease: Lease) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update runs set replica = null, lease_until = null
          where user_id = $1 and profile = $2 and id = $3 and fence = $4 and state = 'running'",
        owner.user.as_str(),
        owner.profile.as_str(),
        lease.run.as_uuid(),
        lease.fence,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A run that this replica has taken over: whose it is, and nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub owner: Owner,
    pub thread_id: ThreadId,
    pub lease: Lease,
    pub crashes: i32,
}

/// Takes over runs whose replica died, froze or let go, and queued runs whose thread is free; also
/// runs of this replica that are not among `working`, the ones it has a worker for.
pub async fn claim(
    tx: &mut SystemTx,
    replica: i32,
    working: &[RunId],
    at_most: i32,
    lease: Duration,
) -> Result<Vec<Claimed>, StoreError> {
    let working: Vec<Uuid> = working.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select user_id as "user_id!", profile as "profile!", id as "id!", thread_id as "thread_id!",
                  fence as "fence!", crashes as "crashes!"
             from runs_claim($1, $2, $3, $4)"#,
        replica,
        &working,
        at_most,
        interval(lease),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let user = UserId::parse(&row.user_id).map_err(StoreError::bug)?;
            let profile = ProfileName::parse(&row.profile).map_err(StoreError::bug)?;
            Ok(Claimed {
                owner: Owner { user, profile },
                thread_id: ThreadId::from_uuid(row.thread_id),
                lease: Lease { run: RunId::from_uuid(row.id), fence: row.fence },
                crashes: row.crashes,
            })
        })
        .collect()
}

/// Says that this replica still works on its runs.
pub async fn renew_leases(tx: &mut SystemTx, replica: i32, lease: Duration) -> Result<(), StoreError> {
    sqlx::query!("select leases_renew($1, $2)", replica, interval(lease)).execute(tx.conn()).await?;
    Ok(())
}

pub(crate) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

fn status(text: &str) -> Result<RunStatus, StoreError> {
    RunStatus::parse(text).ok_or_else(|| StoreError::bug(format!("unknown run state {text}")))
}

struct Row {
    id: Uuid,
    thread_id: Uuid,
    message_id: Uuid,
    explicit_parent: bool,
    state: String,
    origin: String,
    key_id: Option<String>,
    agent: String,
    request: Value,
    checkpoint: Option<Value>,
    fence: i64,
    crashes: i32,
    cancel_requested: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    model: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
    cached_input_tokens: i64,
    cache_write_tokens: i64,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    joined_run_id: Option<Uuid>,
}

impl Row {
    fn into_run(self) -> Result<Run, StoreError> {
        Ok(Run {
            id: RunId::from_uuid(self.id),
            thread_id: ThreadId::from_uuid(self.thread_id),
            message_id: MessageId::from_uuid(self.message_id),
            explicit_parent: self.explicit_parent,
            status: status(&self.state)?,
            origin: self.origin,
            key_id: self.key_id,
            agent: self.agent,
            request: self.request,
            checkpoint: self.checkpoint,
            fence: self.fence,
            crashes: self.crashes,
            cancel_requested: self.cancel_requested,
            error_code: self.error_code,
            error_message: self.error_message,
            model: self.model,
            usage: Usage {
                input_tokens: self.input_tokens.unsigned_abs(),
                output_tokens: self.output_tokens.unsigned_abs(),
                cached_input_tokens: self.cached_input_tokens.unsigned_abs(),
                cache_write_tokens: self.cache_write_tokens.unsigned_abs(),
            },
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            joined_run_id: self.joined_run_id.map(RunId::from_uuid),
        })
    }
}
