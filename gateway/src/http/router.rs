//! The table of routes, and the router made from it. Tests generate their matrices from the table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use http::{Method, StatusCode};

use super::files::routes as files;
use super::openai::{chat, models as agents};
use super::{
    account, agui, approvals, ask, browser, consents, credentials, devices, export, guard, health, keys, me, messages,
    models, openapi, policies, profiles, questions, run_list, runs, search, sent, server_content, servers, sessions,
    threads,
};
use crate::app::App;
use crate::problem::Problem;
use crate::ws::upgrade;

/// One route: what it asks of its caller is part of the table.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    /// With `{id}` where an id belongs.
    pub path: &'static str,
    pub auth: Auth,
    pub handler: fn() -> MethodRouter<App>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: the doors without a key.
    None,
    /// A key in a header, or below `/api/` the cookie of a session.
    Key,
    /// A key in a header, or a key or ticket in the query of the upgrade.
    Upgrade,
}

pub const ROUTES: &[Route] = &[
    route(Method::GET, "/api/health", Auth::None, || get(health::health)),
    route(Method::GET, "/readyz", Auth::None, || get(health::ready)),
    route(Method::GET, "/api/openapi.json", Auth::None, openapi::door),
    route(Method::GET, "/", Auth::None, || get(browser::page)),
    route(Method::GET, "/{*page}", Auth::None, || get(browser::page)),
    route(Method::GET, "/ws", Auth::Upgrade, || get(upgrade::upgrade)),
    route(Method::GET, "/api/me", Auth::Key, || get(me::get)),
    route(Method::DELETE, "/api/me", Auth::Key, || delete(account::delete)),
    route(Method::GET, "/api/me/export", Auth::Key, || get(export::get)),
    route(Method::GET, "/api/profiles", Auth::Key, || get(profiles::list)),
    route(Method::GET, "/api/profiles/{name}", Auth::Key, || get(profiles::get)),
    route(Method::PUT, "/api/profiles/{name}", Auth::Key, || put(profiles::put)),
    route(Method::DELETE, "/api/profiles/{name}", Auth::Key, || delete(profiles::delete)),
    route(Method::POST, "/api/session", Auth::Key, || post(sessions::create)),
    route(Method::GET, "/api/session", Auth::Key, || get(sessions::get)),
    route(Method::DELETE, "/api/session", Auth::Key, || delete(sessions::delete)),
    route(Method::POST, "/api/ticket", Auth::Key, || post(sessions::create_ticket)),
    route(Method::GET, "/api/devices", Auth::Key, || get(devices::list)),
    route(Method::DELETE, "/api/devices/{id}", Auth::Key, || delete(devices::delete)),
    route(Method::GET, "/api/keys", Auth::Key, || get(keys::list)),
    route(Method::POST, "/api/keys", Auth::Key, || post(keys::create)),
    route(Method::DELETE, "/api/keys/{id}", Auth::Key, || delete(keys::revoke)),
    route(Method::GET, "/api/threads", Auth::Key, || get(threads::list)),
    route(Method::GET, "/api/threads/{id}", Auth::Key, || get(threads::get)),
    route(Method::PATCH, "/api/threads/{id}", Auth::Key, || patch(threads::change)),
    route(Method::DELETE, "/api/threads/{id}", Auth::Key, || delete(threads::delete)),
    route(Method::POST, "/api/threads/{id}/restore", Auth::Key, || post(threads::restore)),
    route(Method::POST, "/api/threads/{id}/fork", Auth::Key, || post(threads::fork)),
    route(Method::POST, "/api/threads/{id}/compact", Auth::Key, || post(threads::compact)),
    route(Method::GET, "/api/threads/{id}/summary", Auth::Key, || get(threads::summary)),
    route(Method::DELETE, "/api/threads/{id}/summary", Auth::Key, || delete(threads::remove_summary)),
    route(Method::POST, "/api/threads/{id}/retry", Auth::Key, || post(messages::retry)),
    route(Method::GET, "/api/threads/{id}/messages", Auth::Key, || get(messages::list)),
    route(Method::POST, "/api/threads/{id}/messages", Auth::Key, || post(messages::save)),
    route(Method::GET, "/api/folders", Auth::Key, || get(threads::folders)),
    route(Method::POST, "/api/messages", Auth::Key, || post(messages::send)),
    route(Method::GET, "/api/search", Auth::Key, || get(search::search)),
    route(Method::POST, "/api/files", Auth::Key, || post(files::upload)),
    route(Method::GET, "/api/files/{id}", Auth::Key, || get(files::get)),
    route(Method::GET, "/api/files/{id}/content", Auth::Key, || get(files::content)),
    route(Method::DELETE, "/api/files/{id}", Auth::Key, || delete(files::delete)),
    route(Method::GET, "/api/runs", Auth::Key, || get(run_list::list)),
    route(Method::GET, "/api/runs/{id}", Auth::Key, || get(runs::get)),
    route(Method::PATCH, "/api/runs/{id}", Auth::Key, || patch(runs::revise)),
    route(Method::GET, "/api/runs/{id}/context", Auth::Key, || get(sent::list)),
    route(Method::POST, "/api/runs/{id}/cancel", Auth::Key, || post(runs::cancel)),
    route(Method::POST, "/api/runs/{id}/retry", Auth::Key, || post(runs::retry)),
    route(Method::POST, "/api/runs/{id}/discard", Auth::Key, || post(runs::discard)),
    route(Method::GET, "/api/credentials", Auth::Key, || get(credentials::list)),
    route(Method::PUT, "/api/credentials/{service}", Auth::Key, || put(credentials::put)),
    route(Method::DELETE, "/api/credentials/{service}", Auth::Key, || delete(credentials::delete)),
    route(Method::GET, "/api/models", Auth::Key, || get(models::list)),
    route(Method::POST, "/api/models/test", Auth::Key, || post(models::test)),
    route(Method::GET, "/api/servers", Auth::Key, || get(servers::list)),
    route(Method::POST, "/api/servers", Auth::Key, || post(servers::add)),
    route(Method::GET, "/api/servers/{name}", Auth::Key, || get(servers::get)),
    route(Method::PATCH, "/api/servers/{name}", Auth::Key, || patch(servers::change)),
    route(Method::DELETE, "/api/servers/{name}", Auth::Key, || delete(servers::remove)),
    route(Method::POST, "/api/servers/{name}/test", Auth::Key, || post(servers::test)),
    route(Method::GET, "/api/servers/{name}/tools", Auth::Key, || get(server_content::tools)),
    route(Method::POST, "/api/servers/{name}/tools/{tool}/accept", Auth::Key, || post(server_content::accept)),
    route(Method::GET, "/api/servers/{name}/resources", Auth::Key, || get(server_content::resources)),
    route(Method::GET, "/api/servers/{name}/resources/read", Auth::Key, || get(server_content::read_resource)),
    route(Method::GET, "/api/servers/{name}/prompts", Auth::Key, || get(server_content::prompts)),
    route(Method::POST, "/api/servers/{name}/prompts/get", Auth::Key, || post(server_content::get_prompt)),
    route(Method::POST, "/api/agui", Auth::Key, || post(agui::door::run)),
    route(Method::POST, "/api/v1/ask", Auth::Key, || post(ask::ask)),
    route(Method::GET, "/api/approvals", Auth::Key, || get(approvals::list)),
    route(Method::POST, "/api/approvals/{id}", Auth::Key, || post(approvals::decide)),
    route(Method::GET, "/api/questions", Auth::Key, || get(questions::list)),
    route(Method::POST, "/api/questions/{id}", Auth::Key, || post(questions::answer)),
    route(Method::GET, "/api/consents", Auth::Key, || get(consents::list)),
    route(Method::DELETE, "/api/consents/{server}/{tool}", Auth::Key, || delete(consents::revoke)),
    route(Method::GET, "/api/policies", Auth::Key, || get(policies::list)),
    route(Method::PUT, "/api/policies/{server}", Auth::Key, || put(policies::put_server)),
    route(Method::DELETE, "/api/policies/{server}", Auth::Key, || delete(policies::delete_server)),
    route(Method::PUT, "/api/policies/{server}/{tool}", Auth::Key, || put(policies::put_tool)),
    route(Method::DELETE, "/api/policies/{server}/{tool}", Auth::Key, || delete(policies::delete_tool)),
    route(Method::GET, "/v1/models", Auth::Key, || get(agents::list)),
    route(Method::GET, "/v1/models/{id}", Auth::Key, || get(agents::get)),
    route(Method::POST, "/v1/chat/completions", Auth::Key, || post(chat::complete)),
];

const fn route(method: Method, path: &'static str, auth: Auth, handler: fn() -> MethodRouter<App>) -> Route {
    Route { method, path, auth, handler }
}

/// Rows of one path are merged.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, (route.handler)());
    }
    framed(app, router)
}

/// Adds what all routes share.
pub fn framed(app: App, routes: Router<App>) -> Router {
    routes
        .fallback(async || Problem::not_found().into_response())
        .method_not_allowed_fallback(async || {
            let detail = "this method is not for that path; the header Allow names those that are";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
        })
        .layer(from_fn_with_state(app.clone(), guard::frame))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_named_twice() {
        for (index, route) in ROUTES.iter().enumerate() {
            let twice = ROUTES[..index].iter().any(|other| other.path == route.path && other.method == route.method);
            assert!(!twice, "{} {}", route.method, route.path);
        }
    }
}
