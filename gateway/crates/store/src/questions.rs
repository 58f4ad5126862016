//! Forms that a tool asks a person to fill in while its call is under way.

use adjutant_core::ids::{QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::question::{Answer, Question};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionState {
    Pending,
    Accepted,
    Declined,
    Cancelled,
    /// Nobody answered in time.
    Expired,
    /// The call ended, or its server died.
    Withdrawn,
}

impl QuestionState {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Accepted, Self::Declined, Self::Cancelled, Self::Expired, Self::Withdrawn];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StoreError::bug(format!("unknown question state {text}")))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct AskedQuestion {
    pub id: QuestionId,
    pub run_id: RunId,
    pub thread_id: ThreadId,
    pub tool_call_id: ToolCallId,
    /// Of the tool that asks: its name as the model knows it, and its server.
    pub name: String,
    pub server: Option<String>,
    pub question: Question,
    pub state: QuestionState,
    pub asked_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
}

pub async fn insert(
    tx: &mut Tx,
    id: QuestionId,
    run: RunId,
    call: ToolCallId,
    question: &Question,
) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let question = serde_json::to_value(question).map_err(StoreError::bug)?;
    sqlx::query!(
        "insert into questions (user_id, profile, id, run_id, tool_call_id, question) values ($1, $2, $3, $4, $5, $6)",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        run.as_uuid(),
        call.as_uuid(),
        question,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn load(tx: &mut Tx, id: QuestionId) -> Result<AskedQuestion, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        Row,
        "select q.id, q.run_id, r.thread_id, q.tool_call_id, c.name, c.server, q.question, q.state, q.asked_at, q.answered_at
           from questions q
           join runs r on r.user_id = q.user_id and r.profile = q.profile and r.id = q.run_id
           join tool_calls c on c.user_id = q.user_id and c.profile = q.profile and c.id = q.tool_call_id
          where q.user_id = $1 and q.profile = $2 and q.id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?
    .into_question()
}

/// Newest first, older than `before`; only open ones if so asked.
pub async fn page(
    tx: &mut Tx,
    pending: bool,
    before: Option<QuestionId>,
    limit: i64,
) -> Result<Vec<AskedQuestion>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select q.id, q.run_id, r.thread_id, q.tool_call_id, c.name, c.server, q.question, q.state, q.asked_at, q.answered_at
           from questions q
           join runs r on r.user_id = q.user_id and r.profile = q.profile and r.id = q.run_id
           join tool_calls c on c.user_id = q.user_id and c.profile = q.profile and c.id = q.tool_call_id
          where q.user_id = $1 and q.profile = $2 and (not $3 or q.state = 'pending') and ($4::uuid is null or q.id < $4)
          order by q.id desc limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        pending,
        before.map(QuestionId::as_uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_question).collect()
}

/// What a run asks a person now, in the order in which it was asked.
pub async fn open_of_run(tx: &mut Tx, run: RunId) -> Result<Vec<AskedQuestion>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select q.id, q.run_id, r.thread_id, q.tool_call_id, c.name, c.server, q.question, q.state, q.asked_at, q.answered_at
           from questions q
           join runs r on r.user_id = q.user_id and r.profile = q.profile and r.id = q.run_id
           join tool_calls c on c.user_id = q.user_id and c.profile = q.profile and c.id = q.tool_call_id
          where q.user_id = $1 and q.profile = $2 and q.run_id = $3 and q.state = 'pending'
          order by q.id",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_question).collect()
}

/// Records an end of a question. `None`: it had one before, and keeps it.
pub async fn close(
    tx: &mut Tx,
    id: QuestionId,
    state: QuestionState,
    answer: Option<&Value>,
) -> Result<Option<ToolCallId>, StoreError> {
    let owner = tx.owner().clone();
    let call = sqlx::query_scalar!(
        "update questions set state = $4, answer = $5, answered_at = app_now()
          where user_id = $1 and profile = $2 and id = $3 and state = 'pending'
         returning tool_call_id",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        state.as_str(),
        answer,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(call.map(ToolCallId::from_uuid))
}

/// What became of these questions, of those that are answered.
pub async fn answers(tx: &mut Tx, ids: &[QuestionId]) -> Result<Vec<(QuestionId, Answer)>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        "select id, state, answer from questions
          where user_id = $1 and profile = $2 and id = any($3) and state <> 'pending'",
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let answer = |state: QuestionState, answer: Option<Value>| match (state, answer) {
        (QuestionState::Accepted, Some(Value::Object(values))) => Answer::Accept(values),
        (QuestionState::Declined, _) => Answer::Decline,
        _ => Answer::Cancel,
    };
    rows.into_iter()
        .map(|row| Ok((QuestionId::from_uuid(row.id), answer(QuestionState::parse(&row.state)?, row.answer))))
        .collect()
}

/// Takes back what a run still asks, or one of its calls, and forgets the answers on their way.
pub async fn withdraw(
    tx: &mut Tx,
    run: RunId,
    call: Option<ToolCallId>,
) -> Result<Vec<(QuestionId, ToolCallId)>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "with theirs as (
           select id, state from questions
            where user_id = $1 and profile = $2 and run_id = $3 and ($4::uuid is null or tool_call_id = $4)
              and (state = 'pending' or answer is not null)),
         closed as (
           update questions q
              set answer = null, answered_at = coalesce(q.answered_at, app_now()),
                  state = case when q.state = 'pending' then 'withdrawn' else q.state end
             from theirs
            where q.user_id = $1 and q.profile = $2 and q.id = theirs.id
           returning q.id, q.tool_call_id, theirs.state as was)
         select id, tool_call_id from closed where was = 'pending' order by id",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
        call.map(ToolCallId::as_uuid),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (QuestionId::from_uuid(row.id), ToolCallId::from_uuid(row.tool_call_id))).collect())
}

struct Row {
    id: Uuid,
    run_id: Uuid,
    thread_id: Uuid,
    tool_call_id: Uuid,
    name: String,
    server: Option<String>,
    question: Value,
    state: String,
    asked_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_question(self) -> Result<AskedQuestion, StoreError> {
        Ok(AskedQuestion {
            id: QuestionId::from_uuid(self.id),
            run_id: RunId::from_uuid(self.run_id),
            thread_id: ThreadId::from_uuid(self.thread_id),
            tool_call_id: ToolCallId::from_uuid(self.tool_call_id),
            name: self.name,
            server: self.server,
            question: serde_json::from_value(self.question).map_err(StoreError::bug)?,
            state: QuestionState::parse(&self.state)?,
            asked_at: self.asked_at,
            answered_at: self.answered_at,
        })
    }
}
