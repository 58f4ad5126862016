//! MCP servers: those of the operator, which are only shown, and those that a profile of a user added. Never a command
//! to start: a server here is an address.

use adjutant_core::credential::HeaderMapping;
use adjutant_core::limits;
use adjutant_core::scope::{Owner, Role};
use adjutant_core::tool::AddedBy;
use adjutant_mcp::config::check_name;
use adjutant_mcp::directory::parse_header;
use adjutant_mcp::egress::{Network, parse_url};
use adjutant_store::error::StoreError;
use adjutant_store::mcp_servers::{McpServer, ServerDraft};
use adjutant_store::{consents, mcp_servers, policies, tool_pins};
use axum::Json;
use axum::extract::{Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::body::{self, NoBody};
use super::page::Page;
use super::path::Named;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A longer call is no call.
const TIMEOUT_MAX: f64 = 3_600.0;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerView {
    pub name: String,
    pub added_by: AddedBy,
    /// Of a user's server; the operator's addresses are not shown.
    pub url: Option<String>,
    pub enabled: bool,
    pub lifecycle: Option<String>,
    /// Seconds that one tool call may take.
    pub timeout: Option<f64>,
    pub headers: Vec<HeaderView>,
    pub allow_private: bool,
    /// Tools that are not offered until their definition is accepted.
    pub waiting_tools: usize,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
}

/// A header that the credential of a service fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeaderView {
    pub service: String,
    pub header: String,
    /// Stands before the secret, as in `Bearer …`.
    pub scheme: Option<String>,
}

/// A server to add
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "the form of a body that is read in two steps, for the OpenAPI document")]
pub struct NewServer {
    /// 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    name: String,
    #[schema(inline)]
    #[serde(flatten)]
    settings: ServerSettings,
}

/// Absent fields get their defaults in a new server and stay as they are in one that is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServerSettings {
    /// `http` or `https`, a public host, no user and no password.
    pub url: Option<String>,
    pub enabled: Option<bool>,
    /// `auto`, `initialize` or `stateless`.
    pub lifecycle: Option<String>,
    /// Seconds that one tool call may take; 0 for the default.
    pub timeout: Option<f64>,
    /// Objects with `service`, `header` and `scheme`; without any, a credential named like the server goes along.
    #[schema(value_type = Option<Vec<Object>>)]
    pub headers: Option<Vec<Value>>,
    /// Only for admins: the server may have a private address.
    pub allow_private: Option<bool>,
}

/// What a visit to a server found
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestView {
    pub ok: bool,
    /// Why not, or what was left out.
    pub reason: Option<String>,
    pub protocol: Option<String>,
    pub tools: Vec<String>,
    pub resources: bool,
    pub prompts: bool,
    pub millis: u64,
}

/// The servers of the operator and of this profile
#[utoipa::path(get, path = "/api/servers", responses((status = 200, body = Page<ServerView>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<ServerView>>, Problem> {
    let owner = user.scope.owner();
    let (own, pins) =
        app.store().scoped(&owner, async |tx| Ok((mcp_servers::list(tx).await?, tool_pins::hashes(tx).await?))).await?;
    let waiting = |name: &str| pins.iter().filter(|pin| pin.server == name && pin.accepted != Some(pin.seen)).count();
    let operators = app.bridges().operator_servers().map(|name| operators_view(name, waiting(name)));
    let mut items: Vec<ServerView> = operators.collect();
    items.extend(own.into_iter().map(|server| {
        let waiting = waiting(&server.name);
        view(server, waiting)
    }));
    Ok(Json(Page { items, next: None }))
}

