//! Questions to a person whether a tool call may run, and what was allowed for good.

use adjutant_core::ids::{ApprovalId, RunId, ToolCallId};
use uuid::Uuid;

use crate::error::StoreError;
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

pub async fn insert(tx: &mut Tx, id: ApprovalId, run: RunId, call: ToolCallId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into approvals (user_id, profile, id, run_id, tool_call_id) values ($1, $2, $3, $4, $5)",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        run.as_uuid(),
        call.as_uuid(),
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
) -> Result<Option<ToolCallId>, StoreError> {
    let owner = tx.owner().clone();
    let call = sqlx::query_scalar!(
        "update approvals set state = $4, decision = $5, reason = $6, decided_at = app_now()
          where user_id = $1 and profile = $2 and id = $3 and state = 'pending'
         returning tool_call_id",
        owner.user.as_str(),
        owner.profile.as_str(),
        id.as_uuid(),
        if decision.allows() { "approved" } else { "denied" },
        decision.as_str(),
        reason,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(call.map(ToolCallId::from_uuid))
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

/// Allows a tool for an agent of this owner for good.
pub async fn allow_always(tx: &mut Tx, agent: &str, server: &str, tool: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into tool_consents (user_id, profile, agent, server, tool) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
        server,
        tool,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The (server, tool) pairs that this owner allowed an agent for good.
pub async fn allowed_always(tx: &mut Tx, agent: &str) -> Result<Vec<(String, String)>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select server, tool from tool_consents where user_id = $1 and profile = $2 and agent = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.server, row.tool)).collect())
}

/// Forgets what was allowed of a server: the next one of that name is a new one.
pub async fn forget_server(tx: &mut Tx, server: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "delete from tool_consents where user_id = $1 and profile = $2 and server = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
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
