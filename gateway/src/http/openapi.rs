//! The OpenAPI document: the handlers say what is particular to them, this file adds what every route
//! has in common: keys, the profile, the refusals. Of the WebSocket it has the frames alone, as schemas; the doors that speak
//! a protocol of somebody else (`/v1`) have no place in it.

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::files::routes as files;
use super::guard::ASK;
use super::router::{Auth, ROUTES, Route};
use super::{
    account, agui, approvals, ask, consents, credentials, devices, export, health, keys, me, messages, models,
    policies, profiles, questions, run_list, runs, search, sent, server_content, servers, sessions, threads,
};
use crate::app::App;
use crate::problem;
use crate::wire::forms::ClientFrame;
use crate::wire::server::ServerFrame;

/// One line per handler, in the order of `ROUTES`.
#[derive(OpenApi)]
#[openapi(
    info(title = "Adjutant", description = "A personal assistant gateway with an agent scheduler."),
    paths(
        health::health,
        health::ready,
        me::get,
        account::delete,
        export::get,
        profiles::list,
        profiles::get,
        profiles::put,
        profiles::delete,
        sessions::create,
        sessions::get,
        sessions::delete,
        sessions::create_ticket,
        devices::list,
        devices::delete,
        keys::list,
        keys::create,
        keys::revoke,
        threads::list,
        threads::folders,
        threads::get,
        threads::change,
        threads::delete,
        threads::restore,
        threads::fork,
        threads::compact,
        threads::summary,
        threads::remove_summary,
        messages::save,
        messages::retry,
        messages::list,
        messages::send,
        search::search,
        files::upload,
        files::get,
        files::content,
        files::delete,
        run_list::list,
        runs::get,
        runs::revise,
        sent::list,
        runs::cancel,
        runs::retry,
        runs::discard,
        credentials::list,
        credentials::put,
        credentials::delete,
        models::list,
        models::test,
        servers::list,
        servers::add,
        servers::get,
        servers::change,
        servers::remove,
        servers::test,
        server_content::tools,
        server_content::accept,
        server_content::resources,
        server_content::read_resource,
        server_content::prompts,
        server_content::get_prompt,
        agui::door::run,
        ask::ask,
        approvals::list,
        approvals::decide,
        questions::list,
        questions::answer,
        consents::list,
        consents::revoke,
        policies::list,
        policies::put_server,
        policies::delete_server,
        policies::put_tool,
        policies::delete_tool,
    ),
    components(schemas(problem::Document, ServerFrame, ClientFrame))
)]
struct Handlers;

/// A status by which routes refuse, and which of them may.
struct Refusal {
    status: &'static str,
    meaning: &'static str,
    applies: fn(&Route) -> bool,
}

const fn refusal(status: &'static str, meaning: &'static str, applies: fn(&Route) -> bool) -> Refusal {
    Refusal { status, meaning, applies }
}

/// The codes of each are in docs/api.md. (405 is the answer to methods that are in no table.)
const REFUSALS: &[Refusal] = &[
    refusal("400", "the request is malformed: `code` says how", |_| true),
    refusal("401", "no key, or a wrong one", keyed),
    refusal("403", "the key, the profile or the origin may not do this", |route| keyed(route) || changes(route)),
    refusal("404", "unknown, or not yours: the two are never told apart; also a profile that is not there", |route| {
        keyed(route) || route.path.contains('{') || changes(route)
    }),
    refusal("408", "the body did not arrive in time", takes_a_body),
    refusal("409", "the state of things does not allow it, or something changed at the same time", changes),
    refusal("413", "the body is too large", takes_a_body),
    refusal("415", "the body has another type than is read here", takes_a_body),
    refusal("421", "this server is not called by that name", |_| true),
    refusal("429", "too much at once, or too many wrong keys", keyed),
    refusal("500", "an error of the server's own", |_| true),
    refusal("503", "the database, a model or another part cannot be reached at the moment", |route| {
        !is_open_document(route)
    }),
];

/// The handler of `/api/openapi.json`. The document is made once per router.
pub(super) fn door() -> MethodRouter<App> {
    let text = Bytes::from(text());
    get(async move || answer(text.clone()))
}

fn answer(text: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], text).into_response()
}

/// The document as it is served and checked in.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// Whether the document names a route.
pub fn covers(route: &Route) -> bool {
    (route.path.starts_with("/api/") || route.path == "/readyz") && !is_open_document(route)
}

