//! What threads cost: the model calls of their runs together, and how long the newest prompt was.

use std::collections::HashMap;

use adjutant_core::cost::{Cost, Currency};
use adjutant_core::ids::ThreadId;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

/// Of one thread; that of a thread without a model call is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadCosts {
    /// One entry per currency.
    pub costs: Vec<Cost>,
    /// Model calls whose price nobody told.
    pub unpriced_steps: i64,
    /// Input tokens of the newest model call that was answered, as a part of a run. `None` also when the thread's
    /// summary came or went since that run began.
    pub context_tokens: Option<i64>,
}

/// Those of these threads that have any, in one query.
pub async fn of_threads(tx: &mut Tx, threads: &[ThreadId]) -> Result<HashMap<ThreadId, ThreadCosts>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = threads.iter().map(|thread| thread.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select r.thread_id, s.currency, sum(s.cost_micros)::bigint as micros,
                  count(*) filter (where s.currency is null and s.input_tokens + s.output_tokens > 0) as "unpriced!",
                  max(s.finished_at) filter (where s.kind = 'model_call' and s.input_tokens > 0
                                               and (t.summary_changed is null or r.started_at > t.summary_changed)) as newest_at,
                  (array_agg(s.input_tokens order by s.finished_at desc, s.run_id desc, s.number desc)
                    filter (where s.kind = 'model_call' and s.input_tokens > 0
                              and (t.summary_changed is null or r.started_at > t.summary_changed)))[1] as newest
             from runs r
             join threads t on t.user_id = $1 and t.profile = $2 and t.id = r.thread_id
             join steps s on s.user_id = $1 and s.profile = $2 and s.run_id = r.id
            where r.user_id = $1 and r.profile = $2 and r.thread_id = any($3)
            group by r.thread_id, s.currency
            order by r.thread_id, s.currency"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut found: HashMap<ThreadId, ThreadCosts> = HashMap::new();
    let mut newest: HashMap<ThreadId, DateTime<Utc>> = HashMap::new();
    for row in rows {
        let thread = ThreadId::from_uuid(row.thread_id);
        let of_it = found.entry(thread).or_default();
        of_it.unpriced_steps += row.unpriced;
        of_it.costs.extend(row.micros.zip(row.currency).and_then(|(micros, currency)| {
            Some(Cost { micros: micros.unsigned_abs(), currency: Currency::parse(&currency)? })
        }));
        // Calls are grouped by currency: the newest of all may be in any of the groups.
        if let Some((at, tokens)) = row.newest_at.zip(row.newest)
            && newest.get(&thread).is_none_or(|known| *known < at)
        {
            newest.insert(thread, at);
            of_it.context_tokens = Some(tokens);
        }
    }
    Ok(found)
}