/// One server
#[utoipa::path(get, path = "/api/servers/{name}", params(("name" = String, Path)), responses((status = 200, body = ServerView)))]
pub(super) async fn get(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
) -> Result<Json<ServerView>, Problem> {
    known(&name)?;
    let owner = user.scope.owner();
    let is_operators = app.bridges().operator_servers().any(|operators| operators == name);
    let (own, pins) = app
        .store()
        .scoped(&owner, async |tx| {
            let own = if is_operators { None } else { Some(mcp_servers::get(tx, &name).await?) };
            Ok((own, tool_pins::hashes(tx).await?))
        })
        .await?;
    let waiting = pins.iter().filter(|pin| pin.server == name && pin.accepted != Some(pin.seen)).count();
    Ok(Json(match own {
        Some(own) => view(own, waiting),
        None => operators_view(&name, waiting),
    }))
}

/// Adds an HTTP server; nothing is connected yet
#[utoipa::path(
    post,
    path = "/api/servers",
    request_body = NewServer,
    responses((status = 201, body = ServerView))
)]
pub(super) async fn add(
    State(app): State<App>,
    user: UserScope,
    request: Request,
) -> Result<(StatusCode, Json<ServerView>), Problem> {
    let mut body: Value = body::json(request, limits::HTTP_BODY_BYTES).await?;
    refuse_commands(&body)?;
    let name = body.as_object_mut().and_then(|fields| fields.remove("name"));
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    let settings: ServerSettings = parsed(body)?;
    check_name(name).map_err(|detail| Problem::bad_request("invalid_server_name", detail))?;
    if app.bridges().is_operators(name) {
        let detail = "the operator's configuration has a server of that name; take another one";
        return Err(Problem::new(StatusCode::CONFLICT, "server_of_operator", detail));
    }
    let draft = draft(None, settings, name, user.scope.role)?;
    let owner = user.scope.owner();
    let added = app.store().scoped(&owner, async |tx| mcp_servers::insert(tx, name, &draft).await).await;
    match added {
        Ok(server) => Ok((StatusCode::CREATED, Json(view(server, 0)))),
        Err(StoreError::Conflict(_)) => {
            let detail = "this profile has a server of that name";
            Err(Problem::new(StatusCode::CONFLICT, "server_exists", detail))
        }
        Err(StoreError::Invalid(_)) => {
            let detail = format!("a profile can have {} servers; remove one first", limits::MCP_USER_SERVERS);
            Err(Problem::new(StatusCode::CONFLICT, "too_many_servers", detail))
        }
        Err(error) => Err(error.into()),
    }
}

/// Changes a server; its connections end
#[utoipa::path(
    patch,
    path = "/api/servers/{name}",
    params(("name" = String, Path)),
    request_body = ServerSettings,
    responses((status = 200, body = ServerView))
)]
pub(super) async fn change(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
    request: Request,
) -> Result<Json<ServerView>, Problem> {
    let body: Value = body::json(request, limits::HTTP_BODY_BYTES).await?;
    refuse_commands(&body)?;
    let settings: ServerSettings = parsed(body)?;
    own(&app, &name)?;
    let (owner, role) = (user.scope.owner(), user.scope.role);
    // The row is read, judged and written under one lock.
    let changed = app
        .store()
        .scoped(&owner, async |tx| {
            let before = mcp_servers::lock(tx, &name).await?;
            let draft = match draft(Some(&before), settings, &name, role) {
                Ok(draft) => draft,
                Err(problem) => return Ok(Err(problem)),
            };
            if draft.url != before.url {
                // Another address is another server, whatever its name.
                tool_pins::forget(tx, &name).await?;
                consents::forget_server(tx, &name).await?;
                policies::forget_server(tx, &name).await?;
            }
            Ok(Ok(mcp_servers::update(tx, &name, &draft).await?))
        })
        .await??;
    app.bridges().refresh(&owner).await;
    let waiting = waiting(&app, &owner, &name).await?;
    Ok(Json(view(changed, waiting)))
}

