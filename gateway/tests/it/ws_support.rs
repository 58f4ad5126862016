//! A whole server in this process for the tests of the WebSocket, and a real client of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adjutant_core::scope::Role;
use adjutant_testkit::db::TestDb;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::server::{KEY, TestServer};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Database, model, tools and the server in front of them.
pub(crate) struct House {
    pub(crate) server: TestServer,
    pub(crate) tools: EffectServer,
    pub(crate) provider: Provider,
    folder: Folder,
}

impl House {
    pub(crate) async fn new(script: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(script, &[]).await
    }

    /// With further MCP servers, by name and address.
    pub(crate) async fn with(
        script: impl Fn(&Turn) -> Reply + Send + Sync + 'static,
        servers: &[(&str, &str)],
    ) -> Self {
        let tools = EffectServer::start().await;
        let provider = Provider::start(script).await;
        let folder = Folder::new();
        let mut mcp =
            json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
        for (name, url) in servers {
            mcp["mcpServers"][name] = json!({"type": "http", "url": url});
        }
        std::fs::write(folder.mcp(), mcp.to_string()).unwrap();
        let server = serve(TestDb::new().await, &provider, &folder).await;
        Self { server, tools, provider, folder }
    }

    /// Stops the server and starts another one on the same data.
    pub(crate) async fn restart(self) -> Self {
        let server = serve(self.server.stop().await, &self.provider, &self.folder).await;
        Self { server, ..self }
    }

    pub(crate) async fn owner(&self) -> Client {
        Client::open(self.server.address, KEY).await
    }

    /// A socket of somebody else, or of another profile.
    pub(crate) async fn somebody(&self, user: &str, profile: &str) -> Client {
        let key = self.server.key(user, profile, Role::Personal).await;
        Client::open(self.server.address, &key.secret).await
    }
}

/// The server on this database, with this model and the MCP servers that the folder names.
pub(crate) async fn serve(db: TestDb, provider: &Provider, folder: &Folder) -> TestServer {
    let (model, mcp) = (provider.base_url(), folder.mcp());
    let settings = [
        ("ADJUTANT_MCP_CONFIG", mcp.as_str()),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", &model),
        // No test asks anybody outside.
        ("ANTHROPIC_BASE_URL", &model),
    ];
    Box::pin(TestServer::start_on(db, &settings)).await
}

/// A directory of this test's own.
pub(crate) struct Folder(PathBuf);

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("adjutant-ws-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn mcp(&self) -> String {
        self.0.join("mcp.json").to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One open socket. Dropping it cuts the connection without a farewell.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, key: &str) -> Self {
        Self::try_open(address, "/ws", &[("x-api-key", key)]).await.unwrap()
    }

    /// Over a connection that takes little before it is read.
    pub(crate) async fn open_narrow(address: SocketAddr, key: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        Self::over(socket.connect(address).await.unwrap(), address, "/ws", &[("x-api-key", key)]).await.unwrap()
    }

    pub(crate) async fn try_open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        Self::over(TcpStream::connect(address).await.unwrap(), address, path, headers).await
    }

    async fn over(stream: TcpStream, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Error> {
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::Text(frame.to_string().into())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    pub(crate) async fn say(&mut self, thread: Option<&str>, id: &str, text: &str) {
        let mut frame = json!({"type": "run.submit", "clientMessageId": id, "content": text});
        if let Some(thread) = thread {
            frame["threadId"] = json!(thread);
        }
        self.send(frame).await;
    }

    pub(crate) async fn resume(&mut self, thread: &str, seq: i64) {
        self.send(json!({"type": "resume", "threads": {thread: seq}})).await;
    }

    pub(crate) async fn decide(&mut self, approval: &Value, decision: &str) {
        self.send(json!({"type": "approval.decide", "approvalId": approval, "decision": decision})).await;
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        match self.try_next().await {
            Ok(frame) => frame,
            Err(code) => panic!("the socket was closed with {code}"),
        }
    }

    /// Frames up to one that fits, which is the last.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let last = fits(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// Frames up to where each of these has been seen: replies and events come beside each other, in either order.
    pub(crate) async fn until_all(&mut self, wanted: &[&dyn Fn(&Value) -> bool]) -> Vec<Value> {
        let mut missing = wanted.to_vec();
        let mut frames = Vec::new();
        while !missing.is_empty() {
            let frame = self.next().await;
            missing.retain(|fits| !fits(&frame));
            frames.push(frame);
        }
        frames
    }

    /// The next error.
    pub(crate) async fn error(&mut self) -> Value {
        self.until(|frame| frame["type"] == "error").await.pop().unwrap()
    }

    /// The code with which the server closes; frames before it are dropped.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.try_next().await {
                return code;
            }
        }
    }

    /// The next frame, or the code with which the socket was closed.
    pub(crate) async fn try_next(&mut self) -> Result<Value, u16> {
        self.next_within(PATIENCE).await
    }

    /// The same, of a server that may take its time.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(patience, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Whatever arrived before the answer to a question asked now.
    pub(crate) async fn arrived(&mut self) -> Vec<Value> {
        self.send(json!({"type": "arrived?"})).await;
        let mut frames = self.until(|frame| frame["code"] == "unknown_frame").await;
        frames.pop();
        frames
    }
}

/// Whether the frame is an AG-UI event of this type.
pub(crate) fn is(frame: &Value, kind: &str) -> bool {
    frame["event"]["type"] == kind
}

/// Whether the frame acknowledges the message or request with this `clientMessageId`.
pub(crate) fn acks(id: &str) -> impl Fn(&Value) -> bool {
    move |frame| frame["type"] == "ack" && frame["clientMessageId"] == id
}

/// The same frames with the pieces of a text that follow one another as one: how many the server made of what the model
/// wrote is a matter of time. Each must begin where the one before it ends.
pub(crate) fn with_whole_texts<'a>(frames: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    let mut whole: Vec<Value> = Vec::new();
    for frame in frames {
        let before = whole.last_mut().filter(|before| {
            let is_piece = |frame: &Value| is(frame, "TEXT_MESSAGE_CONTENT");
            is_piece(before) && is_piece(frame) && before["event"]["messageId"] == frame["event"]["messageId"]
        });
        let Some(before) = before else {
            whole.push(frame.clone());
            continue;
        };
        let said = before["event"]["delta"].as_str().unwrap();
        let end = before["offset"].as_u64().unwrap() + said.encode_utf16().count() as u64;
        assert_eq!(frame["offset"], end, "{frame}");
        before["event"]["delta"] = json!(format!("{said}{}", frame["event"]["delta"].as_str().unwrap()));
    }
    whole
}

pub(crate) fn ends_run(frame: &Value) -> bool {
    is(frame, "RUN_FINISHED") || is(frame, "RUN_ERROR")
}

/// Whether it is our own event of this name.
pub(crate) fn is_custom(frame: &Value, name: &str) -> bool {
    is(frame, "CUSTOM") && frame["event"]["name"] == name
}

pub(crate) fn text_of(frames: &[Value]) -> String {
    let contents = frames.iter().filter(|frame| is(frame, "TEXT_MESSAGE_CONTENT"));
    contents.filter_map(|frame| frame["event"]["delta"].as_str()).collect()
}
