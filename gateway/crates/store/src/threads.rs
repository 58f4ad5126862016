//! Threads: a tree of messages with a head, and the counter that numbers its events.

use std::time::Duration;

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::model::Usage;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::StoreError;
use crate::runs::interval;
use crate::search::Words;
use crate::tx::Tx;

/// What a writer needs to know of a thread that it has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockedThread {
    pub head_id: Option<MessageId>,
    pub last_seq: i64,
    /// The newest message that the thread's summary stands for.
    pub summary_to: Option<MessageId>,
    pub hidden: bool,
    /// It can be restored, and nothing else.
    pub deleted: bool,
}

impl LockedThread {
    /// `NotFound` for a deleted thread, as for one that never was.
    pub fn open(self) -> Result<Self, StoreError> {
        if self.deleted { Err(StoreError::NotFound) } else { Ok(self) }
    }
}

/// A thread without its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadSummary {
    pub id: ThreadId,
    pub title: Option<String>,
    pub pinned: bool,
    pub archived: bool,
    /// The name of the folder that it is in.
    pub folder: Option<String>,
    /// In no list, and removed for good a while after what happened last in it.
    pub temporary: bool,
    pub deleted_at: Option<DateTime<Utc>>,
    /// Where a fork came from; what it names may be gone.
    pub forked_from: Option<(ThreadId, MessageId)>,
    pub head_id: Option<MessageId>,
    /// The newest message that its summary stands for.
    pub summary_to: Option<MessageId>,
    pub last_seq: i64,
    pub total_input_tokens: i64,
    pub total_output_tokens: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What is told of a new thread, and how long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Listed,
    /// Not listed and not carried by sockets that do not name it.
    Hidden,
    /// Hidden, and removed for good a while after what happened last in it.
    Temporary,
}

/// A new, empty thread, locked by this transaction as its creator.
pub async fn insert(tx: &mut Tx, id: ThreadId, kind: Kind) -> Result<LockedThread, StoreError> {
    let owner = tx.owner().clone();
    let hidden = kind != Kind::Listed;
    sqlx::query!(
        "insert into threads (user_id, profile, id, hidden, temporary) values ($1, $2, $3, $4, $5)",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        hidden,
        kind == Kind::Temporary,
    )
    .execute(tx.conn())
    .await?;
    Ok(LockedThread { head_id: None, last_seq: 0, summary_to: None, hidden, deleted: false })
}

/// Locks the thread until the end of the transaction: whoever appends to a thread holds this.
pub async fn lock(tx: &mut Tx, id: ThreadId) -> Result<LockedThread, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        r#"select head_id, last_seq, summary_to, hidden, deleted_at is not null as "deleted!"
             from threads where user_id = $1 and profile = $2 and id = $3 for update"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    Ok(LockedThread {
        head_id: row.head_id.map(MessageId::from_uuid),
        last_seq: row.last_seq,
        summary_to: row.summary_to.map(MessageId::from_uuid),
        hidden: row.hidden,
        deleted: row.deleted,
    })
}

/// The number of the newest event, without a lock. A deleted thread is not found.
pub async fn last_seq(tx: &mut Tx, id: ThreadId) -> Result<i64, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select last_seq from threads where user_id = $1 and profile = $2 and id = $3 and deleted_at is null",
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

/// Which threads a list shows; `None` shows both kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Only those whose title holds these words.
    pub words: Option<Words<'a>>,
    pub archived: Option<bool>,
    pub pinned: Option<bool>,
    /// `Some(None)`: those that are in no folder.
    pub folder: Option<Option<&'a str>>,
    /// Those that were deleted so recently, instead of those that are there.
    pub deleted_within: Option<Duration>,
}