/// Removes a server, what was accepted and allowed of it, and its connections
#[utoipa::path(delete, path = "/api/servers/{name}", params(("name" = String, Path)), responses((status = 204)))]
pub(super) async fn remove(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    own(&app, &name)?;
    let owner = user.scope.owner();
    app.store()
        .scoped(&owner, async |tx| {
            mcp_servers::delete(tx, &name).await?;
            tool_pins::forget(tx, &name).await?;
            consents::forget_server(tx, &name).await?;
            policies::forget_server(tx, &name).await
        })
        .await?;
    app.bridges().refresh(&owner).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Connects to a server once and says what is there
#[utoipa::path(
    post,
    path = "/api/servers/{name}/test",
    params(("name" = String, Path)),
    responses((status = 200, body = TestView))
)]
pub(super) async fn test(
    State(app): State<App>,
    user: UserScope,
    Named(name): Named<String>,
    _: NoBody,
) -> Result<Json<TestView>, Problem> {
    own(&app, &name)?;
    let visited = app.bridges().visit(&user.scope.owner(), &name).await.ok_or_else(Problem::not_found)?;
    Ok(Json(match visited {
        Ok(found) => TestView {
            ok: true,
            reason: found.trouble,
            protocol: found.protocol,
            tools: found.tools,
            resources: found.resources,
            prompts: found.prompts,
            millis: found.millis,
        },
        Err(reason) => TestView {
            ok: false,
            reason: Some(reason),
            protocol: None,
            tools: Vec::new(),
            resources: false,
            prompts: false,
            millis: 0,
        },
    }))
}

/// A name that no server can have is like one that none has.
pub(super) fn known(name: &str) -> Result<(), Problem> {
    check_name(name).map_err(|_| Problem::not_found())
}

/// A server of the operator cannot be changed here.
fn own(app: &App, name: &str) -> Result<(), Problem> {
    known(name)?;
    if app.bridges().operator_servers().any(|operators| operators == name) {
        let detail = "this server is in the operator's configuration, which only the operator changes";
        return Err(Problem::new(StatusCode::FORBIDDEN, "server_of_operator", detail));
    }
    Ok(())
}

async fn waiting(app: &App, owner: &Owner, name: &str) -> Result<usize, Problem> {
    let pins = app.store().scoped(owner, async |tx| tool_pins::hashes(tx).await).await?;
    Ok(pins.iter().filter(|pin| pin.server == name && pin.accepted != Some(pin.seen)).count())
}

/// A server that is a program runs on this machine: that is the operator's to decide.
fn refuse_commands(body: &Value) -> Result<(), Problem> {
    let starts = ["command", "args", "env", "cwd"].iter().any(|field| body.get(field).is_some());
    let kind = body.get("type").and_then(Value::as_str);
    if starts || kind == Some("stdio") {
        let detail = "a server that is a command can only be added by the operator, in mcp.json; give a url here";
        return Err(Problem::bad_request("stdio_not_allowed", detail));
    }
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| {
        let mut detail = format!("the body cannot be read: {error}");
        detail.truncate(detail.floor_char_boundary(240));
        Problem::bad_request("invalid_body", detail)
    })
}

