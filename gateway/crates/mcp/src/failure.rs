//! Errors of the MCP library as what a caller can do about them, in sentences that are safe to
//! show: no address, no header, no text of the server except its own words on a refused call.

use rmcp::model::{ErrorCode, ErrorData};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use crate::egress::was_refused;

/// A server's own words in a sentence.
const WORDS: usize = 500;

/// Why a session did not begin.
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) initialize: Initialize,
}

/// When `initialize` is worth a try after the stateless greeting failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initialize {
    Never,
    /// The server may be an old one that took offence at the question.
    Now,
    /// It may be an old one, but this attempt has lasted long enough.
    NextTime,
}

impl Refusal {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), initialize: Initialize::Never }
    }

    fn perhaps_old(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), initialize: Initialize::Now }
    }
}

/// What is known of a call without a result.
#[derive(Debug)]
pub(crate) enum CallFailure {
    /// Certainly not run, and a new session may help.
    NotSent(String),
    /// Certainly not run, and trying again is no use now.
    Unavailable(String),
    /// The server refused the request itself.
    Refused(String),
    /// The server answered with an error of its own.
    Answered(String),
    /// It may have run.
    Lost(String),
}

pub(crate) fn handshake(error: &ClientInitializeError) -> Refusal {
    match error {
        ClientInitializeError::ConnectionClosed(_) => {
            Refusal::perhaps_old("it closed the connection while being greeted")
        }
        ClientInitializeError::TransportError { error, .. } => match transport(error) {
            Transport::Unreachable(reason) | Transport::Closed(reason) => Refusal::new(reason),
            Transport::Session(reason) | Transport::Rejected(reason) | Transport::Broken(reason) => {
                Refusal::perhaps_old(reason)
            }
        },
        ClientInitializeError::JsonRpcError(error) => {
            Refusal::perhaps_old(format!("it refused the greeting (error {})", error.code.0))
        }
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            Refusal::perhaps_old("it speaks no protocol version that is known here")
        }
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => Refusal::new(handshake(fallback).reason),
        ClientInitializeError::Cancelled => Refusal::new("the connection was cancelled"),
        _ => Refusal::perhaps_old("it answered the greeting with something that is not MCP"),
    }
}

pub(crate) fn call(error: ServiceError) -> CallFailure {
    match error {
        ServiceError::McpError(error) => answered(&error),
        ServiceError::TransportSend(error) => match transport(&error) {
            Transport::Unreachable(reason) | Transport::Session(reason) => CallFailure::NotSent(reason),
            Transport::Closed(reason) => CallFailure::Unavailable(reason),
            Transport::Rejected(reason) => CallFailure::Refused(reason),
            Transport::Broken(reason) => CallFailure::Lost(reason),
        },
        ServiceError::TransportClosed => CallFailure::Lost("the connection was lost before the answer came".to_owned()),
        _ => CallFailure::Lost("it answered with something that is no tool result".to_owned()),
    }
}

fn answered(error: &ErrorData) -> CallFailure {
    let words = words(&error.message);
    match error.code {
        ErrorCode::METHOD_NOT_FOUND | ErrorCode::INVALID_PARAMS => {
            CallFailure::Refused(format!("the server refused the call: {words}"))
        }
        code => CallFailure::Answered(format!("the server answered with error {}: {words}", code.0)),
    }
}

/// The server's words on one line.
fn words(text: &str) -> String {
    let mut words: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
    if words.len() < text.len() {
        words.push('…');
    }
    words
}

/// What an error of the transport says about the request.
enum Transport {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// Turned away at the door: credentials, a redirect, a rate limit. Nothing ran.
    Closed(String),
    /// The session is over: HTTP 404 means that this very request was not taken up.
    Session(String),
    /// The request itself was refused.
    Rejected(String),
    /// Anything may have happened.
    Broken(String),
}

fn transport(error: &DynamicTransportError) -> Transport {
    type Http = StreamableHttpError<reqwest::Error>;
    let Some(error) = error.error.downcast_ref::<Http>() else {
        return Transport::Broken("the connection broke".to_owned());
    };
    match error {
        Http::Client(error) if was_refused(error) => Transport::Unreachable(
            "its address is not a public one, and no admin has allowed that for this server".to_owned(),
        ),
        Http::Client(error) if error.is_connect() || error.is_builder() => {
            Transport::Unreachable("it could not be reached".to_owned())
        }
        Http::HttpStatus(error) => status(error.status),
        Http::AuthRequired(_) => status(401),
        Http::InsufficientScope(_) => status(403),
        Http::SessionExpired => Transport::Session("it ended the session".to_owned()),
        Http::ResponseBodyTooLarge { .. } => Transport::Broken("it sent an answer that is too large".to_owned()),
        Http::UnexpectedServerResponse(_) | Http::UnexpectedContentType(_) | Http::Deserialize(_) => {
            Transport::Broken("it answered with something that is not MCP".to_owned())
        }
        _ => Transport::Broken("the connection broke".to_owned()),
    }
}

fn status(code: u16) -> Transport {
    match code {
        401 | 403 => Transport::Closed(format!("it refused the configured credentials (HTTP {code})")),
        429 => Transport::Closed("it asked to slow down (HTTP 429)".to_owned()),
        300..400 => Transport::Closed(format!("it answered with a redirect (HTTP {code}), which is not followed")),
        // A timeout may come from a proxy, after the request was passed on.
        408 | 499 => Transport::Broken(format!("it answered with HTTP {code}")),
        400..500 => Transport::Rejected(format!("it answered with HTTP {code}")),
        _ => Transport::Broken(format!("it answered with HTTP {code}")),
    }
}

#[cfg(test)]
mod tests {
    use rmcp::transport::streamable_http_client::HttpStatusError;

    use super::*;

    fn sent(error: StreamableHttpError<reqwest::Error>) -> CallFailure {
        let id = std::any::TypeId::of::<()>();
        call(ServiceError::TransportSend(DynamicTransportError::from_parts("http", id, Box::new(error))))
    }

    fn answered_with(code: u16) -> CallFailure {
        sent(HttpStatusError::new(code, None).into())
    }

    #[test]
    fn only_what_certainly_did_not_run_may_be_sent_again() {
        assert!(matches!(sent(StreamableHttpError::SessionExpired), CallFailure::NotSent(_)));
        assert!(matches!(sent(StreamableHttpError::SessionRecoveryTimeout), CallFailure::Lost(_)));
        assert!(matches!(sent(StreamableHttpError::UnexpectedEndOfStream), CallFailure::Lost(_)));
        assert!(matches!(answered_with(307), CallFailure::Unavailable(_)));
        assert!(matches!(answered_with(400), CallFailure::Refused(_)));
        assert!(matches!(answered_with(500), CallFailure::Lost(_)));
        assert!(matches!(sent(StreamableHttpError::UnexpectedServerResponse("x".into())), CallFailure::Lost(_)));
        assert!(matches!(call(ServiceError::TransportClosed), CallFailure::Lost(_)));
    }

    #[test]
    fn a_servers_words_are_one_short_line() {
        assert_eq!(words("a\nb\u{1b}[1m"), "a b [1m");
        assert_eq!(words(&"ä".repeat(600)), format!("{}…", "ä".repeat(500)));
    }
}
