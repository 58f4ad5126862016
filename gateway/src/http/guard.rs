//! What every request passes on its way to a handler and back: an id and a span, the exact lists of
//! hosts and origins, and the net that catches panics.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{CONTENT_LENGTH, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use tracing::Instrument;

use super::error::Problem;
use super::openai;
use crate::app::App;
use crate::config::doors::Doors;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_LONGEST: usize = 64;
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// The outermost layer. The span has the route and never the query, which may hold a key.
pub(super) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let form = if request.uri().path().starts_with("/v1/") { Form::OpenAi } else { Form::Problem };
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

/// A web page can make a browser call this address under a name of its own; only our names are answered.
fn check_host(doors: &Doors, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts =
        headers.get_all(HOST).iter().map(HeaderValue::to_str).chain(uri.authority().map(|a| Ok(a.as_str())));
    let first = hosts.next().ok_or_else(|| Problem::bad_request("host_missing", "the request names no Host"))?;
    let known = |host: Result<&str, _>| host.is_ok_and(|host| is_our_name(doors, host));
    if known(first) && hosts.all(known) {
        return Ok(());
    }
    let detail = "this server is not called by that name; ADJUTANT_ALLOWED_HOSTS lists the names it answers to";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", detail))
}

fn is_our_name(doors: &Doors, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => name,
        _ => host.as_str(),
    };
    let own = doors.listen.ip();
    LOOPBACK.contains(&name)
        || doors.allowed_hosts.iter().any(|allowed| allowed == name || *allowed == host)
        || (!own.is_unspecified() && (name == own.to_string() || name == format!("[{own}]")))
}

/// Refuses what a web page of another origin asks for. Programs send no Origin.
pub(crate) fn check_origin(doors: &Doors, headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| {
        let host = host.to_ascii_lowercase();
        origin == format!("http://{host}") || (doors.behind_proxy && origin == format!("https://{host}"))
    });
    if origins.next().is_none() && (own || doors.allowed_origins.iter().any(|allowed| allowed == origin)) {
        return Ok(());
    }
    let detail = "web pages of this origin may not call the server; ADJUTANT_ALLOWED_ORIGINS lists those that may";
    Err(Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(behind_proxy: bool) -> Doors {
        Doors {
            listen: "10.1.2.3:8080".parse().unwrap(),
            allowed_hosts: vec!["a.example.org".to_owned(), "b.example.org:8443".to_owned()],
            allowed_origins: vec!["https://ui.example.org".to_owned()],
            behind_proxy,
        }
    }

    #[test]
    fn only_our_names_are_ours() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:80", "10.1.2.3", "a.example.org:99"] {
            assert!(is_our_name(&doors(false), host), "{host}");
        }
        assert!(is_our_name(&doors(false), "b.example.org:8443"));
        for host in ["", "b.example.org", "evil.example", "localhost.evil.example", "a.example.org.", "localhost:x"] {
            assert!(!is_our_name(&doors(false), host), "{host}");
        }
    }

    #[test]
    fn origins_are_compared_exactly() {
        let headers = |origin: &'static str| {
            let host = (HOST, HeaderValue::from_static("a.example.org"));
            [host, (ORIGIN, HeaderValue::from_static(origin))].into_iter().collect::<HeaderMap>()
        };
        assert!(check_origin(&doors(false), &HeaderMap::new()).is_ok());
        for good in ["http://a.example.org", "https://ui.example.org"] {
            assert!(check_origin(&doors(false), &headers(good)).is_ok(), "{good}");
        }
        for bad in ["null", "", "https://a.example.org", "https://ui.example.org.evil", "http://ui.example.org"] {
            assert!(check_origin(&doors(false), &headers(bad)).is_err(), "{bad}");
        }
        assert!(check_origin(&doors(true), &headers("https://a.example.org")).is_ok());
    }

    #[test]
    fn a_request_id_cannot_forge_a_line_of_the_log() {
        let given = |id: &'static str| request_id(&[(REQUEST_ID, HeaderValue::from_static(id))].into_iter().collect());
        assert_eq!(given("abc-1"), "abc-1");
        assert_eq!(given("a b").len(), 16);
        assert_eq!(given("").len(), 16);
    }
}
