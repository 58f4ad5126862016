//! Approvals: what asks whether it may run, and a person's decision.

use adjutant_core::ids::{ApprovalId, RunId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::without_nul;
use adjutant_core::run::consent::Why;
use adjutant_core::tool::Risk;
use adjutant_store::approvals;
use adjutant_store::approvals::{AskedApproval, Decision};
use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body;
use super::page::{Asked, Page};
use super::path::{Id, Open};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;
use crate::wire::forms::DecisionName;

/// A tool call and what was decided about it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalItem {
    pub id: ApprovalId,
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub tool_call_id: ToolCallId,
    pub agent: String,
    /// The name by which the model knows the tool.
    pub name: String,
    pub server: Option<String>,
    pub tool: Option<String>,
    /// Exactly what the tool would get.
    pub arguments: Value,
    pub risk: Risk,
    /// Why somebody is asked; absent for what was asked before this was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<Why>,
    /// `pending`, `approved`, `denied` or `withdrawn`.
    pub state: String,
    pub decision: Option<&'static str>,
    pub reason: Option<String>,
    pub requested_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct NewDecision {
    pub decision: DecisionName,
    /// For the assistant; at most 2,000 characters.
    pub reason: Option<String>,
}

/// Approvals, newest first
#[utoipa::path(
    get,
    path = "/api/approvals",
    params(Open, Asked),
    responses((status = 200, body = Page<ApprovalItem>))
)]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    open: Open,
    asked: Asked,
) -> Result<Json<Page<ApprovalItem>>, Problem> {
    let before: Option<ApprovalId> = asked.cursor(|text| text.parse().ok())?;
    let owner = user.scope.owner();
    let found =
        app.store().scoped(&owner, async |tx| approvals::page(tx, open.only, before, asked.limit).await).await?;
    let full = usize::try_from(asked.limit).is_ok_and(|limit| found.len() >= limit);
    let next = found.last().filter(|_| full).map(|last| last.approval.id.to_string());
    Ok(Json(Page { items: found.into_iter().map(ApprovalItem::from).collect(), next }))
}

/// Decides whether the call may run; the first decision counts
#[utoipa::path(
    post,
    path = "/api/approvals/{id}",
    params(("id" = ApprovalId, Path)),
    request_body = NewDecision,
    responses((status = 200, body = ApprovalItem))
)]
pub(super) async fn decide(
    State(app): State<App>,
    user: UserScope,
    Id(approval): Id<ApprovalId>,
    request: Request,
) -> Result<Json<ApprovalItem>, Problem> {
    let NewDecision { decision, reason } = body::json(request, limits::HTTP_BODY_BYTES).await?;
    if reason.as_ref().is_some_and(|reason| reason.chars().nth(limits::REASON_CHARS).is_some()) {
        let detail = format!("reason is longer than {} characters", limits::REASON_CHARS);
        return Err(Problem::bad_request("reason_too_long", detail));
    }
    let reason = reason.map(without_nul);
    let decision = match decision {
        DecisionName::Once => Decision::Once,
        DecisionName::Always => Decision::Always,
        DecisionName::Deny => Decision::Deny,
    };
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("decide", async move { engine.decide(&owner, approval, decision, reason.as_deref()).await })
        .await
        .ok_or_else(Problem::internal)??;
    let owner = user.scope.owner();
    let decided = app.store().scoped(&owner, async |tx| approvals::load(tx, approval).await).await?;
    Ok(Json(decided.into()))
}

impl From<AskedApproval> for ApprovalItem {
    fn from(asked: AskedApproval) -> Self {
        let approval = asked.approval;
        Self {
            id: approval.id,
            thread_id: asked.thread_id,
            run_id: approval.run_id,
            tool_call_id: approval.tool_call_id,
            agent: asked.agent,
            name: asked.name,
            server: asked.server,
            tool: asked.tool,
            arguments: asked.arguments,
            risk: asked.risk,
            why: asked.why,
            state: approval.state,
            decision: approval.decision.map(Decision::as_str),
            reason: approval.reason,
            requested_at: asked.requested_at,
            decided_at: asked.decided_at,
        }
    }
}
