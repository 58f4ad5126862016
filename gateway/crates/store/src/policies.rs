//! What an owner wants of a server or one of its tools: policies for consent.

use adjutant_core::run::consent::Policy;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPolicy {
    pub server: String,
    /// `None`: the whole server.
    pub tool: Option<String>,
    pub policy: Policy,
    pub updated_at: DateTime<Utc>,
}

/// All policies of this owner, servers before their tools. At most `limit`.
pub async fn all(tx: &mut Tx, limit: i64) -> Result<Vec<ToolPolicy>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select server, tool, policy, updated_at from tool_policies
          where user_id = $1 and profile = $2 order by server, tool limit $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_policy).collect()
}

/// Sets the policy of a server, or of one of its tools. Refused with `Invalid("policies")` when the owner has `limit`.
pub async fn put(
    tx: &mut Tx,
    server: &str,
    tool: Option<&str>,
    policy: Policy,
    limit: i64,
) -> Result<ToolPolicy, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        Row,
        "insert into tool_policies (user_id, profile, server, tool, policy)
         select $1, $2, $3, $4, $5
          where (select count(*) from tool_policies where user_id = $1 and profile = $2) < $6
             or exists (select from tool_policies where user_id = $1 and profile = $2 and server = $3 and tool = $4)
         on conflict (user_id, profile, server, tool) do update set policy = excluded.policy, updated_at = app_now()
         returning server, tool, policy, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
        tool.unwrap_or_default(),
        policy.as_str(),
        limit,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| StoreError::Invalid("policies".to_owned()))?
    .into_policy()
}

pub async fn delete(tx: &mut Tx, server: &str, tool: Option<&str>) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let done = sqlx::query!(
        "delete from tool_policies where user_id = $1 and profile = $2 and server = $3 and tool = $4",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
        tool.unwrap_or_default(),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Forgets what a person decided of a server and its tools: the next one of that name is a new one.
pub async fn forget_server(tx: &mut Tx, server: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "delete from tool_policies where user_id = $1 and profile = $2 and server = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

struct Row {
    server: String,
    tool: String,
    policy: String,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn into_policy(self) -> Result<ToolPolicy, StoreError> {
        let policy =
            Policy::parse(&self.policy).ok_or_else(|| StoreError::bug(format!("unknown policy {}", self.policy)))?;
        let tool = Some(self.tool).filter(|tool| !tool.is_empty());
        Ok(ToolPolicy { server: self.server, tool, policy, updated_at: self.updated_at })
    }
}
