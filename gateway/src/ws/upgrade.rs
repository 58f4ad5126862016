//! `GET /ws`: key or ticket, and origin are checked, then the session gets the connection.

use adjutant_core::scope::Origin;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;

use super::handshake;
use super::link::{Close, Link};
use super::session::Session;
use crate::app::App;
use crate::auth::extract;
use crate::auth::socket::identify_upgrade;

pub async fn upgrade(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    extract::take_profile(&mut parts);
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
