//! The opening handshake of RFC 6455. Not axum's, whose sessions would start outside the supervisor and whose sockets
//! hide the connection that must be drained when it is closed.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::Problem;

/// The answer that opens the socket, and the connection to come.
pub(super) fn accept(parts: &mut Parts) -> Result<(Response, OnUpgrade), Box<Response>> {
    let headers = &parts.headers;
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_CHARS);
    let asks = parts.method == Method::GET && has(headers, CONNECTION, "upgrade") && has(headers, UPGRADE, "websocket");
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
    let (true, true, Some(key)) = (asks, version, key) else { return Err(Box::new(refusal())) };
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| refusal())?;
    let connection = parts.extensions.remove::<OnUpgrade>().ok_or_else(refusal)?;

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    Ok((response, connection))
}

const VERSION: &str = "13";
/// Sixteen bytes in base64.
const KEY_CHARS: usize = 24;

fn has(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
}

fn refusal() -> Response {
    let detail = "this address speaks WebSocket, version 13; open it with a WebSocket client";
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail).into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    response
}
