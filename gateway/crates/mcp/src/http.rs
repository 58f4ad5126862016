//! Streamable HTTP: the one client that all HTTP servers are reached through, and the transport of
//! one session. Redirects are never followed, so that configured headers reach their origin alone.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    HttpStatusError, SseError, StreamableHttpClient, StreamableHttpClientTransport,
    StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};

use crate::config::Http;
use crate::egress::{Guard, Lookup, Network};
use crate::options::Limits;

/// Requests of one session that may wait for an answer at once.
const CONCURRENT: usize = 32;

/// The HTTP client of all bridges in one network. It holds no cookies and no credentials: what tells two users
/// apart travels with each request.
#[derive(Clone)]
pub(crate) struct Door {
    client: reqwest::Client,
    message_bytes: usize,
}

impl Door {
    pub(crate) fn open(limits: &Limits, network: Network, lookup: Lookup) -> Result<Self, reqwest::Error> {
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(limits.connect)
            .tcp_keepalive(Duration::from_secs(30))
            // A kept connection whose last answer was not read to its end stalls the next request
            // for 40 ms; and without one, no two users ever share a connection.
            .pool_max_idle_per_host(0);
        if network != Network::Anywhere {
            client = client.dns_resolver(Arc::new(Guard { network, lookup }));
        }
        Ok(Self { client: client.build()?, message_bytes: limits.message_bytes })
    }

    /// Sends one message. The library's own way would take 16 MiB of plain JSON and repeat a server's words in errors.
    async fn post(
        &self,
        uri: &str,
        message: &ClientJsonRpcMessage,
        session: Option<&str>,
        headers: Headers,
        event_bytes: usize,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let mut request = self.client.post(uri).header(ACCEPT, "text/event-stream, application/json");
        request = request.headers(headers.into_iter().collect());
        if let Some(session) = session {
            request = request.header(SESSION, session);
        }
        let response = request.json(message).send().await?;
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (is_json, is_stream) = (kind.starts_with("application/json"), kind.starts_with("text/event-stream"));
        let its_session = response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        if !status.is_success() {
            // A refusal that the protocol knows: the server's own error, in JSON.
            let readable = is_json && !matches!(status.as_u16(), 401 | 403 | 429) && !status.is_redirection();
            let body = if readable { read(response, ERROR_BYTES).await.unwrap_or_default() } else { Vec::new() };
            let error = match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
                Ok(ServerJsonRpcMessage::Error(error)) => Some(error),
                _ => None,
            };
            if let Some(id) = asks_to_discover(message)
                && session.is_none()
                && status.is_client_error()
                && !matches!(status.as_u16(), 401 | 403 | 429)
            {
                // The error may bear no id, or a foreign one: the greeting waits for its own.
                let refused = || ErrorData::invalid_request(format!("HTTP {}", status.as_u16()), None);
                let error = error.map_or_else(refused, |error| error.error);
                let message = ServerJsonRpcMessage::error(error, Some(id.clone()));
                return Ok(StreamableHttpPostResponse::Json(message, None));
            }
            return match error {
                Some(error) => Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), its_session)),
                None => Err(HttpStatusError::new(status.as_u16(), None).into()),
            };
        }
        if is_stream {
            return Ok(StreamableHttpPostResponse::Sse(stream(response, event_bytes), its_session));
        }
        let awaits = matches!(message, ClientJsonRpcMessage::Request(_));
        if !awaits && (response.content_length() == Some(0) || !is_json) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if !is_json {
            return Err(StreamableHttpError::UnexpectedContentType(None));
        }
        match serde_json::from_slice(&read(response, self.message_bytes).await?) {
            Ok(message) => Ok(StreamableHttpPostResponse::Json(message, its_session)),
            Err(_) if !awaits => Ok(StreamableHttpPostResponse::Accepted),
            Err(_) => Err(StreamableHttpError::UnexpectedServerResponse("no JSON-RPC".into())),
        }
    }
}

/// An error that a server explains.
const ERROR_BYTES: usize = 64 * 1024;
const SESSION: &str = "mcp-session-id";

fn asks_to_discover(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    match message {
        ClientJsonRpcMessage::Request(request) if matches!(request.request, ClientRequest::DiscoverRequest(_)) => {
            Some(&request.id)
        }
        _ => None,
    }
}

/// Reads a body, counting before keeping.
async fn read(response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Failed> {
    let too_large = StreamableHttpError::ResponseBodyTooLarge { max_size: limit };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large);
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if chunk.len() > limit - body.len() {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The events of an answer, each of at most `limit` bytes.
fn stream(response: reqwest::Response, limit: usize) -> Events {
    // Bytes since the last empty line, and in the line that is being read.
    let (mut event, mut line) = (0_usize, 0_usize);
    let chunks = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| io::Error::other(error.without_url()))?;
        for byte in &chunk {
            event += 1;
            match byte {
                b'\n' if line == 0 => event = 0,
                b'\n' => line = 0,
                b'\r' => {}
                _ => line += 1,
            }
            if event > limit {
                return Err(io::Error::other("an event is too large"));
            }
        }
        Ok(chunk)
    });
    // Nothing more is read after an error.
    let chunks = chunks.scan(false, |failed, chunk| {
        let over = std::mem::replace(failed, chunk.is_err());
        std::future::ready((!over).then_some(chunk))
    });
    SseStream::from_bytes_stream(chunks).boxed()
}

/// A transport that makes no connection until the handshake is sent.
pub(crate) fn transport(door: &Door, config: &Http, limits: &Limits) -> StreamableHttpClientTransport<Door> {
    let mut backoff = ExponentialBackoff::default();
    backoff.max_delay = Some(limits.backoff);
    let mut settings = StreamableHttpClientTransportConfig::with_uri(config.url.as_str())
        .custom_headers(config.headers.clone())
        .max_concurrent_requests(CONCURRENT)
        .max_sse_event_size(limits.message_bytes)
        // The library would begin a new session and send the refused request again by itself. That
        // is safe (404 means not run) but keeps the old list of tools: the bridge does it instead.
        .reinit_on_expired_session(false);
    settings.retry_config = Arc::new(backoff);
    StreamableHttpClientTransport::with_client(door.clone(), settings)
}

type Failed = StreamableHttpError<reqwest::Error>;
type Events = BoxStream<'static, Result<Sse, SseError>>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// Without an address in any error: it may hold a token, and the library logs them.
impl StreamableHttpClient for Door {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        self.post_message_with_max_sse_event_size(uri, message, session, auth, headers, self.message_bytes).await
    }

    /// `auth` is never set: a configured header says who calls.
    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        self.post(&uri, &message, session.as_deref(), headers, limit).await.map_err(without_address)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        self.client.delete_session(uri, session, auth, headers).await.map_err(without_address)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Events, Failed> {
        let limit = self.message_bytes;
        self.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, limit).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<Events, Failed> {
        let stream = self.client.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, limit);
        stream.await.map(quiet).map_err(without_address)
    }
}

fn without_address(error: Failed) -> Failed {
    match error {
        StreamableHttpError::Client(error) => StreamableHttpError::Client(error.without_url()),
        other => other,
    }
}

fn quiet(events: Events) -> Events {
    let quieted = events.map(|event| match event {
        Err(SseError::Body(error)) => Err(SseError::Body(match error.downcast::<reqwest::Error>() {
            Ok(error) => Box::new(error.without_url()),
            Err(error) => error,
        })),
        other => other,
    });
    quieted.boxed()
}
