//! Errors in OpenAI's shape: `{"error":{"message","type","param","code"}}`. The codes are those of
//! [`Problem`]; only a missing key is called what the official clients know it by.

use std::borrow::Cow;

use adjutant_core::ids::{RunId, ThreadId};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::headers;
use crate::problem::Problem;

/// The official clients obey it. Without it they repeat 408, 409, 429 and 5xx.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Codes with which runs fail.
const RUN_CODES: &[&str] = &[
    "model_unauthorized",
    "model_rate_limited",
    "model_unavailable",
    "model_timed_out",
    "model_truncated",
    "model_garbled",
    "model_refused",
    "model_not_configured",
    "llm_key_required",
    "limit_steps",
    "limit_tokens",
    "limit_time",
    "limit_answer",
    "run_discarded",
];

/// An error as a client of this door sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    code: Cow<'static, str>,
    /// One sentence that is safe to show.
    message: Cow<'static, str>,
    /// The field of the request that is wrong.
    param: Option<String>,
    repeat: Repeat,
    /// The run that failed, when there is one.
    run: Option<(ThreadId, RunId)>,
}

/// Whether the same request may fare better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// As the status says.
    AsUsual,
    Useless,
}

impl Failure {
    fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        // A conflict stays one until the client changes its request.
        let repeat = if status == StatusCode::CONFLICT { Repeat::Useless } else { Repeat::AsUsual };
        Self { status, code: code.into(), message: message.into(), param: None, repeat, run: None }
    }

    /// The request is wrong in this field.
    pub(in crate::http) fn invalid(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        let failure = Self::new(StatusCode::BAD_REQUEST, "invalid_value", message);
        Self { param: Some(param.into()), ..failure }
    }

    /// The request asks for something that this door does not do.
    pub(in crate::http) fn unsupported(param: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: "unsupported_value".into(), ..Self::invalid(param, message) }
    }

    /// The same, of this field of the request.
    pub(in crate::http) fn at(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(in crate::http) fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(in crate::http) fn no_model(name: &str) -> Self {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let message = format!("there is no model '{shown}'; GET /v1/models lists those there are");
        let failure = Self::new(StatusCode::NOT_FOUND, "model_not_found", message);
        Self { param: Some("model".to_owned()), ..failure }
    }

    /// Equal for unknown threads and for those of other people.
    pub(in crate::http) fn no_thread() -> Self {
        Self::new(StatusCode::NOT_FOUND, "thread_not_found", "there is no such thread")
    }

    pub(in crate::http) fn internal() -> Self {
        Self::from(Problem::internal())
    }

    pub(in crate::http) fn stopping() -> Self {
        let message = "the server stops before the answer is complete; try again soon";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_stopping", message)
    }

    /// The key was revoked while its answer was on the way.
    pub(in crate::http) fn revoked() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", "the key was revoked")
    }

    /// After a disturbance the model wrote something else than what was already sent.
    pub(in crate::http) fn begun_anew() -> Self {
        let message = "the answer was interrupted and begun anew; ask again";
        Self::new(StatusCode::BAD_GATEWAY, "answer_begun_anew", message)
    }

    pub(in crate::http) fn cancelled() -> Self {
        Self::conflict("run_cancelled", "the run was cancelled before it was complete")
    }

    pub(in crate::http) fn quarantined(reason: &str) -> Self {
        let message = format!("{reason}: it waits for a person to try it again or to discard it");
        let failure = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "run_quarantined", message);
        Self { repeat: Repeat::Useless, ..failure }
    }

    /// What became of a run that failed, by its stable code.
    pub(in crate::http) fn of_run(code: String, message: String) -> Self {
        let (status, repeat) = match code.as_str() {
            "model_rate_limited" => (StatusCode::TOO_MANY_REQUESTS, Repeat::AsUsual),
            "model_refused" => (StatusCode::BAD_REQUEST, Repeat::AsUsual),
            "model_timed_out" => (StatusCode::GATEWAY_TIMEOUT, Repeat::AsUsual),
            "model_unavailable" | "model_truncated" | "model_garbled" => (StatusCode::BAD_GATEWAY, Repeat::AsUsual),
            "model_unauthorized" => (StatusCode::BAD_GATEWAY, Repeat::Useless),
            "llm_key_required" => (StatusCode::FORBIDDEN, Repeat::Useless),
            "model_not_configured" => (StatusCode::SERVICE_UNAVAILABLE, Repeat::Useless),
            "run_discarded" => (StatusCode::CONFLICT, Repeat::Useless),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Repeat::Useless),
        };
        Self { repeat, ..Self::new(status, code, message) }
    }

    /// The same refusal for the doors that answer with problem documents.
    pub(in crate::http) fn into_problem(self) -> Problem {
        let code = match self.code {
            Cow::Borrowed("invalid_api_key") => "unauthorized",
            Cow::Borrowed(code) => code,
            Cow::Owned(code) => RUN_CODES.iter().copied().find(|known| *known == code).unwrap_or("run_failed"),
        };
        let detail = match self.param {
            Some(param) => format!("{param}: {}", self.message).into(),
            None => self.message,
        };
        Problem::new(self.status, code, detail)
    }

    /// Names the run in the headers of the answer.
    pub(in crate::http) fn in_run(self, thread: ThreadId, run: RunId) -> Self {
        Self { run: Some((thread, run)), ..self }
    }

    /// The body, which is also the last event of a stream that fails.
    pub(in crate::http) fn body(&self) -> String {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        };
        let error = ErrorBody { message: &self.message, kind, param: self.param.as_deref(), code: &self.code };
        serde_json::to_string(&Envelope { error }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.repeat == Repeat::Useless {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some((thread, run)) = self.run {
            headers::name_run(headers, thread, run);
        }
        response
    }
}

