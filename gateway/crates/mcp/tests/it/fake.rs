//! An HTTP server that speaks enough MCP, records what it sees, and answers otherwise where a test
//! says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::CEILING;

/// One request as the server saw it.
#[derive(Clone)]
pub(crate) struct Seen {
    /// The JSON-RPC method, or the HTTP method of a request without a body.
    pub(crate) what: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn tool(&self) -> &str {
        self.body["params"]["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn result(&self, result: &Value) -> Response {
        axum::Json(json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result})).into_response()
    }
}

/// Answers what a well-behaved server would answer otherwise.
pub(crate) type Twist = Arc<dyn Fn(&Seen) -> Option<BoxFuture<'static, Response>> + Send + Sync>;

pub(crate) struct Fake {
    pub(crate) url: String,
    /// Sessions that the server has forgotten.
    pub(crate) forgotten: Arc<Mutex<HashSet<String>>>,
    /// Calls that ran.
    pub(crate) executed: Arc<AtomicUsize>,
    seen: Mutex<mpsc::UnboundedReceiver<Seen>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Server {
    twist: Twist,
    forgotten: Arc<Mutex<HashSet<String>>>,
    executed: Arc<AtomicUsize>,
    sessions: Arc<AtomicUsize>,
    seen: mpsc::UnboundedSender<Seen>,
}

async fn answer(State(server): State<Server>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = body["method"].as_str().unwrap_or(method.as_str()).to_owned();
    let seen = Seen { what, headers, body };
    let _ = server.seen.send(seen.clone());
    if server.forgotten.lock().await.contains(seen.header("mcp-session-id")) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Some(twisted) = (server.twist)(&seen) {
        return twisted.await;
    }
    match seen.what.as_str() {
        "GET" => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        "initialize" => {
            let number = server.sessions.fetch_add(1, Ordering::SeqCst) + 1;
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "f", "version": "1"}});
            ([("mcp-session-id", format!("session-{number}"))], seen.result(&result)).into_response()
        }
        "tools/list" => seen.result(&json!({"tools": [
            {"name": "count", "inputSchema": {"type": "object"}},
            {"name": "whoami", "inputSchema": {"type": "object"}}
        ]})),
        "tools/call" => {
            let number = server.executed.fetch_add(1, Ordering::SeqCst) + 1;
            let text =
                if seen.tool() == "whoami" { seen.header("mcp-session-id").to_owned() } else { number.to_string() };
            seen.result(&json!({"content": [{"type": "text", "text": text}]}))
        }
        "server/discover" => {
            let error = json!({"code": -32_601, "message": "Method not found"});
            axum::Json(json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error})).into_response()
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

impl Fake {
    pub(crate) async fn start(
        twist: impl Fn(&Seen) -> Option<BoxFuture<'static, Response>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, Arc::new(twist))
    }

    pub(crate) fn on(listener: TcpListener, twist: Twist) -> Self {
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let (sender, seen) = mpsc::unbounded_channel();
        let (forgotten, executed) = (Arc::<Mutex<HashSet<_>>>::default(), Arc::<AtomicUsize>::default());
        let server = Server {
            twist,
            forgotten: Arc::clone(&forgotten),
            executed: Arc::clone(&executed),
            sessions: Arc::default(),
            seen: sender,
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        tasks.spawn(async move {
            let service = axum::serve(listener, Router::new().fallback(answer).with_state(server));
            tokio::select! {
                _ = service => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { url, forgotten, executed, seen: Mutex::new(seen), stop, tasks }
    }

    pub(crate) fn server(&self) -> Value {
        json!({"url": self.url})
    }

    pub(crate) async fn next(&self, what: &str) -> Seen {
        let mut seen = self.seen.lock().await;
        let wait = async {
            loop {
                let next = seen.recv().await.expect("the server runs");
                if next.what == what {
                    return next;
                }
            }
        };
        tokio::time::timeout(CEILING, wait).await.unwrap_or_else(|_| panic!("the server never saw {what}"))
    }

    /// Closes the port.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

pub(crate) fn plain(_: &Seen) -> Option<BoxFuture<'static, Response>> {
    None
}

/// A server whose calls end in this response.
pub(crate) async fn with_calls(respond: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen| (seen.what == "tools/call").then(|| ready(respond(seen)))).await
}

pub(crate) fn ready(response: Response) -> BoxFuture<'static, Response> {
    Box::pin(std::future::ready(response))
}

pub(crate) fn events(body: Body) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}
