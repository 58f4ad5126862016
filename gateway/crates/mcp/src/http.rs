//! Streamable HTTP: the one client that all HTTP servers are reached through, and the transport of
//! one session. Redirects are never followed, so that configured headers reach their origin alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpClientTransport, StreamableHttpClientTransportConfig,
    StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

use crate::config::Http;
use crate::options::Limits;

/// Requests of one session that may wait for an answer at once.
const CONCURRENT: usize = 32;

/// The HTTP client of all bridges. It holds no cookies and no credentials: what tells two users
/// apart travels with each request.
#[derive(Clone)]
pub(crate) struct Door(reqwest::Client);

impl Door {
    pub(crate) fn open(limits: &Limits) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(limits.connect)
            .tcp_keepalive(Duration::from_secs(30))
            // A kept connection whose last answer was not read to its end stalls the next request
            // for 40 ms; and without one, no two users ever share a connection.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self(client))
    }
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

/// The library's own HTTP backend, with the address taken out of its errors: an address may hold a
/// token, and the library logs them.
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
        let limit = adjutant_core::limits::MCP_MESSAGE_BYTES;
        self.post_message_with_max_sse_event_size(uri, message, session, auth, headers, limit).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let posted = self.0.post_message_with_max_sse_event_size(uri, message, session, auth, headers, limit);
        match posted.await.map_err(without_address)? {
            StreamableHttpPostResponse::Sse(events, session) => {
                Ok(StreamableHttpPostResponse::Sse(quiet(events), session))
            }
            other => Ok(other),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Failed> {
        self.0.delete_session(uri, session, auth, headers).await.map_err(without_address)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<Events, Failed> {
        let limit = adjutant_core::limits::MCP_MESSAGE_BYTES;
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
        let stream = self.0.get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, limit);
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
