//! Definitions of tools as a profile saw and accepted them. The first that is seen of a server is trusted; what is new
//! or different later waits until its owner accepts it.

use adjutant_core::limits;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::Tx;

/// SHA-256 of a whole definition.
pub type Hash = [u8; 32];

/// A definition that a server gives now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub tool: String,
    pub hash: Hash,
    /// What a person is shown; may be cut.
    pub text: String,
}

/// The hashes of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedHash {
    pub server: String,
    pub tool: String,
    pub seen: Hash,
    pub accepted: Option<Hash>,
}

/// One tool with its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPin {
    pub tool: String,
    pub seen_hash: Hash,
    pub seen: String,
    pub seen_at: DateTime<Utc>,
    pub accepted_hash: Option<Hash>,
    pub accepted: Option<String>,
    pub accepted_at: Option<DateTime<Utc>>,
}

/// All of this owner, without their texts.
pub async fn hashes(tx: &mut Tx) -> Result<Vec<PinnedHash>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select server, tool, seen_hash, accepted_hash from mcp_tool_pins where user_id = $1 and profile = $2",
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let accepted = row.accepted_hash.map(hash).transpose()?;
            Ok(PinnedHash { server: row.server, tool: row.tool, seen: hash(row.seen_hash)?, accepted })
        })
        .collect()
}

/// Those of one server, by name.
pub async fn of_server(tx: &mut Tx, server: &str) -> Result<Vec<ToolPin>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select tool, seen_hash, seen, seen_at, accepted_hash, accepted, accepted_at
           from mcp_tool_pins where user_id = $1 and profile = $2 and server = $3 order by tool",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ToolPin {
                tool: row.tool,
                seen_hash: hash(row.seen_hash)?,
                seen: row.seen,
                seen_at: row.seen_at,
                accepted_hash: row.accepted_hash.map(hash).transpose()?,
                accepted: row.accepted,
                accepted_at: row.accepted_at,
            })
        })
        .collect()
}

/// Keeps what was seen of a server, accepted when nothing of it was seen before.
pub async fn record(tx: &mut Tx, server: &str, seen: &[Seen]) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    // Two first visits at once are one.
    let place = format!("{} {} {server}", owner.user, owner.profile);
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 30))", place).execute(tx.conn()).await?;
    let known = sqlx::query_scalar!(
        r#"select count(*) as "count!" from mcp_tool_pins where user_id = $1 and profile = $2 and server = $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
    )
    .fetch_one(tx.conn())
    .await?;
    let tools: Vec<String> = seen.iter().map(|seen| seen.tool.clone()).collect();
    let hashes: Vec<Vec<u8>> = seen.iter().map(|seen| seen.hash.to_vec()).collect();
    let texts: Vec<String> = seen.iter().map(|seen| seen.text.clone()).collect();
    sqlx::query!(
        "insert into mcp_tool_pins
                (user_id, profile, server, tool, seen_hash, seen, accepted_hash, accepted, accepted_at)
         select $1, $2, $3, d.tool, d.hash, d.definition, case when $7 then d.hash end,
                case when $7 then d.definition end, case when $7 then app_now() end
           from unnest($4::text[], $5::bytea[], $6::text[]) as d(tool, hash, definition)
         on conflict (user_id, profile, server, tool) do update
            set seen_hash = excluded.seen_hash, seen = excluded.seen, seen_at = app_now()",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
        &tools,
        &hashes,
        &texts,
        known == 0,
    )
    .execute(tx.conn())
    .await?;
    // A server that never stops making up names fills no disk.
    sqlx::query!(
        "with extra as (
             select tool from mcp_tool_pins
              where user_id = $1 and profile = $2 and server = $3 and accepted_hash is null
              order by seen_at desc, tool offset $4)
         delete from mcp_tool_pins p using extra e where p.user_id = $1 and p.profile = $2 and p.server = $3 and p.tool = e.tool",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
        limits::MCP_PINS,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Accepts the newest definition, if it is the one with that hash; `false` if it is another by now.
pub async fn accept(tx: &mut Tx, server: &str, tool: &str, expected: &Hash) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    let accepted = sqlx::query_scalar!(
        r#"update mcp_tool_pins
              set accepted_hash = case when seen_hash = $5 then seen_hash else accepted_hash end,
                  accepted = case when seen_hash = $5 then seen else accepted end,
                  accepted_at = case when seen_hash = $5 then app_now() else accepted_at end
            where user_id = $1 and profile = $2 and server = $3 and tool = $4
           returning (seen_hash = $5) as "accepted!""#,
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
        tool,
        expected.as_slice(),
    )
    .fetch_optional(tx.conn())
    .await?;
    accepted.ok_or(StoreError::NotFound)
}

/// Forgets a server: the next one of that name is a new one.
pub async fn forget(tx: &mut Tx, server: &str) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "delete from mcp_tool_pins where user_id = $1 and profile = $2 and server = $3",
        owner.user.as_str(),
        owner.profile.as_str(),
        server,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn hash(bytes: Vec<u8>) -> Result<Hash, StoreError> {
    bytes.try_into().map_err(|_| StoreError::bug("a hash has another length than 32 bytes"))
}
