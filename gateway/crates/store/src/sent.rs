//! What was sent to the model, step by step. A step names its pieces by digest; a piece is stored once per thread and
//! goes with it. Nothing here is built again from messages: it is what left, whatever was changed since.

use std::collections::HashMap;

use adjutant_core::ids::{RunId, ThreadId};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::error::StoreError;
use crate::tx::Tx;

/// SHA-256 of a piece's content.
pub type PieceDigest = [u8; 32];

/// One message, or a list of tools, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub digest: PieceDigest,
    pub content: String,
}

/// One model call as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SentStep {
    pub number: i32,
    /// What was to answer, in order; empty: the operator's order.
    pub models: Vec<String>,
    pub parameters: Value,
    pub tools: PieceDigest,
    pub messages: Vec<PieceDigest>,
    pub sent_at: DateTime<Utc>,
}

/// Stores a step. `pieces` holds those that may be new; the others are there already.
pub async fn record(
    tx: &mut Tx,
    thread: ThreadId,
    run: RunId,
    step: &SentStep,
    pieces: &[Piece],
) -> Result<(), StoreError> {
    let digests: Vec<PieceDigest> = pieces.iter().map(|piece| piece.digest).collect();
    let there = lengths(tx, thread, &digests).await?;
    let new: Vec<&Piece> = pieces.iter().filter(|piece| !there.contains_key(&piece.digest)).collect();
    let owner = tx.owner().clone();
    if !new.is_empty() {
        let digests: Vec<&[u8]> = new.iter().map(|piece| piece.digest.as_slice()).collect();
        let contents: Vec<&str> = new.iter().map(|piece| piece.content.as_str()).collect();
        sqlx::query!(
            "insert into sent_pieces (user_id, profile, thread_id, digest, content)
             select $1, $2, $3, new.* from unnest($4::bytea[], $5::text[]) as new
             on conflict do nothing",
            owner.user.as_str(),
            owner.profile.as_str(),
            thread.as_uuid(),
            &digests as _,
            &contents as _,
        )
        .execute(tx.conn())
        .await?;
    }
    let messages: Vec<&[u8]> = step.messages.iter().map(PieceDigest::as_slice).collect();
    sqlx::query!(
        "insert into sent_steps (user_id, profile, run_id, number, models, parameters, tools, messages, sent_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (user_id, profile, run_id, number) do update
            set models = excluded.models, parameters = excluded.parameters, tools = excluded.tools,
                messages = excluded.messages, sent_at = excluded.sent_at",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
        step.number,
        &step.models,
        step.parameters,
        step.tools.as_slice(),
        &messages as _,
        step.sent_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The steps of a run after the given number, in order.
pub async fn of_run(tx: &mut Tx, run: RunId, after: Option<i32>, limit: i64) -> Result<Vec<SentStep>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select number, models, parameters, tools, messages, sent_at
           from sent_steps
          where user_id = $1 and profile = $2 and run_id = $3 and ($4::integer is null or number > $4)
          order by number limit $5",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
        after,
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SentStep {
                number: row.number,
                models: row.models,
                parameters: row.parameters,
                tools: digest(&row.tools)?,
                messages: row.messages.iter().map(|bytes| digest(bytes)).collect::<Result<_, _>>()?,
                sent_at: row.sent_at,
            })
        })
        .collect()
}

/// How long the pieces of these digests are, of those that are there.
pub async fn lengths(
    tx: &mut Tx,
    thread: ThreadId,
    digests: &[PieceDigest],
) -> Result<HashMap<PieceDigest, usize>, StoreError> {
    let owner = tx.owner().clone();
    let wanted: Vec<&[u8]> = digests.iter().map(PieceDigest::as_slice).collect();
    let rows = sqlx::query!(
        r#"select digest, octet_length(content) as "length!" from sent_pieces
            where user_id = $1 and profile = $2 and thread_id = $3 and digest = any($4::bytea[])"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &wanted as _,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| Ok((digest(&row.digest)?, usize::try_from(row.length).unwrap_or(0)))).collect()
}

/// The pieces of these digests.
pub async fn pieces(
    tx: &mut Tx,
    thread: ThreadId,
    digests: &[PieceDigest],
) -> Result<HashMap<PieceDigest, String>, StoreError> {
    let owner = tx.owner().clone();
    let wanted: Vec<&[u8]> = digests.iter().map(PieceDigest::as_slice).collect();
    let rows = sqlx::query!(
        "select digest, content from sent_pieces
          where user_id = $1 and profile = $2 and thread_id = $3 and digest = any($4::bytea[])",
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &wanted as _,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| Ok((digest(&row.digest)?, row.content))).collect()
}

fn digest(bytes: &[u8]) -> Result<PieceDigest, StoreError> {
    bytes.try_into().map_err(|_| StoreError::bug("a digest of another length"))
}
