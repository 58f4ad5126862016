//! What went wrong, in the words of `adjutant_core::model`, and whether another try may help. A
//! sentence never holds an address or a key, and of a provider's own words only what the redactor
//! leaves of its message.

use std::string::FromUtf8Error;
use std::time::Duration;

use adjutant_core::model::{ModelError, ModelErrorKind};
use genai::BoxError;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::redact::Redactor;
use crate::retry;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: ModelError,
    /// Another try may help, as long as nothing was relayed.
    pub(crate) passing: bool,
}

impl Failure {
    pub(crate) fn lasting(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { error: ModelError::new(kind, message), passing: false }
    }

    pub(crate) fn passing(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { passing: true, ..Self::lasting(kind, message) }
    }

    pub(crate) fn truncated() -> Self {
        Self::lasting(ModelErrorKind::Truncated, "the model's answer broke off before its end")
    }

    pub(crate) fn garbled(what: &str) -> Self {
        Self::lasting(ModelErrorKind::Garbled, format!("the model provider's answer is not valid: {what}"))
    }

    /// Nothing came at all: worth another try.
    pub(crate) fn silent(limit: Duration) -> Self {
        let message = format!("the model provider sent no answer within {limit:?}");
        Self::passing(ModelErrorKind::TimedOut, message)
    }

    pub(crate) fn stalled(limit: Duration) -> Self {
        let message = format!("the model provider sent nothing more for {limit:?}");
        Self::lasting(ModelErrorKind::TimedOut, message)
    }

    fn unreachable() -> Self {
        Self::passing(ModelErrorKind::Unavailable, "the model provider cannot be reached")
    }
}

/// An answer that is no success.
pub(crate) fn http(status: StatusCode, headers: &HeaderMap, body: &str, redactor: &Redactor) -> Failure {
    let said = serde_json::from_str::<Value>(body).map(|body| Said::read(&body)).unwrap_or_default();
    let mut failure = by_status(status, &said, redactor);
    failure.error.retry_after = match failure.error.kind {
        ModelErrorKind::RateLimited | ModelErrorKind::Unavailable => retry::retry_after(headers),
        _ => None,
    };
    failure
}

/// An error object in place of a part of the answer.
pub(crate) fn in_stream(error: &Value, redactor: &Redactor) -> Failure {
    let said = Said::read(error);
    if let Some(status) = said.status {
        return by_status(status, &said, redactor);
    }
    let names = |words: &[&str]| words.iter().any(|word| said.label.contains(word));
    let status = if names(&["rate_limit", "too_many_requests", "quota"]) {
        StatusCode::TOO_MANY_REQUESTS
    } else if names(&["api_key", "authentication", "permission"]) {
        StatusCode::UNAUTHORIZED
    } else if names(&["not_found"]) {
        StatusCode::NOT_FOUND
    } else if names(&["invalid_request", "request_too_large", "context_length", "content_filter", "content_policy"]) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    by_status(status, &said, redactor)
}

/// An error of the client crate: what it says of the connection, or the HTTP answer it holds.
pub(crate) fn transport(error: genai::Error, redactor: &Redactor) -> Failure {
    match error {
        genai::Error::WebStream { error, .. } => connection(error, redactor),
        genai::Error::HttpError { status, body, headers, .. } => http(status, &headers, &body, redactor),
        _ => Failure::lasting(ModelErrorKind::Refused, "the request to the model provider could not be made"),
    }
}

/// A request of our own that got no answer.
pub(crate) fn unanswered(error: &reqwest::Error, limit: Duration) -> Failure {
    if error.is_timeout() && !error.is_connect() { Failure::silent(limit) } else { Failure::unreachable() }
}

fn connection(error: BoxError, redactor: &Redactor) -> Failure {
    let error = match error.downcast::<genai::Error>() {
        Ok(inner) => return transport(*inner, redactor),
        Err(error) => error,
    };
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return if error.is_body() || error.is_decode() { Failure::truncated() } else { Failure::unreachable() };
    }
    let cut = |error: &std::str::Utf8Error| error.error_len().is_none();
    if let Some(error) = error.downcast_ref::<FromUtf8Error>().map(FromUtf8Error::utf8_error)
        && !cut(&error)
    {
        return Failure::garbled("it is no UTF-8 text");
    }
    Failure::truncated()
}

