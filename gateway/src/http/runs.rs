//! Runs: what one did, and what a person does to it.

use adjutant_core::cost::{self, Cost};
use adjutant_core::ids::{ApprovalId, MessageId, RunId, StepId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::accept_user_parts;
use adjutant_core::model::{PaidBy, PassedOver, Usage};
use adjutant_core::tool::Risk;
use adjutant_store::approvals::Approval;
use adjutant_store::ledger::{LedgerRow, Target};
use adjutant_store::runs::Run;
use adjutant_store::steps::{ModelCallStep, StepKind};
use adjutant_store::{approvals, ledger, runs, steps};
use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::{self, NoBody};
use super::messages;
use super::path::Id;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;
use crate::wire::client;
use crate::wire::forms::SubmitContent;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    pub id: RunId,
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub state: &'static str,
    pub agent: String,
    pub origin: String,
    pub model: Option<String>,
    pub usage: Usage,
    /// What its model calls cost, the one for the thread's title among them; one entry per currency.
    pub costs: Vec<Cost>,
    /// Model calls whose price nobody told: they are not in `costs`.
    pub unpriced_steps: usize,
    pub error: Option<ErrorView>,
    pub cancel_requested: bool,
    /// How often a server died while it worked on this run.
    pub crashes: i32,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// With state `joined`: the run that took in this one's messages.
    pub joined_run_id: Option<RunId>,
    /// Each model call, followed by the tool calls it asked for.
    pub steps: Vec<StepView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorView {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StepView {
    ModelCall(ModelCallView),
    /// The small model was asked for the thread's title after the run: in `costs`, not in the run's `usage`.
    Title(ModelCallView),
    /// A model was asked for the thread's summary after the run, by a person: in `costs`, not in the run's `usage`.
    Distillation(ModelCallView),
    // On the variant: the schema does not know `rename_all_fields`.
    #[serde(rename_all = "camelCase")]
    ToolCall {
        /// Of the model call that asked for it.
        number: i32,
        position: i32,
        id: ToolCallId,
        name: String,
        server: Option<String>,
        tool: Option<String>,
        arguments: Value,
        risk: Risk,
        state: &'static str,
        tries: i32,
        started_at: Option<DateTime<Utc>>,
        finished_at: Option<DateTime<Utc>>,
        approval: Option<ApprovalView>,
    },
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCallView {
    pub number: i32,
    pub id: StepId,
    pub model: Option<String>,
    pub stop: Option<String>,
    pub error: Option<ErrorView>,
    pub usage: Usage,
    /// Who answered: `openai`, `anthropic` or `ollama`.
    pub provider: Option<String>,
    /// Whose key the call was made with.
    pub paid_by: Option<PaidBy>,
    /// Null where nobody told the price.
    pub cost: Option<Cost>,
    /// Models that were asked before this one, or that rest, and why.
    pub passed_over: Vec<PassedOver>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalView {
    pub id: ApprovalId,
    pub state: String,
    pub decision: Option<&'static str>,
    pub reason: Option<String>,
}

/// The answer to what a person did: the run changes, and events say how.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    pub run_id: RunId,
}

/// One run with its steps
#[utoipa::path(get, path = "/api/runs/{id}", params(("id" = RunId, Path)), responses((status = 200, body = RunView)))]
pub(super) async fn get(State(app): State<App>, user: UserScope, Id(run): Id<RunId>) -> Result<Json<RunView>, Problem> {
    let owner = user.scope.owner();
    let (run, model_calls, tool_calls, asked) = app
        .store()
        .scoped(&owner, async |tx| {
            let found = runs::load(tx, run).await?;
            let model_calls = steps::of_run(tx, run).await?;
            let tool_calls = ledger::of_run(tx, run).await?;
            Ok((found, model_calls, tool_calls, approvals::of_run(tx, run).await?))
        })
        .await?;
    Ok(Json(view(run, model_calls, tool_calls, &asked)))
}

/// What a message that waits for its turn says from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes the body; the one reader of it is that of the frame")]
pub struct RevisionBody {
    /// Text, which keeps the files of the message, or parts, which name them: as in `POST /api/messages`.
    #[schema(value_type = SubmitContent)]
    content: Value,
    /// `queue` or `steer`; without it, it stays as it is.
    mode: Option<String>,
}

/// Rewrites the message of a run that waits for its turn, where it stands
///
/// 409 `run_not_queued` once its turn has come, unless the message says the same already.
#[utoipa::path(
    patch,
    path = "/api/runs/{id}",
    params(("id" = RunId, Path)),
    request_body = RevisionBody,
    responses((status = 200, body = Changed))
)]
pub(super) async fn revise(
    State(app): State<App>,
    user: UserScope,
    Id(run): Id<RunId>,
    request: Request,
) -> Result<Json<Changed>, Problem> {
    let fields: Map<String, Value> = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let mut revision = client::revision(&fields).map_err(messages::bad_body)?;
    revision.parts = accept_user_parts(revision.parts)?;
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("revise", async move { engine.revise(&owner, run, revision).await })
        .await
        .ok_or_else(Problem::internal)??;
    Ok(Json(Changed { run_id: run }))
}

/// Ends a run within a second
#[utoipa::path(
    post,
    path = "/api/runs/{id}/cancel",
    params(("id" = RunId, Path)),
    responses((status = 202, body = Changed))
)]
pub(super) async fn cancel(
    State(app): State<App>,
    user: UserScope,
    Id(run): Id<RunId>,
    _: NoBody,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("cancel", async move { engine.cancel(&owner, run).await }).await.ok_or_else(Problem::internal)??;
    Ok(changed(run))
}

