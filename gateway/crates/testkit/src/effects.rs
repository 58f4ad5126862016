//! An MCP server (Streamable HTTP, JSON answers) whose only job is to count: it notes a call the
//! moment it arrives, before it answers. The referee of the crash test believes this and its own
//! acknowledgements, nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Counts calls by their `key` argument. `effect` has effects, `look` is read-only.
#[derive(Clone)]
pub struct EffectServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    effects: Mutex<HashMap<String, u32>>,
    arrivals: watch::Sender<u64>,
}

impl EffectServer {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared { effects: Mutex::default(), arrivals: watch::channel(0).0 });
        let app = Router::new().route("/mcp", post(answer)).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// How often each key of `effect` arrived.
    pub fn effects(&self) -> HashMap<String, u32> {
        self.shared.effects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Grows with every call of any tool.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals.subscribe()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let Ok(request) = serde_json::from_str::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(id) = request.get("id").cloned() else {
        return StatusCode::ACCEPTED.into_response();
    };
    let outcome = match request["method"].as_str().unwrap_or_default() {
        "initialize" => Ok(json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "effects", "version": "1"},
        })),
        "tools/list" => Ok(json!({"tools": [tool("effect", false), tool("look", true)]})),
        "tools/call" => Ok(call(&shared, &request["params"])),
        "ping" => Ok(json!({})),
        other => Err(json!({"code": -32601, "message": format!("no method {other}")})),
    };
    let reply = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    };
    axum::Json(reply).into_response()
}

fn call(shared: &Shared, params: &Value) -> Value {
    let key = params["arguments"]["key"].as_str().unwrap_or_default().to_owned();
    if params["name"] == "effect" {
        *shared.effects.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default() += 1;
    }
    shared.arrivals.send_modify(|count| *count += 1);
    json!({"content": [{"type": "text", "text": format!("did {key}")}]})
}

fn tool(name: &str, read_only: bool) -> Value {
    let schema = json!({"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]});
    let annotations = if read_only { json!({"readOnlyHint": true}) } else { json!({}) };
    json!({"name": name, "description": "counts", "inputSchema": schema, "annotations": annotations})
}