fn by_status(status: StatusCode, said: &Said, redactor: &Redactor) -> Failure {
    let code = status.as_u16();
    let with_reason = |sentence: String| match said.message.as_deref().map(|text| redactor.clean(text)) {
        Some(reason) if !reason.is_empty() => format!("{sentence}: {reason}"),
        _ => sentence,
    };
    match code {
        401 | 403 => Failure::lasting(
            ModelErrorKind::Unauthorized,
            format!("the model provider refuses the key (HTTP {code}): {}", redactor.key_advice()),
        ),
        429 if said.label.contains("quota") => Failure::lasting(
            ModelErrorKind::RateLimited,
            "the account at the model provider has no quota left: check its plan and billing",
        ),
        429 => Failure::passing(
            ModelErrorKind::RateLimited,
            "the model provider limits how often it may be asked: try again later",
        ),
        408 | 425 | 500..=599 => Failure::passing(
            ModelErrorKind::Unavailable,
            format!("the model provider has a problem of its own (HTTP {code}): try again later"),
        ),
        300..=399 => Failure::lasting(
            ModelErrorKind::Refused,
            format!("the model provider answers with a redirect, which is not followed: {}", redactor.address_advice()),
        ),
        404 => Failure::lasting(
            ModelErrorKind::Refused,
            with_reason(format!("the model provider knows no such model or address, {}", redactor.model_advice())),
        ),
        400..=499 => Failure::lasting(
            ModelErrorKind::Refused,
            with_reason(format!("the model provider refuses the request (HTTP {code})")),
        ),
        _ => Failure::garbled("it has an unknown HTTP status"),
    }
}

/// What a provider says of an error, in any of the usual shapes.
#[derive(Debug, Default)]
struct Said {
    message: Option<String>,
    /// Type and code, in lower case.
    label: String,
    status: Option<StatusCode>,
}

impl Said {
    fn read(body: &Value) -> Self {
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let number = |name: &str| error.get(name).and_then(Value::as_u64);
        let message = error.as_str().or_else(|| text("message")).or_else(|| text("detail"));
        let label = [text("type"), text("code"), text("status")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let status = number("code").or_else(|| number("status")).and_then(|code| u16::try_from(code).ok());
        Self {
            message: message.map(ToOwned::to_owned),
            label: label.to_ascii_lowercase(),
            status: status.filter(|code| (400..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_http_status_has_its_kind_and_says_whether_to_try_again() {
        use ModelErrorKind::{Garbled, RateLimited, Refused, Unauthorized, Unavailable};
        let quota = r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let cases = [
            (302, "", Refused, false),
            (400, "<html>", Refused, false),
            (401, "", Unauthorized, false),
            (403, "{}", Unauthorized, false),
            (404, "", Refused, false),
            (408, "", Unavailable, true),
            (413, "", Refused, false),
            (429, "", RateLimited, true),
            (429, quota, RateLimited, false),
            (500, "", Unavailable, true),
            (529, "[]", Unavailable, true),
            (700, "", Garbled, false),
        ];
        for (status, body, kind, passing) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            let failure = http(status, &HeaderMap::new(), body, &Redactor::default());
            assert_eq!((failure.error.kind, failure.passing), (kind, passing), "{status} {body}");
        }
    }

    #[test]
    fn an_error_object_in_the_stream_is_read_in_all_its_shapes() {
        use ModelErrorKind::{RateLimited, Refused, Unauthorized, Unavailable};
        let cases = [
            (serde_json::json!({"message": "x", "type": "server_error"}), Unavailable),
            (serde_json::json!("overloaded"), Unavailable),
            (serde_json::json!({"code": 429, "message": "x"}), RateLimited),
            (serde_json::json!({"code": "rate_limit_exceeded"}), RateLimited),
            (serde_json::json!({"type": "invalid_request_error", "code": "invalid_api_key"}), Unauthorized),
            (serde_json::json!({"type": "invalid_request_error"}), Refused),
            (serde_json::json!({"code": 3}), Unavailable),
            (serde_json::json!([1]), Unavailable),
        ];
        for (error, kind) in cases {
            assert_eq!(in_stream(&error, &Redactor::default()).error.kind, kind, "{error}");
        }
    }

    #[test]
    fn only_a_refused_request_quotes_the_provider() {
        let body = r#"{"error":{"message":"maximum context length is 8192 tokens, see https://x.example"}}"#;
        let sentence = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            http(status, &HeaderMap::new(), body, &Redactor::default()).error.message
        };
        assert_eq!(
            sentence(400),
            "the model provider refuses the request (HTTP 400): maximum context length is 8192 tokens, see [redacted]"
        );
        for status in [401, 429, 500, 302] {
            assert!(!sentence(status).contains("context"), "{}", sentence(status));
        }
    }
}
