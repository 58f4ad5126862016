//! Messages: appended, never rewritten once their turn has come. Reads are bounded: a branch's tail, or a page.

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::{Made, Message, Part, Role};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::threads::signed;
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    pub id: MessageId,
    pub parent_id: Option<MessageId>,
    /// `None`: it belongs to no run.
    pub run_id: Option<RunId>,
    pub role: Role,
    pub parts: Vec<Part>,
    pub client_message_id: Option<String>,
    pub partial: bool,
    pub made: Made,
    /// The number of the event that announces it.
    pub seq: i64,
}

/// Appends messages in order, all in one statement.
pub async fn append(tx: &mut Tx, thread: ThreadId, messages: &[NewMessage]) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = messages.iter().map(|new| new.id.as_uuid()).collect();
    let parents: Vec<Option<Uuid>> = messages.iter().map(|new| new.parent_id.map(MessageId::as_uuid)).collect();
    let runs: Vec<Option<Uuid>> = messages.iter().map(|new| new.run_id.map(RunId::as_uuid)).collect();
    let roles: Vec<&str> = messages.iter().map(|new| new.role.as_str()).collect();
    let contents: Vec<Json<&[Part]>> = messages.iter().map(|new| Json(new.parts.as_slice())).collect();
    let client_ids: Vec<Option<&str>> = messages.iter().map(|new| new.client_message_id.as_deref()).collect();
    let partials: Vec<bool> = messages.iter().map(|new| new.partial).collect();
    let seqs: Vec<i64> = messages.iter().map(|new| new.seq).collect();
    let made = MadeColumns::of(messages.iter().map(|new| &new.made));
    sqlx::query!(
        "insert into messages (user_id, profile, thread_id, id, parent_id, run_id, role, content, client_message_id,
                               partial, seq, model, took_ms, thought_ms)
         select $1, $2, $3, new.*
           from unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::jsonb[], $9::text[], $10::bool[], $11::bigint[],
                       $12::text[], $13::bigint[], $14::bigint[]) as new",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &ids,
        &parents as _,
        &runs as _,
        &roles as _,
        &contents as _,
        &client_ids as _,
        &partials,
        &seqs,
        &made.models as _,
        &made.took as _,
        &made.thought as _,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a queued message its place when its run starts.
pub async fn set_parent(
    tx: &mut Tx,
    thread: ThreadId,
    id: MessageId,
    parent: Option<MessageId>,
) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update messages set parent_id = $5 where user_id = $1 and profile = $2 and thread_id = $3 and id = $4",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        id.as_uuid(),
        parent.map(MessageId::as_uuid),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The newest `limit` messages of the branch that ends at `tip`, oldest first.
pub async fn tail(tx: &mut Tx, thread: ThreadId, tip: MessageId, limit: i64) -> Result<Vec<Message>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        r#"with recursive branch as (
             select m.id, m.thread_id, m.parent_id, m.run_id, m.role, m.content, m.client_message_id, m.seq, m.created_at,
                    m.partial, m.model, m.took_ms, m.thought_ms, 1::bigint as depth
               from messages m
              where m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = $4
             union all
             select m.id, m.thread_id, m.parent_id, m.run_id, m.role, m.content, m.client_message_id, m.seq, m.created_at,
                    m.partial, m.model, m.took_ms, m.thought_ms, branch.depth + 1
               from branch
               join messages m on m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = branch.parent_id
              where branch.depth < $5)
           select id as "id!", thread_id as "thread_id!", parent_id, run_id, role as "role!", content as "content!",
                  client_message_id, seq as "seq!", created_at as "created_at!", partial as "partial!", model,
                  took_ms, thought_ms
             from branch order by depth desc"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        tip.as_uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}

/// One message of a thread.
pub async fn load(tx: &mut Tx, thread: ThreadId, id: MessageId) -> Result<Message, StoreError> {
    tail(tx, thread, id, 1).await?.pop().ok_or(StoreError::NotFound)
}

/// The branch that ends at `tip`, from its root: ids and how large each is stored. At most `limit`; the newest stay.
pub async fn branch(
    tx: &mut Tx,
    thread: ThreadId,
    tip: MessageId,
    limit: i64,
) -> Result<Vec<(MessageId, u64)>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        r#"with recursive branch as (
             select m.id, m.parent_id, octet_length(m.content::text) as bytes, 1::bigint as depth from messages m
              where m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = $4
             union all
             select m.id, m.parent_id, octet_length(m.content::text), branch.depth + 1 from branch
               join messages m on m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = branch.parent_id
              where branch.depth < $5)
           select id as "id!", bytes as "bytes!" from branch order by depth desc"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        tip.as_uuid(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (MessageId::from_uuid(row.id), u64::from(row.bytes.unsigned_abs()))).collect())
}

