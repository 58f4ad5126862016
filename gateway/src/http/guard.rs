//! What every request passes on its way to a handler and back: an id and a span, the exact lists of
//! hosts and origins, and the net that catches panics.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::Instrument;

use super::openai;
use crate::app::App;
use crate::auth::origin::{check_host, check_origin};
use crate::config::doors::Doors;
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_CODE: HeaderName = HeaderName::from_static("x-problem-code");
const REQUEST_ID_LONGEST: usize = 64;

/// The outermost layer. The span has the route and never the query, which may hold a key.
pub(super) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let form = match request.uri().path() {
        path if path.starts_with("/v1/") => Form::OpenAi,
        ASK if wants_text(request.headers()) => Form::Text,
        _ => Form::Problem,
    };
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request.id = %id, http.method = %request.method(), http.route = route);
    let response = async {
        let response = match check(&app.config().doors, &request) {
            Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|panic| {
                app.supervisor().caught("request", panic.as_ref());
                Problem::internal().into_response()
            }),
            Err(problem) => problem.into_response(),
        };
        tracing::debug!(http.status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    finish(response, form, &id)
}

/// How a door's clients expect errors.
#[derive(Debug, Clone, Copy)]
enum Form {
    Problem,
    OpenAi,
    /// The sentence alone, with the code in a header.
    Text,
}

/// The door that answers in text.
pub(super) const ASK: &str = "/api/v1/ask";

/// Whether the client of that door reads text: it does not ask for JSON.
pub(super) fn wants_text(headers: &HeaderMap) -> bool {
    !headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("json")))
}

/// Puts the request's id into a problem, and into the headers of every answer.
fn finish(mut response: Response, form: Form, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        match form {
            Form::Problem => {
                *response.body_mut() = Body::from(problem.document(id));
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            Form::OpenAi => openai::failure::rewrite(&mut response, problem),
            Form::Text => {
                *response.body_mut() = Body::from(format!("{}\n", problem.detail));
                let headers = response.headers_mut();
                headers.remove(CONTENT_LENGTH);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                headers.insert(PROBLEM_CODE, HeaderValue::from_static(problem.code));
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The client's own id when it is plain, so that a proxy's log and ours name the same request.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=REQUEST_ID_LONGEST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if let Some(given) = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain) {
        return given.to_owned();
    }
    let mut random = [0; 8];
    // Without random numbers no key could be checked either; an id of zeros harms nobody.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}

fn check(doors: &Doors, request: &Request) -> Result<(), Problem> {
    check_host(doors, request.uri(), request.headers())?;
    match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok(()),
        _ => check_origin(doors, request.headers()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_cannot_forge_a_line_of_the_log() {
        let given = |id: &'static str| request_id(&[(REQUEST_ID, HeaderValue::from_static(id))].into_iter().collect());
        assert_eq!(given("abc-1"), "abc-1");
        assert_eq!(given("a b").len(), 16);
        assert_eq!(given("").len(), 16);
    }
}
