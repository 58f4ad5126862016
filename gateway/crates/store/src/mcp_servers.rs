//! MCP servers that a profile of a user added. No secret is here: a header names the service whose credential fills it.

use adjutant_core::limits;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::error::StoreError;
use crate::hints;
use crate::tx::Tx;

/// A server as its owner wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct McpServer {
    pub name: String,
    pub url: String,
    pub enabled: bool,
    /// `auto`, `initialize` or `stateless`.
    pub lifecycle: String,
    pub timeout_ms: Option<i32>,
    /// A list of header mappings.
    pub headers: Value,
    /// An admin allowed private addresses.
    pub allow_private: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What can be written of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerDraft {
    pub url: String,
    pub enabled: bool,
    pub lifecycle: String,
    pub timeout_ms: Option<i32>,
    pub headers: Value,
    pub allow_private: bool,
}

/// Conflicts with `mcp_servers_pkey` when there is one of that name, and is invalid beyond the limit.
pub async fn insert(tx: &mut Tx, name: &str, draft: &ServerDraft) -> Result<McpServer, StoreError> {
    let owner = tx.owner().clone();
    let others = sqlx::query_scalar!(
        r#"select count(*) as "count!" from mcp_servers where user_id = $1 and profile = $2"#,
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    if others >= limits::MCP_USER_SERVERS {
        return Err(StoreError::Invalid("mcp_servers".to_owned()));
    }
    let server = sqlx::query_as!(
        McpServer,
        "insert into mcp_servers (user_id, profile, name, url, enabled, lifecycle, timeout_ms, headers, allow_private)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         returning name, url, enabled, lifecycle, timeout_ms, headers, allow_private, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
        draft.url,
        draft.enabled,
        draft.lifecycle,
        draft.timeout_ms,
        draft.headers,
        draft.allow_private,
    )
    .fetch_one(tx.conn())
    .await?;
    tell(tx).await?;
    Ok(server)
}

/// All of this owner, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<McpServer>, StoreError> {
    let owner = tx.owner().clone();
    let servers = sqlx::query_as!(
        McpServer,
        "select name, url, enabled, lifecycle, timeout_ms, headers, allow_private, created_at, updated_at
           from mcp_servers where user_id = $1 and profile = $2 order by name",
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(servers)
}

/// Locked until the end of the transaction, so that a change of some fields does not undo one of others.
pub async fn lock(tx: &mut Tx, name: &str) -> Result<McpServer, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        McpServer,
        "select name, url, enabled, lifecycle, timeout_ms, headers, allow_private, created_at, updated_at
           from mcp_servers where user_id = $1 and profile = $2 and name = $3 for update",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

pub async fn get(tx: &mut Tx, name: &str) -> Result<McpServer, StoreError> {
    let owner = tx.owner().clone();
    sqlx::query_as!(
        McpServer,
        "select name, url, enabled, lifecycle, timeout_ms, headers, allow_private, created_at, updated_at
           from mcp_servers where user_id = $1 and profile = $2 and name = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)
}

pub async fn update(tx: &mut Tx, name: &str, draft: &ServerDraft) -> Result<McpServer, StoreError> {
    let owner = tx.owner().clone();
    let server = sqlx::query_as!(
        McpServer,
        "update mcp_servers set url = $4, enabled = $5, lifecycle = $6, timeout_ms = $7, headers = $8, allow_private = $9,
                updated_at = app_now()
          where user_id = $1 and profile = $2 and name = $3
         returning name, url, enabled, lifecycle, timeout_ms, headers, allow_private, created_at, updated_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
        draft.url,
        draft.enabled,
        draft.lifecycle,
        draft.timeout_ms,
        draft.headers,
        draft.allow_private,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    tell(tx).await?;
    Ok(server)
}

pub async fn delete(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let done = sqlx::query!(
        "delete from mcp_servers where user_id = $1 and profile = $2 and name = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        name,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound);
    }
    tell(tx).await
}

/// With the commit, every replica drops the connections that are not as their server is now.
async fn tell(tx: &mut Tx) -> Result<(), StoreError> {
    let user = tx.owner().user.clone();
    hints::send(tx, &format!("servers {user}")).await
}
