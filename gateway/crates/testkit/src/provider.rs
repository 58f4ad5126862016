//! A scripted provider that speaks OpenAI chat completions over HTTP: the script sees each request
//! and says what to stream. It records all it receives and notes every request in which a tool call
//! does not have exactly one result.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::model::as_written;

/// One request as the provider saw it.
#[derive(Debug, Clone)]
pub struct Turn {
    pub body: Value,
    pub authorization: Option<String>,
}

impl Turn {
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The newest message of the user, as they wrote it.
    pub fn last_user(&self) -> String {
        let newest = self.messages().iter().rev().find(|message| message["role"] == "user");
        newest.map(|message| as_written(&text_of(&message["content"]))).unwrap_or_default()
    }

    /// The tool results after the newest message of the user, in order.
    pub fn results(&self) -> Vec<String> {
        let after = self.messages().iter().rev().take_while(|message| message["role"] != "user");
        let mut results: Vec<String> =
            after.filter(|message| message["role"] == "tool").map(|message| text_of(&message["content"])).collect();
        results.reverse();
        results
    }

    /// How many answers of the model follow the newest message of the user.
    pub fn round(&self) -> usize {
        let after = self.messages().iter().rev().take_while(|message| message["role"] != "user");
        after.filter(|message| message["role"] == "assistant").count()
    }

    pub fn tool_names(&self) -> Vec<String> {
        let tools = self.body["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
    }
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// What the provider does next.
#[derive(Debug, Clone)]
pub enum Piece {
    Text(String),
    /// Thinking, as `reasoning_content`.
    Think(String),
    /// A whole tool call; `arguments` is sent as written.
    Call {
        id: String,
        name: String,
        arguments: String,
    },
    /// Waits until the test gives a permit.
    Hold(Arc<Semaphore>),
    /// Says nothing for so long, as a model does between its words.
    Pause(Duration),
    /// Ends the connection here, without a terminal marker.
    Cut,
}

#[derive(Debug, Clone)]
pub enum Reply {
    Stream(Vec<Piece>),
    Status(u16, String),
}

impl Reply {
    pub fn text(text: &str) -> Self {
        Self::Stream(vec![Piece::Text(text.to_owned())])
    }

    pub fn call(name: &str, arguments: &Value) -> Self {
        Self::calls(&[(name, arguments.clone())])
    }

    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let piece = |(index, (name, arguments)): (usize, &(&str, Value))| Piece::Call {
            id: format!("call_{index}"),
            name: (*name).to_owned(),
            arguments: arguments.to_string(),
        };
        Self::Stream(calls.iter().enumerate().map(piece).collect())
    }
}

type Script = dyn Fn(&Turn) -> Reply + Send + Sync;

struct Shared {
    models: &'static [&'static str],
    script: Box<Script>,
    turns: Mutex<Vec<Turn>>,
    faults: Mutex<Vec<String>>,
}

/// The running provider; it ends with the test's runtime.
#[derive(Clone)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Provider {
    pub async fn start(script: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> Self {
        Self::offering(&["scripted"], script).await
    }

    /// One that lists these models. It answers for whatever it is asked.
    pub async fn offering(
        models: &'static [&'static str],
        script: impl Fn(&Turn) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (turns, faults) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { models, script: Box::new(script), turns, faults });
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/models", get(list))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub fn turns(&self) -> Vec<Turn> {
        self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests in which a tool call did not have exactly one result, or a result had no call.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keys that begin so are not known here.
const BAD_KEY: &str = "Bearer sk-bad";

fn refused(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|key| key.as_bytes().starts_with(BAD_KEY.as_bytes()))
}

async fn list(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if refused(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let models: Vec<Value> = shared.models.iter().map(|id| json!({"id": id})).collect();
    axum::Json(json!({"object": "list", "data": models})).into_response()
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if refused(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "not JSON").into_response();
    };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let turn = Turn { body, authorization };
    if let Some(fault) = unpaired(&turn) {
        shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
    shared.turns.lock().unwrap_or_else(PoisonError::into_inner).push(turn.clone());
    match (shared.script)(&turn) {
        Reply::Status(status, body) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
        }
        Reply::Stream(pieces) => streamed(turn.body["model"].as_str().unwrap_or_default(), pieces),
    }
}

fn streamed(model: &str, pieces: Vec<Piece>) -> Response {
    let called = pieces.iter().any(|piece| matches!(piece, Piece::Call { .. }));
    let cut = pieces.iter().any(|piece| matches!(piece, Piece::Cut));
    let calls = pieces.iter().scan(0, |next, piece| {
        let index = *next;
        *next += usize::from(matches!(piece, Piece::Call { .. }));
        Some(index)
    });
    let indexed: Vec<(usize, Piece)> = calls.collect::<Vec<_>>().into_iter().zip(pieces).collect();
    let said = model.to_owned();
    let body = stream::iter(indexed).then(move |(index, piece)| {
        let model = said.clone();
        async move {
            match piece {
                Piece::Text(text) => Some(event(&model, &json!({"content": text}), None)),
                Piece::Think(text) => Some(event(&model, &json!({"reasoning_content": text}), None)),
                Piece::Call { id, name, arguments } => {
                    let function = json!({"name": name, "arguments": arguments});
                    let call = json!({"index": index, "id": id, "type": "function", "function": function});
                    Some(event(&model, &json!({"tool_calls": [call]}), None))
                }
                Piece::Hold(permits) => {
                    if let Ok(permit) = permits.acquire().await {
                        permit.forget();
                    }
                    Some(": held\n\n".to_owned())
                }
                Piece::Pause(time) => {
                    tokio::time::sleep(time).await;
                    Some(": pause\n\n".to_owned())
                }
                Piece::Cut => None,
            }
        }
    });
    let end = if cut {
        Vec::new()
    } else {
        let reason = if called { "tool_calls" } else { "stop" };
        let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
        let usage = json!({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage});
        vec![
            Some(event(model, &json!({}), Some(reason))),
            Some(format!("data: {usage}\n\n")),
            Some("data: [DONE]\n\n".into()),
        ]
    };
    let frames = body.chain(stream::iter(end)).take_while(|frame| std::future::ready(frame.is_some()));
    let body = Body::from_stream(frames.map(|frame| Ok::<_, Infallible>(frame.unwrap_or_default())));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn event(model: &str, delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "model": model, "choices": [choice]});
    format!("data: {chunk}\n\n")
}

/// Says which call or result is not paired, if any.
fn unpaired(turn: &Turn) -> Option<String> {
    let mut open: HashMap<String, i32> = HashMap::new();
    for message in turn.messages() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
            match open.get_mut(&id) {
                Some(count) if *count > 0 => *count -= 1,
                _ => return Some(format!("a result without its call: {id}")),
            }
            continue;
        }
        if open.values().any(|count| *count > 0) {
            return Some(format!("a call without its result before {}", message["role"]));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            *open.entry(call["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    open.values().any(|count| *count > 0).then(|| "a call without its result at the end".to_owned())
}
