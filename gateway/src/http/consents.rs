//! Tools that a person allowed for good: what they are, and taking that back.

use adjutant_store::consents;
use adjutant_store::consents::Consent;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Asked, Page};
use super::path::{Agent, ServerTool};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentView {
    pub agent: String,
    pub server: String,
    /// The server's own name of the tool.
    pub tool: String,
    pub created_at: DateTime<Utc>,
}

/// The agent that answers where none is named.
const AGENT: &str = "cos";

/// Tools that are not asked about again
#[utoipa::path(
    get,
    path = "/api/consents",
    params(Agent, Asked),
    responses((status = 200, body = Page<ConsentView>))
)]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    agent: Agent,
    asked: Asked,
) -> Result<Json<Page<ConsentView>>, Problem> {
    let after: Option<(String, String, String)> = asked.cursor(|text| serde_json::from_str(text).ok())?;
    let after = after.as_ref().map(|(agent, server, tool)| (agent.as_str(), server.as_str(), tool.as_str()));
    let owner = user.scope.owner();
    let found = app
        .store()
        .scoped(&owner, async |tx| consents::page(tx, agent.agent.as_deref(), after, asked.limit).await)
        .await?;
    let full = usize::try_from(asked.limit).is_ok_and(|limit| found.len() >= limit);
    let next = found
        .last()
        .filter(|_| full)
        .and_then(|last| serde_json::to_string(&(&last.agent, &last.server, &last.tool)).ok());
    Ok(Json(Page { items: found.into_iter().map(ConsentView::from).collect(), next }))
}

/// Takes a consent back: the tool asks again
#[utoipa::path(
    delete,
    path = "/api/consents/{server}/{tool}",
    params(("server" = String, Path), ("tool" = String, Path), Agent),
    responses((status = 204))
)]
pub(super) async fn revoke(
    State(app): State<App>,
    user: UserScope,
    ServerTool { server, tool }: ServerTool,
    agent: Agent,
) -> Result<StatusCode, Problem> {
    let owner = user.scope.owner();
    let agent = agent.agent.as_deref().unwrap_or(AGENT);
    app.store().scoped(&owner, async |tx| consents::revoke(tx, agent, &server, &tool).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Consent> for ConsentView {
    fn from(consent: Consent) -> Self {
        let Consent { agent, server, tool, definition: _, created_at } = consent;
        Self { agent, server, tool, created_at }
    }
}