/// Id and role of the messages behind `after` on the branch that ends at `tip`, oldest first. At most `limit`; the newest
/// stay. `after` is the first of them where it is met.
pub async fn roles(
    tx: &mut Tx,
    thread: ThreadId,
    tip: MessageId,
    after: Option<MessageId>,
    limit: i64,
) -> Result<Vec<(MessageId, Role)>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        r#"with recursive branch as (
             select m.id, m.parent_id, m.role, 1::bigint as depth from messages m
              where m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = $4
             union all
             select m.id, m.parent_id, m.role, branch.depth + 1 from branch
               join messages m on m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = branch.parent_id
              where branch.depth < $6 and branch.id is distinct from $5)
           select id as "id!", role as "role!" from branch order by depth desc"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        tip.as_uuid(),
        after.map(MessageId::as_uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let role = |text: &str| Role::parse(text).ok_or_else(|| StoreError::bug(format!("unknown role {text}")));
    rows.into_iter().map(|row| Ok((MessageId::from_uuid(row.id), role(&row.role)?))).collect()
}

/// These messages of a thread, in the order of the ids asked for.
pub async fn of_ids(tx: &mut Tx, thread: ThreadId, ids: &[MessageId]) -> Result<Vec<Message>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select id, thread_id, parent_id, run_id, role, content, client_message_id, seq, created_at, partial,
                model, took_ms, thought_ms
           from messages
          where user_id = $1 and profile = $2 and thread_id = $3 and id = any($4)
          order by array_position($4, id)",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}

/// Appends copies: they keep role, content and time, and belong to no run.
pub async fn copy(tx: &mut Tx, thread: ThreadId, copies: &[Message]) -> Result<(), StoreError> {
    if copies.is_empty() {
        return Ok(());
    }
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = copies.iter().map(|copy| copy.id.as_uuid()).collect();
    let parents: Vec<Option<Uuid>> = copies.iter().map(|copy| copy.parent_id.map(MessageId::as_uuid)).collect();
    let roles: Vec<&str> = copies.iter().map(|copy| copy.role.as_str()).collect();
    let contents: Vec<Json<&[Part]>> = copies.iter().map(|copy| Json(copy.parts.as_slice())).collect();
    let partials: Vec<bool> = copies.iter().map(|copy| copy.partial).collect();
    let seqs: Vec<i64> = copies.iter().map(|copy| copy.seq).collect();
    let made = MadeColumns::of(copies.iter().map(|copy| &copy.made));
    let times: Vec<DateTime<Utc>> = copies.iter().map(|copy| copy.created_at).collect();
    sqlx::query!(
        "insert into messages (user_id, profile, thread_id, id, parent_id, role, content, partial, seq, created_at,
                               model, took_ms, thought_ms)
         select $1, $2, $3, new.*
           from unnest($4::uuid[], $5::uuid[], $6::text[], $7::jsonb[], $8::bool[], $9::bigint[], $10::timestamptz[],
                       $11::text[], $12::bigint[], $13::bigint[]) as new",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &ids,
        &parents as _,
        &roles as _,
        &contents as _,
        &partials,
        &seqs,
        &times,
        &made.models as _,
        &made.took as _,
        &made.thought as _,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One page of all messages of a thread, of every branch: the newest before `before`, oldest first.
pub async fn page(
    tx: &mut Tx,
    thread: ThreadId,
    before: Option<(i64, MessageId)>,
    limit: i64,
) -> Result<Vec<Message>, StoreError> {
    let owner = tx.owner().clone();
    let (seq, id) = before.map_or((None, None), |(seq, id)| (Some(seq), Some(id.as_uuid())));
    let rows = sqlx::query_as!(
        Row,
        "select id, thread_id, parent_id, run_id, role, content, client_message_id, seq, created_at, partial,
                model, took_ms, thought_ms
           from messages
          where user_id = $1 and profile = $2 and thread_id = $3
            and ($4::bigint is null or (seq, id) < ($4, $5))
          order by seq desc, id desc
          limit $6",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        seq,
        id,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().rev().map(Row::into_message).collect()
}

/// The messages of a thread that the events of these numbers announced, in order.
pub async fn announced_by(tx: &mut Tx, thread: ThreadId, seqs: &[i64]) -> Result<Vec<Message>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select id, thread_id, parent_id, run_id, role, content, client_message_id, seq, created_at, partial,
                model, took_ms, thought_ms
           from messages
          where user_id = $1 and profile = $2 and thread_id = $3 and seq = any($4)
          order by seq, id",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        seqs,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}

/// The first message of a run that has no place in the tree yet.
pub async fn unplaced_of_run(tx: &mut Tx, thread: ThreadId, run: RunId) -> Result<Option<MessageId>, StoreError> {
    let owner = tx.owner().clone();
    let id = sqlx::query_scalar!(
        "select id from messages
          where user_id = $1 and profile = $2 and thread_id = $3 and run_id = $4 and parent_id is null
          order by seq, id limit 1",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        run.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(MessageId::from_uuid))
}

/// The message of a run that no other of it follows, those that joined it included: where it goes on after a take-over.
pub async fn last_of_run(tx: &mut Tx, thread: ThreadId, run: RunId) -> Result<MessageId, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        r#"with theirs as (
             select m.id, m.parent_id, m.seq from messages m
              where m.user_id = $1 and m.profile = $2 and m.thread_id = $3
                and (m.run_id = $4 or m.run_id in (select r.id from runs r where r.user_id = $1 and r.profile = $2
                                                                             and r.joined_run_id = $4)))
           select id as "id!" from theirs
            where not exists (select from theirs next where next.parent_id = theirs.id)
            order by seq desc, id desc limit 1"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        run.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .map(MessageId::from_uuid)
    .ok_or(StoreError::NotFound)
}

/// The messages of a run, in order.
pub async fn of_run(tx: &mut Tx, thread: ThreadId, run: RunId) -> Result<Vec<Message>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select id, thread_id, parent_id, run_id, role, content, client_message_id, seq, created_at, partial,
                model, took_ms, thought_ms
           from messages
          where user_id = $1 and profile = $2 and thread_id = $3 and run_id = $4
          order by seq, id",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        run.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_message).collect()
}

