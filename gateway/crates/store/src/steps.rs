//! The record of a run's model calls.

use adjutant_core::ids::{RunId, StepId};
use adjutant_core::model::Usage;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::threads::signed;
use crate::tx::Tx;

#[derive(Debug, Clone, PartialEq)]
pub struct ModelCallStep {
    pub number: i32,
    pub id: StepId,
    pub model: Option<String>,
    pub stop: Option<String>,
    pub error: Option<(String, String)>,
    pub usage: Usage,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

pub async fn insert(tx: &mut Tx, run: RunId, step: &ModelCallStep) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let (code, message) =
        step.error.as_ref().map_or((None, None), |(code, message)| (Some(code.as_str()), Some(message.as_str())));
    sqlx::query!(
        "insert into steps (user_id, profile, run_id, number, id, kind, model, stop, error_code, error_message,
                            input_tokens, output_tokens, cached_input_tokens, started_at, finished_at)
         values ($1, $2, $3, $4, $5, 'model_call', $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
        step.number,
        step.id.as_uuid(),
        step.model.as_deref(),
        step.stop.as_deref(),
        code,
        message,
        signed(step.usage.input_tokens),
        signed(step.usage.output_tokens),
        signed(step.usage.cached_input_tokens),
        step.started_at,
        step.finished_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<ModelCallStep>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select number, id, model, stop, error_code, error_message, input_tokens, output_tokens, cached_input_tokens,
                started_at, finished_at
           from steps where user_id = $1 and profile = $2 and run_id = $3 order by number",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ModelCallStep {
            number: row.number,
            id: StepId::from_uuid(row.id),
            model: row.model,
            stop: row.stop,
            error: row.error_code.zip(row.error_message),
            usage: Usage {
                input_tokens: row.input_tokens.unsigned_abs(),
                output_tokens: row.output_tokens.unsigned_abs(),
                cached_input_tokens: row.cached_input_tokens.unsigned_abs(),
                cache_write_tokens: 0,
            },
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
        .collect())
}
