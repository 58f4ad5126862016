//! The record of a run's model calls.

use adjutant_core::cost::{Cost, Currency};
use adjutant_core::ids::{RunId, StepId};
use adjutant_core::model::{PaidBy, PassedOver, Usage};
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::threads::signed;
use crate::tx::Tx;

/// What a model was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A part of the run itself.
    ModelCall,
    /// The thread's title, after the run.
    Title,
    /// The thread's summary, when a person wanted one.
    Distillation,
}

impl StepKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::ModelCall => "model_call",
            Self::Title => "title",
            Self::Distillation => "distillation",
        }
    }

    fn parse(text: &str) -> Self {
        [Self::Title, Self::Distillation].into_iter().find(|kind| text == kind.as_str()).unwrap_or(Self::ModelCall)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ModelCallStep {
    pub number: i32,
    pub id: StepId,
    pub kind: StepKind,
    pub model: Option<String>,
    pub stop: Option<String>,
    pub error: Option<(String, String)>,
    pub usage: Usage,
    /// Who answered, as its models are prefixed.
    pub provider: Option<String>,
    pub paid_by: Option<PaidBy>,
    /// `None`: nobody told the price.
    pub cost: Option<Cost>,
    /// Models that were asked before, or that rest.
    pub passed_over: Vec<PassedOver>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

pub async fn insert(tx: &mut Tx, run: RunId, step: &ModelCallStep) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let (code, message) =
        step.error.as_ref().map_or((None, None), |(code, message)| (Some(code.as_str()), Some(message.as_str())));
    sqlx::query!(
        "insert into steps (user_id, profile, run_id, number, id, kind, model, stop, error_code, error_message,
                            input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, provider, paid_by,
                            cost_micros, currency, passed_over, started_at, finished_at)
         values ($1, $2, $3, $4, $5, $21, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
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
        signed(step.usage.cache_write_tokens),
        step.provider.as_deref(),
        step.paid_by.map(PaidBy::as_str),
        step.cost.map(|cost| signed(cost.micros)),
        step.cost.as_ref().map(|cost| cost.currency.as_str()),
        serde_json::to_value(&step.passed_over).map_err(StoreError::bug)?,
        step.started_at,
        step.finished_at,
        step.kind.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The number of a step behind all that the run has. Only for a run that has ended: nobody else adds steps to it.
pub async fn number_behind(tx: &mut Tx, run: RunId) -> Result<i32, StoreError> {
    let owner = tx.owner().clone();
    let last = sqlx::query_scalar!(
        "select number from steps where user_id = $1 and profile = $2 and run_id = $3 order by number desc limit 1",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(last.unwrap_or(0) + 1)
}

pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<ModelCallStep>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        "select number, id, kind, model, stop, error_code, error_message, input_tokens, output_tokens, cached_input_tokens,
                cache_write_tokens, provider, paid_by, cost_micros, currency, passed_over, started_at, finished_at
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
            kind: StepKind::parse(&row.kind),
            model: row.model,
            stop: row.stop,
            error: row.error_code.zip(row.error_message),
            usage: Usage {
                input_tokens: row.input_tokens.unsigned_abs(),
                output_tokens: row.output_tokens.unsigned_abs(),
                cached_input_tokens: row.cached_input_tokens.unsigned_abs(),
                cache_write_tokens: row.cache_write_tokens.unsigned_abs(),
            },
            provider: row.provider,
            paid_by: row.paid_by.as_deref().and_then(PaidBy::parse),
            cost: row.cost_micros.zip(row.currency).and_then(|(micros, currency)| {
                Some(Cost { micros: micros.unsigned_abs(), currency: Currency::parse(&currency)? })
            }),
            passed_over: serde_json::from_value(row.passed_over).unwrap_or_default(),
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
        .collect())
}