impl<E> From<E> for Failure
where
    Problem: From<E>,
{
    fn from(error: E) -> Self {
        let problem = Problem::from(error);
        let code = if problem.code == "unauthorized" { "invalid_api_key" } else { problem.code };
        let failure = Self::new(problem.status, code, problem.detail);
        let useless = matches!(failure.code.as_ref(), "model_not_configured" | "internal");
        Self { repeat: if useless { Repeat::Useless } else { failure.repeat }, ..failure }
    }
}

/// Puts a problem that an extractor or a layer answered with into this door's form; its status and
/// its other headers stay.
pub fn rewrite(response: &mut Response, problem: Problem) {
    let failure = Failure::from(problem);
    *response.body_mut() = Body::from(failure.body());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if failure.repeat == Repeat::Useless {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_error_has_the_four_fields() {
        let body: Value = serde_json::from_str(&Failure::invalid("messages[2]", "no").body()).unwrap();
        let wanted =
            json!({"message": "no", "type": "invalid_request_error", "param": "messages[2]", "code": "invalid_value"});
        assert_eq!(body, json!({"error": wanted}));
        let body: Value = serde_json::from_str(&Failure::from(Problem::unauthorized()).body()).unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&json!("invalid_api_key"), &Value::Null));
    }

    #[test]
    fn clients_repeat_only_what_may_fare_better() {
        let header = |failure: Failure| failure.into_response().headers().get(SHOULD_RETRY).cloned();
        let never = Some(HeaderValue::from_static("false"));
        for code in ["model_not_configured", "model_unauthorized", "limit_steps", "anything else"] {
            assert_eq!(header(Failure::of_run(code.to_owned(), String::new())), never, "{code}");
        }
        for code in ["model_rate_limited", "model_unavailable", "model_timed_out"] {
            assert_eq!(header(Failure::of_run(code.to_owned(), String::new())), None, "{code}");
        }
        assert_eq!(header(Failure::conflict("thread_conflict", "no")), never);
    }

    #[test]
    fn a_long_or_odd_model_name_is_not_repeated_whole() {
        let failure = Failure::no_model(&format!("\u{7}{}", "x".repeat(10_000)));
        assert!(failure.message.len() < 200 && !failure.message.contains('\u{7}'));
    }
}