/// Threads that are not hidden, newest first, after the given position.
pub async fn list(
    tx: &mut Tx,
    filter: Filter<'_>,
    before: Option<(DateTime<Utc>, ThreadId)>,
    limit: i64,
) -> Result<Vec<ThreadSummary>, StoreError> {
    let owner = tx.owner().clone();
    let (at, id) = before.map_or((None, None), |(at, id)| (Some(at), Some(id.as_uuid())));
    let rows = sqlx::query_as!(
        Row,
        "select id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                summary_to, total_input_tokens, total_output_tokens, created_at, updated_at
           from threads
          where user_id = $1 and profile = $2 and not hidden
            and ($3::timestamptz is null or (updated_at, id) < ($3, $4))
            and ($6::boolean is null or archived = $6)
            and ($7::boolean is null or pinned = $7)
            and case when $8::interval is null then deleted_at is null else deleted_at > app_now() - $8 end
            and ($9::text is null
                 or to_tsvector('simple'::regconfig, coalesce(title, '')) @@ search_words($9, $10))
            and ($11::text is null or folder = $11)
            and (not $12 or folder is null)
          order by updated_at desc, id desc
          limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        at,
        id,
        limit,
        filter.archived,
        filter.pinned,
        filter.deleted_within.map(interval) as _,
        filter.words.map(|words| words.text),
        filter.words.is_some_and(|words| words.last_is_prefix),
        filter.folder.flatten(),
        filter.folder == Some(None),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::into_summary).collect())
}

/// A folder, and how many of its threads are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    pub name: String,
    pub threads: i64,
}

/// The folders in which there are threads that are neither hidden, archived nor deleted, by name.
pub async fn folders(tx: &mut Tx, limit: i64) -> Result<Vec<Folder>, StoreError> {
    let owner = tx.owner().clone();
    let folders = sqlx::query_as!(
        Folder,
        r#"select folder as "name!", count(*) as "threads!" from threads
            where user_id = $1 and profile = $2 and folder is not null and not hidden and not archived
              and deleted_at is null
            group by folder
            order by lower(folder), folder
            limit $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(folders)
}

/// One thread; a deleted one is not found.
pub async fn load(tx: &mut Tx, id: ThreadId) -> Result<ThreadSummary, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        Row,
        "select id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                summary_to, total_input_tokens, total_output_tokens, created_at, updated_at
           from threads where user_id = $1 and profile = $2 and id = $3 and deleted_at is null",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .map(Row::into_summary)
    .ok_or(StoreError::NotFound)
}

/// What a person changes of a thread; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// `Some(None)` takes the title away: the model may give one again.
    pub title: Option<Option<String>>,
    pub pinned: Option<bool>,
    pub archived: Option<bool>,
    /// `Some(None)` takes it out of its folder.
    pub folder: Option<Option<String>>,
    pub head_id: Option<MessageId>,
    pub deleted: Option<bool>,
    /// A temporary thread is one like others from now on.
    pub kept: bool,
}

/// Makes the change and takes the next number for its event. The thread must be locked. Its place in lists stays.
pub async fn change(tx: &mut Tx, id: ThreadId, change: &Change) -> Result<ThreadSummary, StoreError> {
    let owner = tx.owner().clone();
    #[cfg(feature = "fault-early-ack")]
    tx.commit_late();
    sqlx::query_as!(
        Row,
        "update threads
            set last_seq = last_seq + 1,
                title = case when $4 then $5 else title end,
                title_by = case when not $4 then title_by when $5::text is not null then 'person' end,
                title_tries = case when $4 then 0 else title_tries end,
                title_until = case when not $4 then title_until end,
                pinned = coalesce($6, pinned), archived = coalesce($7, archived), head_id = coalesce($8, head_id),
                deleted_at = case when $9::boolean is null then deleted_at when $9 then app_now() end,
                hidden = hidden and not ($10 and temporary), temporary = temporary and not $10,
                folder = case when $11 then $12 else folder end
          where user_id = $1 and profile = $2 and id = $3
         returning id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                   summary_to, total_input_tokens, total_output_tokens, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        change.title.is_some(),
        change.title.clone().flatten(),
        change.pinned,
        change.archived,
        change.head_id.map(MessageId::as_uuid),
        change.deleted,
        change.kept,
        change.folder.is_some(),
        change.folder.clone().flatten(),
    )
    .fetch_optional(tx.conn())
    .await?
    .map(Row::into_summary)
    .ok_or(StoreError::NotFound)
}

