//! Runs as a list shows them: what was asked, what became of it, what it cost.

use adjutant_core::cost::{Cost, Currency};
use adjutant_core::ids::{RunId, ThreadId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::StoreError;
use crate::runs::RunStatus;
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq)]
pub struct RunItem {
    pub id: RunId,
    pub thread_id: ThreadId,
    pub thread_title: Option<String>,
    pub status: RunStatus,
    pub agent: String,
    pub origin: String,
    pub model: Option<String>,
    /// The beginning of what was asked.
    pub said: Option<String>,
    pub error: Option<(String, String)>,
    /// Calls of tools of which nobody knows whether they happened.
    pub unknown_calls: i64,
    /// One entry per currency.
    pub costs: Vec<Cost>,
    /// Model calls whose price nobody told.
    pub unpriced_steps: i64,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Runs that began since `since`, newest first, after the run `before`. Not those of hidden or deleted threads.
pub async fn page(
    tx: &mut Tx,
    since: Option<DateTime<Utc>>,
    before: Option<RunId>,
    limit: i64,
) -> Result<Vec<RunItem>, StoreError> {
    let owner = tx.owner().clone();
    // Ids grow with time: the primary key is the order.
    let rows = sqlx::query!(
        r#"select r.id, r.thread_id, t.title, r.state, r.agent, r.origin, r.model, r.error_code, r.error_message,
                  message_said(m.content) as said, r.created_at, r.started_at, r.finished_at,
                  (select count(*) from tool_calls c
                    where c.user_id = $1 and c.profile = $2 and c.run_id = r.id and c.state = 'unknown') as "unknown!"
             from runs r
             join threads t on t.user_id = $1 and t.profile = $2 and t.id = r.thread_id
             join messages m on m.user_id = $1 and m.profile = $2 and m.thread_id = r.thread_id and m.id = r.message_id
            where r.user_id = $1 and r.profile = $2 and not t.hidden and t.deleted_at is null
              and ($3::timestamptz is null or r.created_at >= $3) and ($4::uuid is null or r.id < $4)
            order by r.id desc
            limit $5"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        since,
        before.map(RunId::as_uuid),
        limit,
    )
    .fetch_all(tx.conn())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let bills = bills(tx, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let mine = || bills.iter().filter(|bill| bill.run == row.id);
            Ok(RunItem {
                id: RunId::from_uuid(row.id),
                thread_id: ThreadId::from_uuid(row.thread_id),
                thread_title: row.title,
                status: RunStatus::parse(&row.state)
                    .ok_or_else(|| StoreError::bug(format!("unknown run state {}", row.state)))?,
                agent: row.agent,
                origin: row.origin,
                model: row.model,
                said: row.said,
                error: row.error_code.zip(row.error_message),
                unknown_calls: row.unknown,
                costs: mine().filter_map(|bill| bill.cost).collect(),
                unpriced_steps: mine().map(|bill| bill.unpriced).sum(),
                created_at: row.created_at,
                started_at: row.started_at,
                finished_at: row.finished_at,
            })
        })
        .collect()
}

struct Bill {
    run: Uuid,
    cost: Option<Cost>,
    unpriced: i64,
}

/// What each of these runs cost, one row per run and currency.
async fn bills(tx: &mut Tx, runs: &[Uuid]) -> Result<Vec<Bill>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        r#"select run_id, currency, sum(cost_micros)::bigint as micros,
                  count(*) filter (where currency is null and input_tokens + output_tokens > 0) as "unpriced!"
             from steps where user_id = $1 and profile = $2 and run_id = any($3)
            group by run_id, currency order by run_id, currency"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        runs,
    )
    .fetch_all(tx.conn())
    .await?;
    let bill = |(micros, currency): (i64, String)| {
        Some(Cost { micros: micros.unsigned_abs(), currency: Currency::parse(&currency)? })
    };
    Ok(rows
        .into_iter()
        .map(|row| Bill { run: row.run_id, cost: row.micros.zip(row.currency).and_then(bill), unpriced: row.unpriced })
        .collect())
}
