//! Tools that a person allowed for good, per agent, each with the definition that was allowed.

use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::Tx;

/// SHA-256 of a tool's definition as the model is shown it.
pub type Definition = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub agent: String,
    pub server: String,
    pub tool: String,
    /// `None`: given before definitions were kept; it is not known what was allowed.
    pub definition: Option<Definition>,
    pub created_at: DateTime<Utc>,
}

/// Allows a tool as it is defined now for an agent of this owner, until it is revoked or defined anew.
pub async fn allow(
    tx: &mut Tx,
    agent: &str,
    server: &str,
    tool: &str,
    definition: Option<&Definition>,
) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "insert into tool_consents (user_id, profile, agent, server, tool, definition) values ($1, $2, $3, $4, $5, $6)
         on conflict (user_id, profile, agent, server, tool)
             do update set definition = excluded.definition, created_at = app_now()",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
        server,
        tool,
        definition.map(<[u8; 32]>::as_slice),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What this owner allowed, of one agent or of all, after a position. At most `limit`.
pub async fn page(
    tx: &mut Tx,
    agent: Option<&str>,
    after: Option<(&str, &str, &str)>,
    limit: i64,
) -> Result<Vec<Consent>, StoreError> {
    let owner = tx.owner().clone();
    let (after_agent, after_server, after_tool) = after.unwrap_or_default();
    let rows = sqlx::query_as!(
        Row,
        "select agent, server, tool, definition, created_at from tool_consents
          where user_id = $1 and profile = $2 and ($3::text is null or agent = $3) and (agent, server, tool) > ($4, $5, $6)
          order by agent, server, tool limit $7",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
        after_agent,
        after_server,
        after_tool,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::into_consent).collect())
}

/// What this owner allowed an agent among these servers' tools.
pub async fn of_agent(tx: &mut Tx, agent: &str) -> Result<Vec<Consent>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select agent, server, tool, definition, created_at from tool_consents
          where user_id = $1 and profile = $2 and agent = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Row::into_consent).collect())
}

/// Takes a consent back.
pub async fn revoke(tx: &mut Tx, agent: &str, server: &str, tool: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let done = sqlx::query!(
        "delete from tool_consents where user_id = $1 and profile = $2 and agent = $3 and server = $4 and tool = $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        agent,
        server,
        tool,
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
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
    agent: String,
    server: String,
    tool: String,
    definition: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_consent(self) -> Consent {
        Consent {
            agent: self.agent,
            server: self.server,
            tool: self.tool,
            definition: self.definition.and_then(|bytes| bytes.try_into().ok()),
            created_at: self.created_at,
        }
    }
}
