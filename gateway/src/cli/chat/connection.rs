//! One WebSocket to the server: opened with the key in a header, frames in and out.

use std::io::ErrorKind;

use adjutant_core::limits;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

/// Where the server is, and who asks.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) url: Url,
    pub(super) key: SecretString,
    pub(super) profile: Option<String>,
}

impl Server {
    /// An address of this server.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

/// Why there is no connection, as one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) sentence: String,
    /// Trying again can help.
    pub(super) passing: bool,
}

impl Lost {
    fn passing(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), passing: true }
    }

    fn lasting(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), passing: false }
    }
}

pub(super) struct Connection(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Connection {
    pub(super) async fn open(server: &Server) -> Result<Self, Lost> {
        let address = server.at("/ws").replacen("http", "ws", 1);
        let mut request = address.into_client_request().map_err(|error| Lost::lasting(error.to_string()))?;
        let bad_key = |_| Lost::lasting("the key holds characters that no key has");
        let mut key = HeaderValue::from_str(server.key.expose_secret()).map_err(bad_key)?;
        key.set_sensitive(true);
        request.headers_mut().insert("x-api-key", key);
        if let Some(profile) = &server.profile {
            let profile = HeaderValue::from_str(profile).map_err(|_| Lost::lasting("this is no name of a profile"))?;
            request.headers_mut().insert("x-profile", profile);
        }
        // Answers and tool results are bounded by the server, far above what a frame from a client may hold.
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::WS_BUFFER_BYTES * 4)
            .max_message_size(Some(limits::ANSWER_BYTES * 8))
            .max_frame_size(Some(limits::ANSWER_BYTES * 8));
        let opening = connect_async_with_config(request, Some(config), true);
        match tokio::time::timeout(limits::HEADER_READ, opening).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(error)) => Err(refused(server, error)),
            Err(_) => Err(Lost::passing(format!("{} does not answer", server.url))),
        }
    }

    pub(super) async fn send(&mut self, frame: &Value) -> Result<(), Lost> {
        self.0.send(Message::Text(frame.to_string().into())).await.map_err(|_| lost())
    }

    /// The next frame from the server.
    pub(super) async fn receive(&mut self) -> Result<Utf8Bytes, Lost> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Text(text))) => Ok(text),
                Some(Ok(Message::Close(frame))) => Err(match frame {
                    Some(frame) if u16::from(frame.code) == 4001 => Lost::lasting("the key was revoked"),
                    Some(frame) => Lost::passing(format!("the server closed the connection: {}", frame.reason)),
                    None => lost(),
                }),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Err(lost()),
            };
        }
    }

    pub(super) async fn close(&mut self) {
        let _ = tokio::time::timeout(limits::WS_CLOSE, self.0.close(None)).await;
    }
}

fn lost() -> Lost {
    Lost::passing("the connection was lost")
}

fn refused(server: &Server, error: Error) -> Lost {
    let url = &server.url;
    match error {
        Error::Http(response) if response.status() == StatusCode::UNAUTHORIZED => {
            Lost::lasting(format!("{url} does not know this key; set ADJUTANT_API_KEY or use --key-file"))
        }
        Error::Http(response) => {
            let problem = response.body().as_deref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
            let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or("no reason given");
            let sentence = format!("{url} refuses the connection ({}): {detail}", response.status().as_u16());
            Lost { sentence, passing: response.status().is_server_error() }
        }
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            Lost::lasting(format!("no secure connection to {url} can be made: {error}"))
        }
        Error::Io(error) => {
            Lost::passing(format!("{url} cannot be reached ({error}); does `adjutant serve` run there?"))
        }
        Error::Tls(error) => Lost::lasting(format!("no secure connection to {url} can be made: {error}")),
        _ => Lost::lasting(format!("{url} does not speak the protocol of Adjutant")),
    }
}
