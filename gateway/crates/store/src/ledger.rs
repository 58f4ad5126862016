//! The tool ledger: one row per tool call, planned before it starts, started before a byte leaves.

use adjutant_core::ids::{RunId, ToolCallId};
use adjutant_core::message::OutcomeKind;
use adjutant_core::tool::Risk;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

/// Who runs the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Server {
        server: String,
        tool: String,
    },
    /// The caller of the API, who brought the tool.
    Caller,
    /// Nobody: there is no such tool, or the arguments are unusable.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    Planned,
    Asking,
    Started,
    Ended(OutcomeKind),
}

impl CallState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Asking => "asking",
            Self::Started => "started",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        Ok(match text {
            "planned" => Self::Planned,
            "asking" => Self::Asking,
            "started" => Self::Started,
            "succeeded" => Self::Ended(OutcomeKind::Succeeded),
            "failed" => Self::Ended(OutcomeKind::Failed),
            "denied" => Self::Ended(OutcomeKind::Denied),
            "unknown" => Self::Ended(OutcomeKind::Unknown),
            other => return Err(StoreError::bug(format!("unknown tool call state {other}"))),
        })
    }
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerRow {
    pub id: ToolCallId,
    pub run_id: RunId,
    /// The model call that asked for it, and the place among its calls.
    pub step: i32,
    pub position: i32,
    pub name: String,
    pub target: Target,
    pub arguments: Value,
    pub risk: Risk,
    pub repeatable: bool,
    pub state: CallState,
    /// How often it was sent.
    pub tries: i32,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Records a call that the model asked for. A repeatable call may be recorded as started at once:
/// a crash before it leaves costs nothing, because it is sent again.
pub async fn plan(tx: &mut Tx, row: &LedgerRow) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let (kind, server, tool) = match &row.target {
        Target::Server { server, tool } => ("server", Some(server.as_str()), Some(tool.as_str())),
        Target::Caller => ("caller", None, None),
        Target::Nobody => ("none", None, None),
    };
    sqlx::query!(
        "insert into tool_calls (user_id, profile, id, run_id, step, position, kind, name, server, tool, arguments, risk,
                                 repeatable, state, tries, started_at, finished_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                 case when $14 = 'started' then 1 else 0 end, case when $14 = 'started' then app_now() end,
                 case when $14 not in ('planned', 'asking', 'started') then app_now() end)",
        owner.user.as_str(),
        owner.profile.as_str(),
        row.id.as_uuid(),
        row.run_id.as_uuid(),
        row.step,
        row.position,
        kind,
        row.name,
        server,
        tool,
        row.arguments,
        risk_name(row.risk),
        row.repeatable,
        row.state.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The row that must be committed before the first byte leaves for the server.
pub async fn start(tx: &mut Tx, calls: &[ToolCallId]) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = calls.iter().map(|id| id.as_uuid()).collect();
    sqlx::query!(
        "update tool_calls set state = 'started', started_at = app_now(), tries = tries + 1
          where user_id = $1 and profile = $2 and id = any($3) and state in ('planned', 'asking', 'started')",
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn ask(tx: &mut Tx, call: ToolCallId) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    sqlx::query!(
        "update tool_calls set state = 'asking' where user_id = $1 and profile = $2 and id = $3 and state = 'planned'",
        owner.user.as_str(),
        owner.profile.as_str(),
        call.as_uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The end of a call that has none yet. Returns how many milliseconds it took; `None`: it was never started.
pub async fn settle(tx: &mut Tx, call: ToolCallId, outcome: OutcomeKind) -> Result<Option<u64>, StoreError> {
    let owner = tx.owner().clone();
    let took = sqlx::query_scalar!(
        "update tool_calls set state = $4, finished_at = app_now()
          where user_id = $1 and profile = $2 and id = $3 and state in ('planned', 'asking', 'started')
         returning case when started_at is not null
                   then greatest(0, extract(epoch from finished_at - started_at) * 1000)::bigint end",
        owner.user.as_str(),
        owner.profile.as_str(),
        call.as_uuid(),
        outcome.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(took.flatten().map(i64::unsigned_abs))
}

/// All tool calls of a run, in the order in which the model asked.
pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<LedgerRow>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query_as!(
        Row,
        "select id, run_id, step, position, kind, name, server, tool, arguments, risk, repeatable, state, tries,
                started_at, finished_at
           from tool_calls where user_id = $1 and profile = $2 and run_id = $3 order by step, position",
        owner.user.as_str(),
        owner.profile.as_str(),
        run.as_uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Row::into_ledger_row).collect()
}

/// The runs that wait for these caller's tools, each with the calls among `calls` that are open.
pub async fn open_with_caller(tx: &mut Tx, calls: &[ToolCallId]) -> Result<Vec<(RunId, ToolCallId)>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = calls.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        "select run_id, id from tool_calls
          where user_id = $1 and profile = $2 and id = any($3) and kind = 'caller' and state = 'planned'",
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (RunId::from_uuid(row.run_id), ToolCallId::from_uuid(row.id))).collect())
}

pub fn risk_name(risk: Risk) -> &'static str {
    match risk {
        Risk::ReadOnly => "read_only",
        Risk::Destructive => "destructive",
        Risk::Effects => "effects",
    }
}

pub(crate) fn parse_risk(text: &str) -> Risk {
    match text {
        "read_only" => Risk::ReadOnly,
        "destructive" => Risk::Destructive,
        _ => Risk::Effects,
    }
}

struct Row {
    id: Uuid,
    run_id: Uuid,
    step: i32,
    position: i32,
    kind: String,
    name: String,
    server: Option<String>,
    tool: Option<String>,
    arguments: Value,
    risk: String,
    repeatable: bool,
    state: String,
    tries: i32,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_ledger_row(self) -> Result<LedgerRow, StoreError> {
        let target = match (self.kind.as_str(), self.server, self.tool) {
            ("server", Some(server), Some(tool)) => Target::Server { server, tool },
            ("caller", ..) => Target::Caller,
            ("none", ..) => Target::Nobody,
            (other, ..) => return Err(StoreError::bug(format!("unknown tool call kind {other}"))),
        };
        Ok(LedgerRow {
            id: ToolCallId::from_uuid(self.id),
            run_id: RunId::from_uuid(self.run_id),
            step: self.step,
            position: self.position,
            name: self.name,
            target,
            arguments: self.arguments,
            risk: parse_risk(&self.risk),
            repeatable: self.repeatable,
            state: CallState::parse(&self.state)?,
            tries: self.tries,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}
