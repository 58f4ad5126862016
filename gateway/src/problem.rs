//! The one place where errors become answers: status, stable code, one safe sentence. WebSocket frames
//! and the chat completion door use the same codes.

use std::borrow::Cow;

use adjutant_core::message::InvalidMessage;
use adjutant_core::model::ModelErrorKind;
use adjutant_engine::runs::control::ControlError;
use adjutant_engine::runs::submission::SubmitError;
use adjutant_engine::threads::change::ThreadError;
use adjutant_store::error::StoreError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// An RFC 9457 problem document with the extra members `code` and `requestId`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    /// One sentence that is safe to show.
    pub detail: Cow<'static, str>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Equal for every missing or wrong key.
    pub fn unauthorized() -> Self {
        let detail = "send a valid key as X-API-Key or as Authorization: Bearer";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Equal for unknown ids and for those of other people.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here by that name")
    }

    fn no_file() -> Self {
        Self::new(StatusCode::NOT_FOUND, "file_not_found", "there is no such file")
    }

    pub fn internal() -> Self {
        let detail = "the server met an error of its own; the request id finds it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The body. `request_id` is empty where no request is known.
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// Always `about:blank`: what it is says `code`.
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    /// One sentence for people.
    detail: &'a str,
    /// Stable and in snake case.
    code: &'a str,
    /// Finds the request in the server's log.
    #[serde(rename = "requestId", skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
}

