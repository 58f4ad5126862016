//! The table of routes, and the router made from it. Tests generate their matrices from the table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use http::{Method, StatusCode};

use super::openai::{chat, models};
use super::{guard, health, openapi, runs, threads};
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: the doors without a key.
    None,
    /// A key in a header.
    Key,
    /// A key in a header, or in the query of the upgrade.
    Upgrade,
}

pub const ROUTES: &[Route] = &[
    route(Method::GET, "/api/health", Auth::None),
    route(Method::GET, "/readyz", Auth::None),
    route(Method::GET, "/api/openapi.json", Auth::None),
    route(Method::GET, "/ws", Auth::Upgrade),
    route(Method::GET, "/api/threads", Auth::Key),
    route(Method::GET, "/api/threads/{id}/messages", Auth::Key),
    route(Method::GET, "/api/runs/{id}", Auth::Key),
    route(Method::POST, "/api/runs/{id}/cancel", Auth::Key),
    route(Method::POST, "/api/runs/{id}/retry", Auth::Key),
    route(Method::POST, "/api/runs/{id}/discard", Auth::Key),
    route(Method::GET, "/v1/models", Auth::Key),
    route(Method::GET, "/v1/models/{id}", Auth::Key),
    route(Method::POST, "/v1/chat/completions", Auth::Key),
];

const fn route(method: Method, path: &'static str, auth: Auth) -> Route {
    Route { method, path, auth }
}

/// The handler of a route of the table.
fn handler(route: &Route) -> Option<MethodRouter<App>> {
    Some(match route.path {
        "/api/health" => get(health::health),
        "/readyz" => get(health::ready),
        "/api/openapi.json" => openapi::door(),
        "/ws" => get(upgrade::upgrade),
        "/api/threads" => get(threads::list),
        "/api/threads/{id}/messages" => get(threads::list_messages),
        "/api/runs/{id}" => get(runs::get),
        "/api/runs/{id}/cancel" => post(runs::cancel),
        "/api/runs/{id}/retry" => post(runs::retry),
        "/api/runs/{id}/discard" => post(runs::discard),
        "/v1/models" => get(models::list),
        "/v1/models/{id}" => get(models::get),
        "/v1/chat/completions" => post(chat::complete),
        _ => return None,
    })
}

pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        if let Some(handler) = handler(route) {
            router = router.route(route.path, handler);
        }
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
    fn every_route_of_the_table_has_a_handler() {
        for route in ROUTES {
            assert!(handler(route).is_some(), "{route:?}");
        }
    }
}