/// The whole document.
pub fn document() -> Value {
    let mut document = serde_json::to_value(Handlers::openapi()).unwrap_or_default();
    document["servers"] = json!([{"url": "/"}]);
    for route in ROUTES.iter().filter(|route| covers(route)) {
        let method = route.method.as_str().to_ascii_lowercase();
        if let Some(operation) = document["paths"][route.path][method].as_object_mut() {
            complete(operation, route);
        }
    }
    let components = &mut document["components"];
    components["schemas"].as_object_mut().into_iter().flatten().for_each(|(_, schema)| join_objects(schema));
    components["securitySchemes"] = json!({
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-adjutant",
            "description": "the device key that POST /api/session sets; requests that change something need the exact Origin"}
    });
    components["parameters"] = json!({
        "profile": {"name": "X-Profile", "in": "header", "required": false,
            "description": "the profile, with a key for all profiles; `personal` if absent",
            "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,39}$"}}
    });
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    for refusal in REFUSALS {
        components["responses"][refusal.status] = json!({"description": refusal.meaning, "content": problem});
        let mut either = problem.clone();
        either["text/plain"] = json!({"schema": {"type": "string"}});
        let code = json!({"X-Problem-Code": {"description": "with text/plain", "schema": {"type": "string"}}});
        components["responses"][format!("text-{}", refusal.status)] =
            json!({"description": refusal.meaning, "content": either, "headers": code});
    }
    document
}

/// Objects that are joined in one are written as one: closed ones would refuse each other's fields.
fn join_objects(schema: &mut Value) {
    let is_object = |part: &Value| part["type"] == "object" && part.get("$ref").is_none();
    let Some(parts) = schema["allOf"].as_array().filter(|parts| parts.iter().all(is_object)).cloned() else { return };
    let mut joined = json!({"type": "object", "properties": {}});
    let mut required = Vec::new();
    for part in &parts {
        for (name, property) in part["properties"].as_object().into_iter().flatten() {
            joined["properties"][name] = property.clone();
        }
        required.extend(part["required"].as_array().into_iter().flatten().cloned());
        if let Some(closed) = part.get("additionalProperties") {
            joined["additionalProperties"] = closed.clone();
        }
    }
    joined["required"] = json!(required);
    if let Some(description) = schema.get("description") {
        joined["description"] = description.clone();
    }
    *schema = joined;
}

/// Adds to an operation what it shares with others; what its handler says of itself stays.
fn complete(operation: &mut Map<String, Value>, route: &Route) {
    operation.insert("operationId".to_owned(), operation_id(route).into());
    operation.insert("tags".to_owned(), json!([tag(route)]));
    if keyed(route) {
        operation.insert("security".to_owned(), json!([{"apiKey": []}, {"bearer": []}, {"session": []}]));
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(json!({"$ref": "#/components/parameters/profile"}));
        }
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else { return };
    for Refusal { status, applies, .. } in REFUSALS {
        if applies(route) && !responses.contains_key(*status) {
            let form = if route.path == ASK { "text-" } else { "" };
            let reference = json!({"$ref": format!("#/components/responses/{form}{status}")});
            responses.insert((*status).to_owned(), reference);
        }
    }
    responses.sort_keys();
}

/// `GET /api/threads/{id}/messages` is `getThreadsByIdMessages`.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for word in words(route.path) {
        let (by, word) = match word.strip_prefix('{') {
            Some(name) => ("By", name.trim_end_matches('}')),
            None => ("", word),
        };
        id.push_str(by);
        for piece in word.split(['-', '_', '.']) {
            let mut letters = piece.chars();
            id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
    }
    id
}

/// The noun that a route is about.
fn tag(route: &Route) -> &'static str {
    words(route.path).next().unwrap_or_default()
}

fn words(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter(|word| !word.is_empty() && *word != "api")
}

fn keyed(route: &Route) -> bool {
    route.auth != Auth::None
}

fn changes(route: &Route) -> bool {
    route.method != Method::GET
}

fn takes_a_body(route: &Route) -> bool {
    matches!(route.method, Method::POST | Method::PUT | Method::PATCH)
}

fn is_open_document(route: &Route) -> bool {
    route.path == "/api/openapi.json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_by_method_and_path() {
        let route = |method, path| Route { method, path, auth: Auth::Key, handler: door };
        assert_eq!(operation_id(&route(Method::GET, "/api/threads/{id}/messages")), "getThreadsByIdMessages");
        assert_eq!(operation_id(&route(Method::POST, "/api/mcp-servers")), "postMcpServers");
        assert_eq!(tag(&route(Method::POST, "/api/mcp-servers/{id}")), "mcp-servers");
    }
}
