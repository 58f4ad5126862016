//! Reading a request's body within its bounds: size, time, type, encoding, depth.

use adjutant_core::limits;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::Problem;

/// Reads a JSON document of at most `limit` bytes.
pub async fn json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Problem> {
    expect_json(request.headers())?;
    parse(&read(request, limit).await?)
}

/// As [`json`], for a body that holds a secret: a refusal quotes nothing of it.
pub(super) async fn secret_json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Problem> {
    expect_json(request.headers())?;
    let body = read(request, limit).await?;
    let text = object(&body)?;
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_data() {
            let detail = format!("the body has a field that is not known or of another type, near {place}");
            Problem::bad_request("invalid_body", detail)
        } else {
            Problem::bad_request("invalid_json", format!("the body is no JSON: see {place}"))
        }
    })
}

/// Reads a JSON document that may be left out altogether.
pub async fn optional_json<T: DeserializeOwned + Default>(request: Request, limit: usize) -> Result<T, Problem> {
    let typed = expect_json(request.headers());
    let body = read(request, limit).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    typed?;
    parse(&body)
}

/// What came where text is as welcome as JSON.
pub(super) enum Given<T> {
    Text(String),
    Json(T),
}

/// Reads text, or a JSON document.
pub(super) async fn text_or_json<T: DeserializeOwned>(request: Request, limit: usize) -> Result<Given<T>, Problem> {
    if essence(request.headers()) != "text/plain" {
        return json(request, limit).await.map(Given::Json);
    }
    expect_plain(request.headers())?;
    let text = read(request, limit).await?;
    let text = String::from_utf8(text.into());
    text.map(Given::Text).map_err(|_| Problem::bad_request("invalid_utf8", "the body is not UTF-8"))
}

/// Reads what says that it is JSON, for a door that parses it itself.
pub(super) async fn json_bytes(request: Request, limit: usize) -> Result<Bytes, Problem> {
    expect_json(request.headers())?;
    read(request, limit).await
}

/// For routes that take no parameters in their body: nothing, or an object, whose fields are ignored.
#[derive(Debug, Clone, Copy)]
pub struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _app: &App) -> Result<Self, Problem> {
        let typed = expect_json(request.headers());
        let body = read(request, limits::HTTP_BODY_BYTES).await?;
        if !body.is_empty() {
            typed?;
            parse::<serde_json::Map<String, serde_json::Value>>(&body)?;
        }
        Ok(Self)
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    if essence(headers) != "application/json" {
        return Err(other_type("send the body as Content-Type: application/json"));
    }
    expect_plain(headers)
}

/// The media type without its parameters.
fn essence(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn expect_plain(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(other_type("send the body without Content-Encoding"));
    }
    Ok(())
}

fn other_type(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is longer than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(limits::BODY_READ, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad_request("body_incomplete", "the body ended before it was complete")),
        Err(_) => {
            let detail = "the body did not arrive in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail))
        }
    }
}

/// The text of a body that is no list: serde would take its elements for the fields in their order.
fn object(body: &[u8]) -> Result<&str, Problem> {
    let text = str::from_utf8(body).map_err(|_| Problem::bad_request("invalid_utf8", "the body is not UTF-8"))?;
    if text.trim_start().starts_with('[') {
        return Err(Problem::bad_request("invalid_body", "the body must be an object"));
    }
    Ok(text)
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text = object(body)?;
    serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() { "invalid_body" } else { "invalid_json" };
        // The text may quote a value of the request at length.
        let mut detail = format!("the body cannot be read: {error}");
        let cut = detail.floor_char_boundary(DETAIL_LONGEST);
        detail.truncate(cut);
        Problem::bad_request(code, detail)
    })
}

const DETAIL_LONGEST: usize = 240;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Named {
        _name: Value,
    }

    fn code(body: impl AsRef<[u8]>) -> Option<&'static str> {
        parse::<Named>(body.as_ref()).err().map(|problem| problem.code)
    }

    #[test]
    fn bad_bodies_have_their_codes() {
        let named = |value: &[u8]| [b"{\"_name\":", value, b"}"].concat();
        assert_eq!(code(named(b"[]")), None);
        assert_eq!(code(b" [\"a list is no object\"]"), Some("invalid_body"));
        assert_eq!(code(b"{}"), Some("invalid_body"));
        assert_eq!(code(b"7"), Some("invalid_body"));
        assert_eq!(code(b""), Some("invalid_json"));
        assert_eq!(code(named(b"[1")), Some("invalid_json"));
        assert_eq!(code(named(b"\"\xff\"")), Some("invalid_utf8"));
        assert_eq!(code(named("[".repeat(10_000).as_bytes())), Some("invalid_json"));
        assert_eq!(code(named(b"\"\x00\"")), Some("invalid_json"));
        assert_eq!(code(named(b"\"\\ud800\"")), Some("invalid_json"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read(Request::new(never), 8).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (408, "body_timeout"));
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_bounded_too() {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"piece")));
        let problem = read(Request::new(Body::from_stream(pieces)), 1_000).await.unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.code), (413, "body_too_large"));
    }

    #[test]
    fn a_refusal_quotes_no_long_value() {
        let long = format!("\"{}\"", "ä".repeat(1_000));
        let problem = parse::<Named>(long.as_bytes()).unwrap_err();
        assert!(problem.detail.len() <= DETAIL_LONGEST);
    }
}