impl IntoResponse for Problem {
    /// The middleware `guard::frame` writes the body anew with the request's id.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document("")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("2"))),
            StatusCode::TOO_MANY_REQUESTS => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("60"))),
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The stable code and the sentence of an error, for doors that speak another form than HTTP.
pub fn code_and_sentence<'a, E>(error: &'a E) -> (&'static str, Cow<'static, str>)
where
    Problem: From<&'a E>,
{
    let problem = Problem::from(error);
    (problem.code, problem.detail)
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Conflict(_) | StoreError::FenceLost => {
                Self::new(StatusCode::CONFLICT, "conflict", "something else changed this at the same time; try again")
            }
            StoreError::Invalid(_) => {
                Self::bad_request("invalid_value", "the request holds a value that cannot be stored")
            }
            StoreError::NoVaultKey => Self::new(StatusCode::CONFLICT, "vault_key_missing", error.to_string()),
            StoreError::Credential { why, .. } => Self::new(StatusCode::CONFLICT, why.code(), error.to_string()),
            StoreError::Unavailable(_) => {
                tracing::warn!(error = error as &(dyn std::error::Error + 'static), "the database is unavailable");
                let detail = "the database cannot be reached at the moment; try again soon";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail)
            }
            StoreError::Bug(_) => {
                tracing::error!(error = error as &(dyn std::error::Error + 'static), "a database statement failed");
                Self::internal()
            }
        }
    }
}

impl From<&InvalidMessage> for Problem {
    fn from(error: &InvalidMessage) -> Self {
        match error {
            InvalidMessage::Empty => Self::bad_request("message_empty", error.to_string()),
            InvalidMessage::TooManyFiles => Self::bad_request("too_many_files", error.to_string()),
            InvalidMessage::TooLong => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", error.to_string()),
            InvalidMessage::ClientMessageId => Self::bad_request("invalid_client_message_id", error.to_string()),
        }
    }
}

impl From<&SubmitError> for Problem {
    fn from(error: &SubmitError) -> Self {
        match error {
            SubmitError::Message(invalid) => invalid.into(),
            SubmitError::NoThread => Self::new(StatusCode::NOT_FOUND, "thread_not_found", "there is no such thread"),
            SubmitError::NoParent => {
                let detail = "there is no such message in this thread to answer to";
                Self::new(StatusCode::NOT_FOUND, "parent_not_found", detail)
            }
            SubmitError::NoMessage => {
                let detail = "there is no such message of yours in this thread";
                Self::new(StatusCode::NOT_FOUND, "message_not_found", detail)
            }
            SubmitError::MessageQueued => {
                let detail = "the message waits for its turn: rewrite it, or cancel its run and send another one";
                Self::new(StatusCode::CONFLICT, "message_queued", detail)
            }
            SubmitError::NoFile => Self::no_file(),
            SubmitError::ModelNotAllowed(why) => {
                let detail = format!("this model may not be asked here, others may: {why}");
                Self::new(StatusCode::FORBIDDEN, "model_not_allowed", detail)
            }
            SubmitError::QueueFull => {
                let detail = "too many messages wait in this thread; send this one when an answer has come";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail)
            }
            SubmitError::RightsLost => Self::unauthorized(),
            SubmitError::ModelNotConfigured => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ModelErrorKind::NotConfigured.code(), adjutant_llm::advice())
            }
            SubmitError::NoModelKey(advice) => {
                Self::new(StatusCode::FORBIDDEN, ModelErrorKind::NoKey.code(), advice.clone())
            }
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<&ControlError> for Problem {
    fn from(error: &ControlError) -> Self {
        match error {
            ControlError::NotFound => Self::not_found(),
            ControlError::AlreadyDecided => {
                Self::new(StatusCode::CONFLICT, "already_decided", "this was decided before")
            }
            ControlError::AlreadyAnswered => {
                let detail = "this was answered before, or is asked no more";
                Self::new(StatusCode::CONFLICT, "already_answered", detail)
            }
            ControlError::InvalidAnswer(invalid) => {
                Self::bad_request("invalid_answer", format!("the answer does not fit the form: {invalid}"))
            }
            ControlError::NotQuarantined => {
                let detail = "the run is not quarantined, so there is nothing to decide";
                Self::new(StatusCode::CONFLICT, "run_not_quarantined", detail)
            }
            ControlError::NotWaiting => {
                let detail = "the run does not wait for these tool results";
                Self::new(StatusCode::CONFLICT, "run_not_waiting", detail)
            }
            ControlError::NotQueued => {
                let detail = "the run does not wait for its turn any more, or brought no message: nothing was changed";
                Self::new(StatusCode::CONFLICT, "run_not_queued", detail)
            }
            ControlError::NoFile => Self::no_file(),
            ControlError::Store(error) => error.into(),
        }
    }
}

impl From<&ThreadError> for Problem {
    fn from(error: &ThreadError) -> Self {
        match error {
            ThreadError::NotFound => Self::not_found(),
            ThreadError::NoMessage => {
                Self::new(StatusCode::NOT_FOUND, "message_not_found", "there is no such message in this thread")
            }
            ThreadError::NoFile => Self::no_file(),
            ThreadError::Busy => {
                let detail = "a run is going or waiting in this thread: cancel it, or let it end first";
                Self::new(StatusCode::CONFLICT, "thread_busy", detail)
            }
            ThreadError::NothingToCompact => {
                let detail = "the thread has no answers before its newest two questions that a summary could stand for";
                Self::new(StatusCode::CONFLICT, "nothing_to_compact", detail)
            }
            ThreadError::NothingAnswered => {
                let detail = "no model answered in this thread yet, which is a copy: ask something first";
                Self::new(StatusCode::CONFLICT, "nothing_answered", detail)
            }
            ThreadError::RightsLost => Self::unauthorized(),
            ThreadError::Compacting => Self::new(StatusCode::CONFLICT, "thread_compacting", error.to_string()),
            ThreadError::Model(failed) => {
                let status = match failed.kind {
                    ModelErrorKind::NoKey => StatusCode::FORBIDDEN,
                    ModelErrorKind::NotConfigured => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_GATEWAY,
                };
                Self::new(status, failed.kind.code(), failed.message.clone())
            }
            ThreadError::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_stopping", "the server stops: ask again in a moment")
            }
            ThreadError::TitleTooLong => Self::bad_request("title_too_long", error.to_string()),
            ThreadError::FolderTooLong => Self::bad_request("folder_too_long", error.to_string()),
            ThreadError::BranchTooLong => {
                Self::new(StatusCode::CONFLICT, "branch_too_long", "the branch is longer than what can be copied")
            }
            ThreadError::Store(error) => error.into(),
        }
    }
}

macro_rules! owned {
    ($($error:ty)*) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::from(&error)
            }
        }
    )*};
}

owned! { StoreError InvalidMessage SubmitError ControlError ThreadError }
