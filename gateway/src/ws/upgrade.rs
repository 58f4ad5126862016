//! `GET /ws`: key or ticket, and origin are checked, then the session gets the connection.

use adjutant_core::scope::Origin;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::request::Parts;
use hyper_util::rt::TokioIo;

use super::handshake;
use super::link::{Close, Link};
use super::session::Session;
use crate::app::App;
use crate::auth::socket::identify_upgrade;

pub async fn upgrade(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    take_profile(&mut parts);
    let user = match identify_upgrade(&app, &parts).await {
        Ok(user) => user.with_origin(Origin::WebSocket),
        Err(problem) => return problem.into_response(),
    };
    let (response, connection) = match handshake::accept(&mut parts) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    let revoked = app.keys().until_ended(&user.identity);
    let deleted = app.keys().profiles().until_deleted(&user.scope.owner());
    let stopping = app.supervisor().stopping().clone();
    let ending = async move {
        tokio::select! {
            () = revoked => Close::REVOKED,
            () = deleted => Close::DELETED,
            () = stopping.cancelled() => Close::STOPPING,
        }
    };
    let engine = app.engine().clone();
    app.supervisor().spawn("websocket", async move {
        match connection.await {
            Ok(connection) => {
                let link = Link::new(TokioIo::new(connection), Box::pin(ending)).await;
                Box::pin(Session::new(link, engine, user.scope).run()).await;
            }
            Err(error) => tracing::debug!(%error, "a socket was lost before it opened"),
        }
    });
    response
}

/// Browsers can set no header on an upgrade: `?profile=` stands for `X-Profile`.
fn take_profile(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default();
    for (_, profile) in url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "profile") {
        // What no header can hold is no profile either, and is refused as one.
        let value = HeaderValue::from_str(&profile).unwrap_or(HeaderValue::from_static(""));
        parts.headers.append("x-profile", value);
    }
}
