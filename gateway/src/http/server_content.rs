//! What an MCP server offers: its tools with their definitions, and its resources and prompts. An owner sees what
//! waits for them, and accepts it.

use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_core::tool::{Hints, namespaced};
use adjutant_mcp::content::{PromptEntry, PromptLine, ResourceEntry, ResourcePart};
use adjutant_mcp::pool::OfferedTool;
use adjutant_store::tool_pins::{self, Hash, ToolPin};
use axum::Json;
use axum::extract::{Query, Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::page::Page;
use super::path::Named;
use super::{body, servers};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerToolView {
    /// As models call it.
    pub name: String,
    /// The server's own name of it.
    pub tool: String,
    pub state: DefinitionState,
    /// The server offers it now.
    pub listed: bool,
    pub hints: Option<Hints>,
    /// SHA-256 of the newest definition: what `accept` wants.
    pub hash: String,
    /// The newest definition: canonical JSON of name, description, input schema and annotations; cut when very long.
    pub definition: String,
    /// The accepted definition, when it is another one.
    pub accepted: Option<String>,
    pub seen_at: DateTime<Utc>,
    pub accepted_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionState {
    Accepted,
    /// Another definition was accepted: the tool is not offered until this one is.
    Changed,
    /// It came after its server was first seen: the tool is not offered until it is accepted.
    New,
}

/// The tools of a server that this profile has seen
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerTools {
    pub items: Vec<ServerToolView>,
    pub next: Option<String>,
    /// Why the server says nothing now.
    pub trouble: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The hash of the definition that was looked at.
    pub hash: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The address of the resource, as it was listed.
    pub uri: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ResourceContent {
    pub contents: Vec<ResourcePart>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    pub name: String,
    /// Texts by the names of the prompt's arguments.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PromptContent {
    pub messages: Vec<PromptLine>,
}

/// The tools of a server, also those that wait to be accepted
#[utoipa::path(
    get,
    path = "/api/servers/{name}/tools",
    params(("name" = String, Path)),
    responses((status = 200, body = ServerTools))
)]
pub(super) async fn tools(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
) -> Result<Json<ServerTools>, Problem> {
    servers::known(&name)?;
    let owner = user.scope.owner();
    let offered = app.bridges().tools(&owner, &name).await;
    let pins = pins(&app, &owner, &name).await?;
    let (offered, trouble) = match offered {
        Some(Ok(offered)) => (offered, None),
        Some(Err(reason)) => (Vec::new(), Some(reason)),
        // Switched off, or without an address that may be used.
        None => {
            app.store().scoped(&owner, async |tx| adjutant_store::mcp_servers::get(tx, &name).await).await?;
            (Vec::new(), Some("it is switched off, or cannot be used as it is set up".to_owned()))
        }
    };
    let items = pins.into_iter().map(|pin| view(&name, pin, &offered)).collect();
    Ok(Json(ServerTools { items, next: None, trouble }))
}

/// Accepts the newest definition of a tool: from now on it is offered
#[utoipa::path(
    post,
    path = "/api/servers/{name}/tools/{tool}/accept",
    params(("name" = String, Path), ("tool" = String, Path)),
    request_body = Acceptance,
    responses((status = 200, body = ServerToolView))
)]
pub(super) async fn accept(
    State(app): State<App>,
    user: UserScope,
    Named((name, tool)): Named<(String, String)>,
    request: Request,
) -> Result<Json<ServerToolView>, Problem> {
    let acceptance: Acceptance = body::json(request, limits::HTTP_BODY_BYTES).await?;
    servers::known(&name)?;
    if tool.contains('\0') {
        return Err(Problem::not_found());
    }
    let hash = read_hash(&acceptance.hash)?;
    let owner = user.scope.owner();
    let accepted = app.store().scoped(&owner, async |tx| tool_pins::accept(tx, &name, &tool, &hash).await).await?;
    if !accepted {
        let detail = "the definition changed since it was looked at; look at the newest one";
        return Err(Problem::new(StatusCode::CONFLICT, "definition_changed", detail));
    }
    let pin = pins(&app, &owner, &name).await?.into_iter().find(|pin| pin.tool == tool);
    Ok(Json(view(&name, pin.ok_or_else(Problem::not_found)?, &[])))
}