/// Tries a quarantined run again from its last commit
#[utoipa::path(
    post,
    path = "/api/runs/{id}/retry",
    params(("id" = RunId, Path)),
    responses((status = 202, body = Changed))
)]
pub(super) async fn retry(
    State(app): State<App>,
    user: UserScope,
    Id(run): Id<RunId>,
    _: NoBody,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("retry", async move { engine.retry(&owner, run).await }).await.ok_or_else(Problem::internal)??;
    Ok(changed(run))
}

/// Gives a quarantined run up
#[utoipa::path(
    post,
    path = "/api/runs/{id}/discard",
    params(("id" = RunId, Path)),
    responses((status = 202, body = Changed))
)]
pub(super) async fn discard(
    State(app): State<App>,
    user: UserScope,
    Id(run): Id<RunId>,
    _: NoBody,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("discard", async move { engine.discard(&owner, run).await })
        .await
        .ok_or_else(Problem::internal)??;
    Ok(changed(run))
}

fn changed(run_id: RunId) -> (StatusCode, Json<Changed>) {
    (StatusCode::ACCEPTED, Json(Changed { run_id }))
}

fn view(run: Run, model_calls: Vec<ModelCallStep>, tool_calls: Vec<LedgerRow>, asked: &[Approval]) -> RunView {
    let costs = cost::sum(model_calls.iter().filter_map(|step| step.cost));
    // A call that failed before anything came used nothing that anybody knows of.
    let unpriced_steps =
        model_calls.iter().filter(|step| step.cost.is_none() && step.usage != Usage::default()).count();
    let mut steps: Vec<(i32, i32, StepView)> = Vec::with_capacity(model_calls.len() + tool_calls.len());
    steps.extend(model_calls.into_iter().map(|step| (step.number, -1, model_call(step))));
    steps.extend(tool_calls.into_iter().map(|row| (row.step, row.position, tool_call(row, asked))));
    steps.sort_by_key(|(number, position, _)| (*number, *position));
    RunView {
        id: run.id,
        thread_id: run.thread_id,
        message_id: run.message_id,
        state: run.status.as_str(),
        agent: run.agent,
        origin: run.origin,
        model: run.model,
        usage: run.usage,
        costs,
        unpriced_steps,
        error: error(run.error_code.zip(run.error_message)),
        cancel_requested: run.cancel_requested,
        crashes: run.crashes,
        created_at: run.created_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
        joined_run_id: run.joined_run_id,
        steps: steps.into_iter().map(|(_, _, step)| step).collect(),
    }
}

pub(super) fn error(parts: Option<(String, String)>) -> Option<ErrorView> {
    parts.map(|(code, message)| ErrorView { code, message })
}

fn model_call(step: ModelCallStep) -> StepView {
    let view = ModelCallView {
        number: step.number,
        id: step.id,
        model: step.model,
        stop: step.stop,
        error: error(step.error),
        usage: step.usage,
        provider: step.provider,
        paid_by: step.paid_by,
        cost: step.cost,
        passed_over: step.passed_over,
        started_at: step.started_at,
        finished_at: step.finished_at,
    };
    match step.kind {
        StepKind::ModelCall => StepView::ModelCall(view),
        StepKind::Title => StepView::Title(view),
        StepKind::Distillation => StepView::Distillation(view),
    }
}

fn tool_call(row: LedgerRow, asked: &[Approval]) -> StepView {
    let (server, tool) = match row.target {
        Target::Server { server, tool } => (Some(server), Some(tool)),
        Target::Caller | Target::Nobody => (None, None),
    };
    let approval = asked.iter().find(|approval| approval.tool_call_id == row.id);
    StepView::ToolCall {
        number: row.step,
        position: row.position,
        id: row.id,
        name: row.name,
        server,
        tool,
        arguments: row.arguments,
        risk: row.risk,
        state: row.state.as_str(),
        tries: row.tries,
        started_at: row.started_at,
        finished_at: row.finished_at,
        approval: approval.map(|approval| ApprovalView {
            id: approval.id,
            state: approval.state.clone(),
            decision: approval.decision.map(adjutant_store::approvals::Decision::as_str),
            reason: approval.reason.clone(),
        }),
    }
}
