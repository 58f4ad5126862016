//! Several MCP servers over HTTP, as a person has them. They give letters that others left there, and count what reaches
//! them the moment it arrives: the referee of the injection proof believes this alone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// What a tool of the world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Gives the letter of the `id` in its arguments.
    Reads,
    /// Does something; that it was reached is all that matters.
    Acts,
    /// Shows the letter of the `id` to the person, as a form, and then gives it.
    Asks,
}

/// In what a letter comes when a tool gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// As an error of the tool.
    Failure,
    /// As data, without a text.
    Structured,
}

/// A tool as its server describes it.
#[derive(Debug, Clone)]
pub struct WorldTool {
    pub name: String,
    pub description: String,
    /// MCP tool annotations.
    pub hints: Value,
    pub does: Does,
}

/// The running servers; they end with the test's runtime.
#[derive(Clone)]
pub struct World {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    servers: Mutex<BTreeMap<String, Vec<WorldTool>>>,
    letters: Mutex<HashMap<String, (Form, String)>>,
    effects: Mutex<Vec<(String, Value)>>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let app = Router::new().route("/{server}/mcp", post(answer)).with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub fn url(&self, server: &str) -> String {
        format!("http://{}/{server}/mcp", self.address)
    }

    /// A server with these tools from now on. A client learns of a change when it asks again.
    pub fn offer(&self, server: &str, tools: Vec<WorldTool>) {
        open(&self.shared.servers).insert(server.to_owned(), tools);
    }

    /// What somebody wrote and left where tools, resources and prompts find it.
    pub fn leave(&self, id: &str, form: Form, letter: &str) {
        open(&self.shared.letters).insert(id.to_owned(), (form, letter.to_owned()));
    }

    /// Everything that reached a tool which acts, or which reads from afar: its name and arguments.
    pub fn effects(&self) -> Vec<(String, Value)> {
        open(&self.shared.effects).clone()
    }
}

impl Shared {
    fn letter(&self, id: &str) -> (Form, String) {
        open(&self.letters).get(id).cloned().unwrap_or_else(|| (Form::Text, "nothing".to_owned()))
    }

    fn tool(&self, server: &str, name: &Value) -> Option<WorldTool> {
        open(&self.servers).get(server)?.iter().find(|tool| tool.name == *name).cloned()
    }

    fn count(&self, server: &str, name: &str, arguments: &Value) {
        open(&self.effects).push((format!("{server}__{name}"), arguments.clone()));
    }

    fn call(&self, server: &str, params: &Value) -> Result<Value, Value> {
        let tool =
            self.tool(server, &params["name"]).ok_or_else(|| json!({"code": -32602, "message": "no such tool"}))?;
        let arguments = &params["arguments"];
        let stays_home = tool.hints["openWorldHint"] == false;
        if tool.does == Does::Acts || !stays_home {
            self.count(server, &tool.name, arguments);
        }
        let (form, letter) = self.letter(arguments["id"].as_str().unwrap_or_default());
        if tool.does == Does::Asks && params["inputResponses"].is_null() {
            let note = json!({"type": "string", "title": letter, "description": letter, "default": letter});
            let form = json!({"mode": "form", "message": letter,
                "requestedSchema": {"type": "object", "properties": {"note": note}}});
            let question = json!({"method": "elicitation/create", "params": form});
            return Ok(json!({"resultType": "input_required", "inputRequests": {"letter": question}}));
        }
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        let mut result = match (tool.does, form) {
            (Does::Acts, _) => json!({"content": text("done")}),
            (_, Form::Text) => json!({"content": text(&letter)}),
            (_, Form::Failure) => json!({"content": text(&letter), "isError": true}),
            (_, Form::Structured) => json!({"content": [], "structuredContent": {"letter": letter}}),
        };
        result["resultType"] = json!("complete");
        Ok(result)
    }

    fn read(&self, server: &str, params: &Value) -> Value {
        let uri = params["uri"].as_str().unwrap_or_default();
        let letter = uri.strip_prefix("letter:").map(|id| self.letter(id).1);
        if letter.is_none() {
            self.count(server, "read_resource", params);
        }
        json!({"contents": [{"uri": uri, "mimeType": "text/plain", "text": letter.unwrap_or_default()}]})
    }

    fn list(&self, server: &str) -> Value {
        let tools = open(&self.servers).get(server).cloned().unwrap_or_default();
        let described = |tool: &WorldTool| {
            json!({"name": tool.name, "description": tool.description, "inputSchema": {"type": "object"},
                "annotations": tool.hints})
        };
        json!({"tools": tools.iter().map(described).collect::<Vec<_>>()})
    }
}

/// Of either generation of the protocol, as its client is configured.
async fn answer(State(shared): State<Arc<Shared>>, Path(server): Path<String>, body: String) -> Response {
    let Ok(request) = serde_json::from_str::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(id) = request.get("id").cloned() else {
        return StatusCode::ACCEPTED.into_response();
    };
    let params = &request["params"];
    let capabilities = json!({"tools": {}, "resources": {}, "prompts": {}});
    let outcome = match request["method"].as_str().unwrap_or_default() {
        "initialize" => Ok(json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
            "serverInfo": {"name": server, "version": "1"}})),
        "server/discover" => Ok(json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private"})),
        "tools/list" => Ok(shared.list(&server)),
        "tools/call" => shared.call(&server, params),
        "resources/list" => Ok(json!({"resources": [{"uri": "letter:none", "name": "letters"}]})),
        "resources/read" => Ok(shared.read(&server, params)),
        "prompts/list" => Ok(json!({"prompts": [{"name": "letter", "arguments": [{"name": "id", "required": true}]}]})),
        "prompts/get" => {
            let letter = shared.letter(params["arguments"]["id"].as_str().unwrap_or_default()).1;
            Ok(json!({"messages": [{"role": "user", "content": {"type": "text", "text": letter}}]}))
        }
        "ping" => Ok(json!({})),
        other => Err(json!({"code": -32601, "message": format!("no method {other}")})),
    };
    let reply = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    };
    axum::Json(reply).into_response()
}