/// The settings of a server as they shall be, with those of before where none are given.
fn draft(before: Option<&McpServer>, settings: ServerSettings, name: &str, role: Role) -> Result<ServerDraft, Problem> {
    let is_admin = role == Role::Admin;
    if settings.allow_private == Some(true) && !is_admin {
        let detail = "only an admin can allow a private address";
        return Err(Problem::new(StatusCode::FORBIDDEN, "admin_only", detail));
    }
    let url = settings.url.as_deref().or(before.map(|before| before.url.as_str()));
    let url = url.ok_or_else(|| Problem::bad_request("invalid_url", "a server needs a url"))?;
    let same_address = before.is_some_and(|before| before.url == url);
    // What an admin allowed holds for the address that it was allowed for.
    let kept = before.is_some_and(|before| before.allow_private) && (same_address || is_admin);
    let allow_private = settings.allow_private.unwrap_or(kept);
    let network = if allow_private { Network::PrivateToo } else { Network::Public };
    let url = parse_url(url, network).map_err(|detail| Problem::bad_request("invalid_url", detail))?;
    let lifecycle = settings.lifecycle.or_else(|| before.map(|before| before.lifecycle.clone()));
    let lifecycle = lifecycle.unwrap_or_else(|| "auto".to_owned());
    if !matches!(lifecycle.as_str(), "auto" | "initialize" | "stateless") {
        let detail = "lifecycle is \"auto\", \"initialize\" or \"stateless\"";
        return Err(Problem::bad_request("invalid_lifecycle", detail));
    }
    let headers = match settings.headers {
        Some(headers) => read_headers(name, &headers)?,
        None => before.map_or_else(|| json!([]), |before| before.headers.clone()),
    };
    Ok(ServerDraft {
        url: url.into(),
        enabled: settings.enabled.unwrap_or_else(|| before.is_none_or(|before| before.enabled)),
        lifecycle,
        timeout_ms: match settings.timeout {
            Some(seconds) => read_timeout(seconds)?,
            None => before.and_then(|before| before.timeout_ms),
        },
        headers,
        allow_private,
    })
}

fn read_timeout(seconds: f64) -> Result<Option<i32>, Problem> {
    if seconds == 0.0 {
        return Ok(None);
    }
    if !(0.001..=TIMEOUT_MAX).contains(&seconds) {
        let detail = "timeout is a number of seconds, at most 3600, or 0 for the default";
        return Err(Problem::bad_request("invalid_timeout", detail));
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 3,600,000")]
    let millis = (seconds * 1_000.0) as i32;
    Ok(Some(millis.max(1)))
}

fn read_headers(name: &str, headers: &[Value]) -> Result<Value, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_headers", detail);
    if headers.len() > limits::MCP_HEADERS {
        return Err(invalid(format!("a server can have {} headers", limits::MCP_HEADERS)));
    }
    let mut read = Vec::new();
    for header in headers {
        let mapping = HeaderMapping::read(name, header).map_err(|reason| invalid(format!("each header {reason}")))?;
        if parse_header(&mapping.header).is_none() {
            return Err(invalid("a header is set by the protocol and cannot be filled from a credential".to_owned()));
        }
        if read.iter().any(|other: &HeaderMapping| other.header.eq_ignore_ascii_case(&mapping.header)) {
            return Err(invalid("a header is there twice".to_owned()));
        }
        read.push(mapping);
    }
    let stored = |mapping: &HeaderMapping| {
        let scheme = mapping.scheme.as_deref().unwrap_or_default();
        json!({"service": mapping.service, "header": mapping.header, "scheme": scheme})
    };
    Ok(read.iter().map(stored).collect())
}

fn operators_view(name: &str, waiting_tools: usize) -> ServerView {
    ServerView {
        name: name.to_owned(),
        added_by: AddedBy::Operator,
        url: None,
        enabled: true,
        lifecycle: None,
        timeout: None,
        headers: Vec::new(),
        allow_private: false,
        waiting_tools,
        created_at: None,
        updated_at: None,
    }
}

fn view(server: McpServer, waiting_tools: usize) -> ServerView {
    let mappings = server.headers.as_array().map(Vec::as_slice).unwrap_or_default();
    let mappings = mappings.iter().filter_map(|mapping| HeaderMapping::read(&server.name, mapping).ok());
    ServerView {
        headers: mappings
            .map(|mapping| HeaderView {
                service: mapping.service.to_string(),
                header: mapping.header,
                scheme: mapping.scheme,
            })
            .collect(),
        name: server.name,
        added_by: AddedBy::User,
        url: Some(server.url),
        enabled: server.enabled,
        lifecycle: Some(server.lifecycle),
        timeout: server.timeout_ms.map(|ms| f64::from(ms) / 1_000.0),
        allow_private: server.allow_private,
        waiting_tools,
        created_at: Some(server.created_at),
        updated_at: Some(server.updated_at),
    }
}
