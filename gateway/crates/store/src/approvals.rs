//! Questions to a person whether a tool call may run.

use adjutant_core::ids::{ApprovalId, RunId, ThreadId, ToolCallId};
use adjutant_core::run::consent::Why;
use adjutant_core::tool::Risk;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::consents::Definition;
use crate::error::StoreError;
use crate::ledger::parse_risk;
use crate::tx::Tx;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Once,
    Always,
    Deny,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Deny => "deny",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Once, Self::Always, Self::Deny].into_iter().find(|decision| decision.as_str() == text)
    }

    pub fn allows(self) -> bool {
        self != Self::Deny
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub id: ApprovalId,
    pub run_id: RunId,
    pub tool_call_id: ToolCallId,
    /// `pending`, `approved`, `denied` or `withdrawn`.
    pub state: String,
    pub decision: Option<Decision>,
    pub reason: Option<String>,
}

/// An approval with the call that it is about, as a person needs it to decide.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedApproval {
    pub approval: Approval,
    pub thread_id: ThreadId,
    pub agent: String,
    pub name: String,
    pub server: Option<String>,
    pub tool: Option<String>,
    pub arguments: Value,
    pub risk: Risk,
    /// `None` for what was asked before this was kept.
    pub why: Option<Why>,
    pub requested_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A question that is put to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewApproval {
    pub id: ApprovalId,
    pub call: ToolCallId,
    /// What the tool was when the model called it.
    pub definition: Option<Definition>,
    pub why: Why,
}

pub async fn insert(tx: &mut Tx, run: RunId, new: &NewApproval) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into approvals (user_id, profile, id, run_id, tool_call_id, definition, why)
         values ($1, $2, $3, $4, $5, $6, $7)",
        owner.user.as_str(),
        owner.profile.as_str(),
        new.id.as_uuid(),
        run.as_uuid(),
        new.call.as_uuid(),
        new.definition.as_ref().map(<[u8; 32]>::as_slice),
        new.why.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The run that an approval belongs to.
pub async fn run_of(tx: &mut Tx, id: ApprovalId) -> Result<RunId, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_scalar!(
        "select run_id from approvals where user_id = $1 and profile = $2 and id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .map(RunId::from_uuid)
    .ok_or(StoreError::NotFound)
}

/// Records a decision. `None`: it was decided or withdrawn before, and stays so.
pub async fn decide(
    tx: &mut Tx,
    id: ApprovalId,
    decision: Decision,
    reason: Option<&str>,
) -> Result<Option<(ToolCallId, Option<Definition>)>, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        "update approvals set state = $4, decision = $5, reason = $6, decided_at = app_now()
          where user_id = $1 and profile = $2 and id = $3 and state = 'pending'
         returning tool_call_id, definition",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        if decision.allows() { "approved" } else { "denied" },
        decision.as_str(),
        reason,
    )
    .fetch_optional(tx.conn())
    .await?;
    #[cfg(feature = "fault-early-ack")]
    tx.commit_late();
    Ok(row.map(|row| (ToolCallId::from_uuid(row.tool_call_id), row.definition.and_then(|bytes| bytes.try_into().ok()))))
}

/// Takes back what a run still asks: it ended.
pub async fn withdraw(tx: &mut Tx, run: RunId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update approvals set state = 'withdrawn', decided_at = app_now()
          where user_id = $1 and profile = $2 and run_id = $3 and state = 'pending'",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<Approval>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select id, run_id, tool_call_id, state, decision, reason from approvals
          where user_id = $1 and profile = $2 and run_id = $3 order by id",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::into_approval).collect())
}

/// Newest first, older than `before`; only open ones if so asked.
pub async fn page(
    tx: &mut Tx,
    pending: bool,
    before: Option<ApprovalId>,
    limit: i64,
) -> Result<Vec<AskedApproval>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        AskedRow,
        "select a.id, a.run_id, a.tool_call_id, a.state, a.decision, a.reason, a.requested_at, a.decided_at,
                r.thread_id, r.agent, c.name, c.server, c.tool, c.arguments, c.risk, a.why
           from approvals a
           join runs r on r.user_id = a.user_id and r.profile = a.profile and r.id = a.run_id
           join tool_calls c on c.user_id = a.user_id and c.profile = a.profile and c.id = a.tool_call_id
          where a.user_id = $1 and a.profile = $2 and (not $3 or a.state = 'pending') and ($4::uuid is null or a.id < $4)
          order by a.id desc limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        pending,
        before.map(ApprovalId::as_uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(AskedRow::into_asked).collect())
}

pub async fn load(tx: &mut Tx, id: ApprovalId) -> Result<AskedApproval, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query_as!(
        AskedRow,
        "select a.id, a.run_id, a.tool_call_id, a.state, a.decision, a.reason, a.requested_at, a.decided_at,
                r.thread_id, r.agent, c.name, c.server, c.tool, c.arguments, c.risk, a.why
           from approvals a
           join runs r on r.user_id = a.user_id and r.profile = a.profile and r.id = a.run_id
           join tool_calls c on c.user_id = a.user_id and c.profile = a.profile and c.id = a.tool_call_id
          where a.user_id = $1 and a.profile = $2 and a.id = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    Ok(row.into_asked())
}

struct Row {
    id: Uuid,
    run_id: Uuid,
    tool_call_id: Uuid,
    state: String,
    decision: Option<String>,
    reason: Option<String>,
}

impl Row {
    fn into_approval(self) -> Approval {
        Approval {
            id: ApprovalId::from_uuid(self.id),
            run_id: RunId::from_uuid(self.run_id),
            tool_call_id: ToolCallId::from_uuid(self.tool_call_id),
            state: self.state,
            decision: self.decision.as_deref().and_then(Decision::parse),
            reason: self.reason,
        }
    }
}

struct AskedRow {
    id: Uuid,
    run_id: Uuid,
    tool_call_id: Uuid,
    state: String,
    decision: Option<String>,
    reason: Option<String>,
    requested_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
    thread_id: Uuid,
    agent: String,
    name: String,
    server: Option<String>,
    tool: Option<String>,
    arguments: Value,
    risk: String,
    why: Option<String>,
}

impl AskedRow {
    fn into_asked(self) -> AskedApproval {
        let Self { id, run_id, tool_call_id, state, decision, reason, .. } = self;
        AskedApproval {
            approval: Row { id, run_id, tool_call_id, state, decision, reason }.into_approval(),
            thread_id: ThreadId::from_uuid(self.thread_id),
            agent: self.agent,
            name: self.name,
            server: self.server,
            tool: self.tool,
            arguments: self.arguments,
            risk: parse_risk(&self.risk),
            why: self.why.as_deref().and_then(Why::parse),
            requested_at: self.requested_at,
            decided_at: self.decided_at,
        }
    }
}