/// The resources of a server
#[utoipa::path(
    get,
    path = "/api/servers/{name}/resources",
    params(("name" = String, Path)),
    responses((status = 200, body = Page<ResourceEntry>), (status = 409, description = "the server is not available: `server_unavailable`", body = crate::problem::Document))
)]
pub(super) async fn resources(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
) -> Result<Json<Page<ResourceEntry>>, Problem> {
    servers::known(&name)?;
    let found = app.bridges().resources(&user.scope.owner(), &name).await;
    Ok(Json(Page { items: available(found)?, next: None }))
}

/// One resource of a server
#[utoipa::path(
    get,
    path = "/api/servers/{name}/resources/read",
    params(("name" = String, Path), Wanted),
    responses((status = 200, body = ResourceContent), (status = 409, description = "the server is not available: `server_unavailable`", body = crate::problem::Document))
)]
pub(super) async fn read_resource(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ResourceContent>, Problem> {
    servers::known(&name)?;
    let wrong = |_| Problem::bad_request("invalid_uri", "name the resource as ?uri=");
    let Query(wanted) = wanted.map_err(wrong)?;
    let found = app.bridges().read_resource(&user.scope.owner(), &name, &wanted.uri).await;
    Ok(Json(ResourceContent { contents: available(found)? }))
}

/// The prompts of a server
#[utoipa::path(
    get,
    path = "/api/servers/{name}/prompts",
    params(("name" = String, Path)),
    responses((status = 200, body = Page<PromptEntry>), (status = 409, description = "the server is not available: `server_unavailable`", body = crate::problem::Document))
)]
pub(super) async fn prompts(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
) -> Result<Json<Page<PromptEntry>>, Problem> {
    servers::known(&name)?;
    let found = app.bridges().prompts(&user.scope.owner(), &name).await;
    Ok(Json(Page { items: available(found)?, next: None }))
}

/// One prompt of a server, filled in
#[utoipa::path(
    post,
    path = "/api/servers/{name}/prompts/get",
    params(("name" = String, Path)),
    request_body = PromptRequest,
    responses((status = 200, body = PromptContent))
)]
pub(super) async fn get_prompt(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
    request: Request,
) -> Result<Json<PromptContent>, Problem> {
    let asked: PromptRequest = body::json(request, limits::HTTP_BODY_BYTES).await?;
    servers::known(&name)?;
    if !asked.arguments.values().all(Value::is_string) {
        return Err(Problem::bad_request("invalid_arguments", "the arguments of a prompt are texts"));
    }
    let found = app.bridges().get_prompt(&user.scope.owner(), &name, &asked.name, asked.arguments).await;
    Ok(Json(PromptContent { messages: available(found)? }))
}

fn available<T>(found: Option<Result<T, String>>) -> Result<T, Problem> {
    match found {
        None => Err(Problem::not_found()),
        Some(Ok(found)) => Ok(found),
        Some(Err(reason)) => {
            let detail = format!("the server did not answer as it should: {reason}");
            Err(Problem::new(StatusCode::CONFLICT, "server_unavailable", detail))
        }
    }
}

async fn pins(app: &App, owner: &Owner, server: &str) -> Result<Vec<ToolPin>, Problem> {
    Ok(app.store().scoped(owner, async |tx| tool_pins::of_server(tx, server).await).await?)
}

fn read_hash(text: &str) -> Result<Hash, Problem> {
    let mut hash = Hash::default();
    let wrong = |_| Problem::bad_request("invalid_hash", "hash is that of the definition: 64 of 0-9 and a-f");
    hex::decode_to_slice(text, &mut hash).map_err(wrong)?;
    Ok(hash)
}

fn view(server: &str, pin: ToolPin, offered: &[OfferedTool]) -> ServerToolView {
    let offer = offered.iter().find(|offer| offer.spec.tool == pin.tool);
    let state = match pin.accepted_hash {
        Some(accepted) if accepted == pin.seen_hash => DefinitionState::Accepted,
        Some(_) => DefinitionState::Changed,
        None => DefinitionState::New,
    };
    ServerToolView {
        name: namespaced(server, &pin.tool),
        listed: offer.is_some(),
        hints: offer.map(|offer| offer.spec.hints),
        hash: hex::encode(pin.seen_hash),
        accepted: pin.accepted.filter(|_| state == DefinitionState::Changed),
        definition: pin.seen,
        tool: pin.tool,
        state,
        seen_at: pin.seen_at,
        accepted_at: pin.accepted_at,
    }
}