/// Whether a deleted thread can still be restored; one that is not deleted can.
pub async fn is_restorable(tx: &mut Tx, id: ThreadId, undo: Duration) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        r#"select deleted_at is null or deleted_at > app_now() - $4::interval as "restorable!"
             from threads where user_id = $1 and profile = $2 and id = $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        interval(undo),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

/// Says where a fork came from, and gives it its origin's folder, and its title if a person or the model gave that one.
pub async fn mark_fork(tx: &mut Tx, id: ThreadId, from: ThreadId, message: MessageId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update threads f
            set forked_from_thread = $4, forked_from_message = $5, title = o.title, title_by = o.title_by,
                folder = o.folder
           from threads o
          where f.user_id = $1 and f.profile = $2 and f.id = $3
            and o.user_id = $1 and o.profile = $2 and o.id = $4",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        from.as_uuid(),
        message.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes the right to ask for a title, for a while: nobody else asks meanwhile. `false`: there is one, somebody asks, or
/// it was asked for often enough.
pub async fn claim_title(tx: &mut Tx, id: ThreadId, lease: Duration, tries: i32) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    let claimed = sqlx::query!(
        "update threads set title_tries = title_tries + 1, title_until = app_now() + $4::interval
          where user_id = $1 and profile = $2 and id = $3
            and title is null and title_by is null and not hidden and deleted_at is null
            and title_tries < $5 and (title_until is null or title_until < app_now())",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        interval(lease),
        tries,
    )
    .execute(tx.conn())
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Gives the claim back after a failure, so that the next run that ends tries again.
pub async fn release_title(tx: &mut Tx, id: ThreadId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update threads set title_until = null where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Adds what a call beside the runs used.
pub async fn add_usage(tx: &mut Tx, id: ThreadId, usage: Usage) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update threads
            set total_input_tokens = total_input_tokens + $4, total_output_tokens = total_output_tokens + $5
          where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        signed(usage.input_tokens),
        signed(usage.output_tokens),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The model's title, unless a person was faster; with the next number for its event.
pub async fn name(tx: &mut Tx, id: ThreadId, title: &str) -> Result<Option<ThreadSummary>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_as!(
        Row,
        "update threads set last_seq = last_seq + 1, title = $4, title_by = 'model', title_until = null
          where user_id = $1 and profile = $2 and id = $3
            and title is null and title_by is null and deleted_at is null
         returning id, title, head_id, last_seq, pinned, archived, folder, temporary, deleted_at, forked_from_thread, forked_from_message,
                   summary_to, total_input_tokens, total_output_tokens, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        title,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(Row::into_summary))
}

/// A thread as a query tells it.
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) title: Option<String>,
    pub(crate) head_id: Option<Uuid>,
    pub(crate) last_seq: i64,
    pub(crate) pinned: bool,
    pub(crate) archived: bool,
    pub(crate) folder: Option<String>,
    pub(crate) temporary: bool,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    pub(crate) forked_from_thread: Option<Uuid>,
    pub(crate) forked_from_message: Option<Uuid>,
    pub(crate) summary_to: Option<Uuid>,
    pub(crate) total_input_tokens: i64,
    pub(crate) total_output_tokens: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl Row {
    pub(crate) fn into_summary(self) -> ThreadSummary {
        let origin = self.forked_from_thread.zip(self.forked_from_message);
        ThreadSummary {
            id: ThreadId::from_uuid(self.id),
            title: self.title,
            pinned: self.pinned,
            archived: self.archived,
            folder: self.folder,
            temporary: self.temporary,
            deleted_at: self.deleted_at,
            forked_from: origin.map(|(thread, message)| (ThreadId::from_uuid(thread), MessageId::from_uuid(message))),
            head_id: self.head_id.map(MessageId::from_uuid),
            summary_to: self.summary_to.map(MessageId::from_uuid),
            last_seq: self.last_seq,
            total_input_tokens: self.total_input_tokens,
            total_output_tokens: self.total_output_tokens,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

pub(crate) fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
