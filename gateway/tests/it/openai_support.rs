//! A whole server for the tests of the OpenAI door, and a plain client of it that sees every event.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use adjutant_core::ids::RunId;
use adjutant_core::scope::{Owner, Role, UserId};
use adjutant_engine::events::event::{EventBody, Live};
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_store::runs;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::server::{KEY, TestServer, profile, soon};

pub(crate) struct Door {
    pub(crate) server: TestServer,
    pub(crate) provider: Provider,
    pub(crate) tools: EffectServer,
    folder: Folder,
}

/// A directory of this test's own.
struct Folder(PathBuf);

impl Folder {
    fn config(&self) -> String {
        self.0.join("mcp.json").to_str().unwrap().to_owned()
    }
}

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Door {
    pub(crate) async fn new(script: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> Self {
        let tools = EffectServer::start().await;
        let provider = Provider::start(script).await;
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("adjutant-openai-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        let mcp = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
        std::fs::write(folder.config(), mcp.to_string()).unwrap();
        let server = TestServer::start_with(&settings(&provider.base_url(), &folder.config())).await;
        Self { server, provider, tools, folder }
    }

    /// Stops the server and starts another one on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { server, provider, tools, folder } = self;
        let db = server.stop().await;
        let server = TestServer::start_on(db, &settings(&provider.base_url(), &folder.config())).await;
        Self { server, provider, tools, folder }
    }

    /// Asks as the owner.
    pub(crate) async fn ask(&self, body: &Value) -> Said {
        self.ask_with(body, &[]).await
    }

    pub(crate) async fn ask_with(&self, body: &Value, headers: &[(&str, &str)]) -> Said {
        Said::read(self.send(body, headers, KEY).await).await
    }

    /// Asks as the owner of that key.
    pub(crate) async fn ask_as(&self, key: &str, body: &Value, headers: &[(&str, &str)]) -> Said {
        Said::read(self.send(body, headers, key).await).await
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(&self, body: &Value, headers: &[(&str, &str)], key: &str) -> reqwest::Response {
        let mut request = self.server.request("POST", "/v1/chat/completions").bearer_auth(key).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// A key of somebody else.
    pub(crate) async fn stranger(&self) -> String {
        self.server.key("ben", "personal", Role::Personal).await.secret
    }

    pub(crate) fn owner(&self) -> Owner {
        let owner = self.server.app.config().owner.user.clone();
        Owner { user: UserId::parse(owner.as_str()).unwrap(), profile: profile("personal") }
    }

    pub(crate) fn listen(&self, run: RunId) -> Subscription {
        self.server.app.engine().hub().subscribe(&self.owner(), Interest::Run(run))
    }

    /// The state of a run, as the store has it.
    pub(crate) async fn state(&self, run: RunId) -> &'static str {
        let loaded = self.server.app.store().scoped(&self.owner(), async |tx| runs::load(tx, run).await).await;
        loaded.unwrap().status.as_str()
    }

    pub(crate) async fn until_idle(&self) {
        soon("no run is worked on", async || self.server.app.engine().active_runs() == 0).await;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings<'a>(model: &'a str, mcp: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", model),
        ("OPENAI_API_KEY", "sk-none"),
        ("ADJUTANT_MCP_CONFIG", mcp),
    ]
}

/// Until the run has ended; how it did.
pub(crate) async fn until_ended(subscription: &mut Subscription, run: RunId) -> EventBody {
    let ended = async {
        loop {
            let Some(Live::Durable { events, .. }) = subscription.next().await else { continue };
            if let Some(event) = events.iter().find(|event| event.run_id == Some(run) && event.body.ends_run()) {
                return event.body.clone();
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.expect("the run ends")
}

/// One answer of the door, whole or streamed, in one form.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body of a whole answer, or the last event of a stream that failed.
    pub(crate) body: Value,
    /// The chunks of a stream.
    pub(crate) chunks: Vec<Value>,
    /// A stream came to its `[DONE]`.
    pub(crate) done: bool,
}

impl Said {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let streamed = headers["content-type"].to_str().unwrap().starts_with("text/event-stream");
        let text = response.text().await.unwrap();
        let mut said = Self { status, headers, body: Value::Null, chunks: Vec::new(), done: false };
        if !streamed {
            said.body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            return said;
        }
        for event in text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')) {
            assert!(!said.done, "something follows [DONE]: {event}");
            let data = event.strip_prefix("data: ").unwrap();
            match data {
                "[DONE]" => said.done = true,
                _ => {
                    let value: Value = serde_json::from_str(data).unwrap();
                    if value.get("error").is_some() {
                        said.body = value;
                    } else {
                        said.chunks.push(value);
                    }
                }
            }
        }
        said
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn thread(&self) -> &str {
        self.header("x-thread-id")
    }

    pub(crate) fn run(&self) -> RunId {
        self.header("x-run-id").parse().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        let whole = self.body["choices"][0]["message"]["content"].as_str().map(str::to_owned);
        let pieces = self.chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
        whole.unwrap_or_else(|| pieces.collect())
    }

    pub(crate) fn finish(&self) -> String {
        let whole = self.body["choices"][0]["finish_reason"].as_str();
        let streamed = self.chunks.iter().find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
        whole.or(streamed).unwrap_or_default().to_owned()
    }

    /// The caller's calls, as they belong into the next request.
    pub(crate) fn calls(&self) -> Vec<Value> {
        if let Some(calls) = self.body["choices"][0]["message"]["tool_calls"].as_array() {
            return calls.clone();
        }
        let deltas = self.chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array());
        deltas
            .flatten()
            .map(|call| {
                let mut call = call.clone();
                call.as_object_mut().unwrap().remove("index").unwrap();
                call
            })
            .collect()
    }

    pub(crate) fn usage(&self) -> &Value {
        let streamed = self.chunks.last().map_or(&Value::Null, |chunk| &chunk["usage"]);
        if self.body["usage"].is_null() { streamed } else { &self.body["usage"] }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Asserts that this is a complete error in OpenAI's shape.
    pub(crate) fn is_error(&self, status: u16, code: &str, about: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{about}: {self:?}");
        let error = self.body["error"].as_object().unwrap();
        let mut fields: Vec<&str> = error.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["code", "message", "param", "type"], "{about}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{about}");
        assert_eq!(self.header("content-type"), "application/json", "{about}");
    }
}

pub(crate) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

pub(crate) fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// A request with these messages.
pub(crate) fn chat(messages: &[Value]) -> Value {
    json!({"model": "cos", "messages": messages})
}

pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The same request, to be streamed with its cost.
pub(crate) fn streamed(body: &Value) -> Value {
    with(body.clone(), &json!({"stream": true, "stream_options": {"include_usage": true}}))
}

/// A tool of the caller.
pub(crate) fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

/// What the caller's tools answered, in the form of messages.
pub(crate) fn results(calls: &[Value], text: &str) -> Vec<Value> {
    calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": text})).collect()
}
