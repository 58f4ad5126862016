//! One WebSocket connection: frames in and out, bounded in size, and its end with a stated code. Knows nothing of what
//! frames mean; that a write makes progress is seen to by the listener's stream, which fails one that does not.

use std::pin::Pin;
use std::{io, mem};

use adjutant_core::limits;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Why a connection ends. The table of close codes in `docs/protocol.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Close {
    pub(super) const AGREED: Self = Self { code: 1000, reason: "" };
    pub(super) const STOPPING: Self = Self { code: 1001, reason: "the server stops" };
    const PROTOCOL: Self = Self { code: 1002, reason: "this is no valid WebSocket frame" };
    const NOT_UTF8: Self = Self { code: 1007, reason: "a text frame is not UTF-8" };
    const TOO_LARGE: Self = Self { code: 1009, reason: "a frame is larger than 512 KiB" };
    pub(super) const UNAVAILABLE: Self = Self { code: 1013, reason: "the database cannot be reached; try again soon" };
    pub(super) const REVOKED: Self = Self { code: 4001, reason: "the key was revoked" };
    pub(super) const DELETED: Self = Self { code: 4002, reason: "the profile was deleted" };
    pub(super) const SLOW: Self = Self { code: 4008, reason: "slow reader" };
    pub(super) const BAD_FRAMES: Self = Self { code: 4009, reason: "too many bad frames" };
    pub(super) const SILENT: Self = Self { code: 4010, reason: "pings were not answered" };
    /// The connection is gone; nobody hears a code.
    const GONE: Self = Self { code: 1006, reason: "" };
}

/// What came from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary,
    /// A ping or a pong; pings are answered already.
    Alive,
}

type Ending = Pin<Box<dyn Future<Output = Close> + Send>>;

pub(super) struct Link<S> {
    socket: WebSocketStream<S>,
    /// Resolves when the connection must end.
    ending: Ending,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link<S> {
    /// Takes over a connection after its handshake.
    pub(super) async fn new(stream: S, ending: Ending) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::WS_BUFFER_BYTES)
            .write_buffer_size(limits::WS_BUFFER_BYTES)
            .max_message_size(Some(limits::WS_FRAME_BYTES))
            .max_frame_size(Some(limits::WS_FRAME_BYTES));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, ending }
    }

    /// The next frame, or why there will be none.
    pub(super) async fn receive(&mut self) -> Result<Incoming, Close> {
        let message = tokio::select! {
            message = self.socket.next() => message,
            close = &mut self.ending => return Err(close),
        };
        match message {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text)),
            Some(Ok(Message::Binary(_))) => Ok(Incoming::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(Incoming::Alive),
            Some(Ok(Message::Close(_))) => Err(Close::AGREED),
            Some(Err(Error::Capacity(_))) => Err(Close::TOO_LARGE),
            Some(Err(Error::Utf8(_))) => Err(Close::NOT_UTF8),
            Some(Err(Error::Protocol(_))) => Err(Close::PROTOCOL),
            Some(Err(_)) | None => Err(Close::GONE),
        }
    }

    /// Only listens for the end.
    pub(super) async fn ended(&mut self) -> Close {
        (&mut self.ending).await
    }

    /// Writes frames and empties them, with one flush for all.
    pub(super) async fn send(&mut self, frames: &mut Vec<String>) -> Result<(), Close> {
        let frames = mem::take(frames);
        let messages = frames.into_iter().map(|text| Message::Text(text.into()));
        self.write(messages).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), Close> {
        self.write([Message::Ping(Vec::new().into())].into_iter()).await
    }

    async fn write(&mut self, messages: impl Iterator<Item = Message>) -> Result<(), Close> {
        let Self { socket, ending } = self;
        let work = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::select! {
            biased;
            done = work => done.map_err(|error| match error {
                Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Close::SLOW,
                _ => Close::GONE,
            }),
            close = ending => Err(close),
        }
    }

    /// Says why, then waits a moment for the client's end: closing over what it still sends would reset the connection
    /// before it has read the reason.
    pub(super) async fn close(self, close: Close) {
        if close == Close::GONE {
            return;
        }
        let mut socket = self.socket;
        let farewell = async {
            if close == Close::AGREED {
                let _ = socket.flush().await;
            } else {
                let frame = CloseFrame { code: close.code.into(), reason: Utf8Bytes::from_static(close.reason) };
                let _ = socket.send(Message::Close(Some(frame))).await;
            }
            let stream = socket.get_mut();
            let _ = stream.shutdown().await;
            let mut bin = [0; 4096];
            while stream.read(&mut bin).await.is_ok_and(|count| count > 0) {}
        };
        let _ = tokio::time::timeout(limits::WS_CLOSE, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_revoked_key_ends_a_write_that_is_stuck() {
        let (server, _client) = duplex(64);
        let ending = Box::pin(async {
            tokio::time::sleep(limits::WRITE_STALL / 4).await;
            Close::REVOKED
        });
        let mut link = Link::new(server, ending).await;
        assert_eq!(link.send(&mut vec!["x".repeat(1_000)]).await, Err(Close::REVOKED));
    }
}
