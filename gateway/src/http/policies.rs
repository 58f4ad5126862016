//! Policies for consent: what the owner wants of a server, or of one of its tools.

use adjutant_core::limits;
use adjutant_core::run::consent::Policy;
use adjutant_store::error::StoreError;
use adjutant_store::policies;
use adjutant_store::policies::ToolPolicy;
use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::page::Page;
use super::path::{Server, ServerTool};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    pub server: String,
    /// `null`: the whole server, where a tool has no policy of its own.
    pub tool: Option<String>,
    pub policy: Policy,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct NewPolicy {
    pub policy: Policy,
}

/// All policies
///
/// A tool's own policy holds, else its server's, else `annotations` for servers of the operator and `ask` for the user's own.
#[utoipa::path(get, path = "/api/policies", responses((status = 200, body = Page<PolicyView>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<PolicyView>>, Problem> {
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| policies::all(tx, limits::POLICIES).await).await?;
    Ok(Json(Page { items: found.into_iter().map(PolicyView::from).collect(), next: None }))
}

/// Sets the policy of a server
#[utoipa::path(
    put,
    path = "/api/policies/{server}",
    params(("server" = String, Path)),
    request_body = NewPolicy,
    responses((status = 200, body = PolicyView))
)]
pub(super) async fn put_server(
    State(app): State<App>,
    user: UserScope,
    Server(server): Server,
    request: Request,
) -> Result<Json<PolicyView>, Problem> {
    put(&app, &user, &server, None, request).await
}

/// Sets the policy of one tool
#[utoipa::path(
    put,
    path = "/api/policies/{server}/{tool}",
    params(("server" = String, Path), ("tool" = String, Path)),
    request_body = NewPolicy,
    responses((status = 200, body = PolicyView))
)]
pub(super) async fn put_tool(
    State(app): State<App>,
    user: UserScope,
    ServerTool { server, tool }: ServerTool,
    request: Request,
) -> Result<Json<PolicyView>, Problem> {
    put(&app, &user, &server, Some(&tool), request).await
}

/// Takes the policy of a server back; those of its tools stay
#[utoipa::path(
    delete,
    path = "/api/policies/{server}",
    params(("server" = String, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_server(
    State(app): State<App>,
    user: UserScope,
    Server(server): Server,
) -> Result<StatusCode, Problem> {
    let owner = user.scope.owner();
    app.store().scoped(&owner, async |tx| policies::delete(tx, &server, None).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the policy of one tool back
#[utoipa::path(
    delete,
    path = "/api/policies/{server}/{tool}",
    params(("server" = String, Path), ("tool" = String, Path)),
    responses((status = 204))
)]
pub(super) async fn delete_tool(
    State(app): State<App>,
    user: UserScope,
    ServerTool { server, tool }: ServerTool,
) -> Result<StatusCode, Problem> {
    let owner = user.scope.owner();
    app.store().scoped(&owner, async |tx| policies::delete(tx, &server, Some(&tool)).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put(
    app: &App,
    user: &UserScope,
    server: &str,
    tool: Option<&str>,
    request: Request,
) -> Result<Json<PolicyView>, Problem> {
    let NewPolicy { policy } = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let owner = user.scope.owner();
    let put =
        app.store().scoped(&owner, async |tx| policies::put(tx, server, tool, policy, limits::POLICIES).await).await;
    match put {
        Ok(policy) => Ok(Json(policy.into())),
        Err(StoreError::Invalid(what)) if what == "policies" => {
            let detail = format!("a profile has at most {} policies; take some back first", limits::POLICIES);
            Err(Problem::new(StatusCode::CONFLICT, "too_many_policies", detail))
        }
        Err(error) => Err(error.into()),
    }
}

impl From<ToolPolicy> for PolicyView {
    fn from(policy: ToolPolicy) -> Self {
        let ToolPolicy { server, tool, policy, updated_at } = policy;
        Self { server, tool, policy, updated_at }
    }
}