/// Whether a thread holds text of others: results of tools, or files, on any of its branches.
pub async fn hold_foreign_text(tx: &mut Tx, thread: ThreadId) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    let found = sqlx::query_scalar!(
        r#"select id from messages
            where user_id = $1 and profile = $2 and thread_id = $3
              and (role = 'tool' or content @> '[{"type": "file"}]') limit 1"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.is_some())
}

/// How messages were made, by column.
struct MadeColumns<'a> {
    models: Vec<Option<&'a str>>,
    took: Vec<Option<i64>>,
    thought: Vec<Option<i64>>,
}

impl<'a> MadeColumns<'a> {
    fn of(made: impl Iterator<Item = &'a Made>) -> Self {
        let mut columns = Self { models: Vec::new(), took: Vec::new(), thought: Vec::new() };
        for made in made {
            columns.models.push(made.model.as_deref());
            columns.took.push(made.took_ms.map(signed));
            columns.thought.push(made.thought_ms.map(signed));
        }
        columns
    }
}

struct Row {
    id: Uuid,
    thread_id: Uuid,
    parent_id: Option<Uuid>,
    run_id: Option<Uuid>,
    role: String,
    content: Value,
    client_message_id: Option<String>,
    seq: i64,
    created_at: DateTime<Utc>,
    partial: bool,
    model: Option<String>,
    took_ms: Option<i64>,
    thought_ms: Option<i64>,
}

impl Row {
    fn into_message(self) -> Result<Message, StoreError> {
        let role = Role::parse(&self.role).ok_or_else(|| StoreError::bug(format!("unknown role {}", self.role)))?;
        Ok(Message {
            id: MessageId::from_uuid(self.id),
            thread_id: ThreadId::from_uuid(self.thread_id),
            parent_id: self.parent_id.map(MessageId::from_uuid),
            run_id: self.run_id.map(RunId::from_uuid),
            role,
            parts: serde_json::from_value(self.content).map_err(StoreError::bug)?,
            client_message_id: self.client_message_id,
            seq: self.seq,
            created_at: self.created_at,
            partial: self.partial,
            made: Made {
                model: self.model,
                took_ms: self.took_ms.map(i64::unsigned_abs),
                thought_ms: self.thought_ms.map(i64::unsigned_abs),
            },
        })
    }
}
