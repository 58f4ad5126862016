//! Questions of tools: forms that a person fills in while a call is under way.

use adjutant_core::ids::{QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::limits;
use adjutant_core::message::ForeignText;
use adjutant_core::question::{Answer, Field};
use adjutant_store::questions;
use adjutant_store::questions::AskedQuestion;
use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body;
use super::page::{Asked, Page};
use super::path::{Id, Open};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;
use crate::wire::forms::AnswerAction;

/// A form. Its texts were written by a tool's server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuestionView {
    pub id: QuestionId,
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub tool_call_id: ToolCallId,
    /// The name by which the model knows the tool that asks.
    pub name: String,
    pub server: Option<String>,
    pub message: ForeignText,
    pub fields: Vec<Field>,
    /// `pending`, `accepted`, `declined`, `cancelled`, `expired` or `withdrawn`.
    pub state: &'static str,
    pub asked_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct NewAnswer {
    pub action: AnswerAction,
    /// By field name; only with `accept`.
    #[serde(default)]
    pub values: Map<String, Value>,
}

/// Questions of tools, newest first
#[utoipa::path(
    get,
    path = "/api/questions",
    params(Open, Asked),
    responses((status = 200, body = Page<QuestionView>))
)]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    open: Open,
    asked: Asked,
) -> Result<Json<Page<QuestionView>>, Problem> {
    let before: Option<QuestionId> = asked.cursor(|text| text.parse().ok())?;
    let owner = user.scope.owner();
    let found =
        app.store().scoped(&owner, async |tx| questions::page(tx, open.only, before, asked.limit).await).await?;
    let full = usize::try_from(asked.limit).is_ok_and(|limit| found.len() >= limit);
    let next = found.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(Json(Page { items: found.into_iter().map(QuestionView::from).collect(), next }))
}

/// Answers a question; the first answer counts
#[utoipa::path(
    post,
    path = "/api/questions/{id}",
    params(("id" = QuestionId, Path)),
    request_body = NewAnswer,
    responses((status = 200, body = QuestionView))
)]
pub(super) async fn answer(
    State(app): State<App>,
    user: UserScope,
    Id(question): Id<QuestionId>,
    request: Request,
) -> Result<Json<QuestionView>, Problem> {
    let NewAnswer { action, values } = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let answer = match action {
        AnswerAction::Accept => Answer::Accept(values),
        AnswerAction::Decline => Answer::Decline,
        AnswerAction::Cancel => Answer::Cancel,
    };
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    app.to_the_end("answer", async move { engine.answer(&owner, question, answer).await })
        .await
        .ok_or_else(Problem::internal)??;
    let owner = user.scope.owner();
    let answered = app.store().scoped(&owner, async |tx| questions::load(tx, question).await).await?;
    Ok(Json(answered.into()))
}

impl From<AskedQuestion> for QuestionView {
    fn from(asked: AskedQuestion) -> Self {
        Self {
            id: asked.id,
            thread_id: asked.thread_id,
            run_id: asked.run_id,
            tool_call_id: asked.tool_call_id,
            name: asked.name,
            server: asked.server,
            message: asked.question.message,
            fields: asked.question.fields,
            state: asked.state.as_str(),
            asked_at: asked.asked_at,
            answered_at: asked.answered_at,
        }
    }
}
