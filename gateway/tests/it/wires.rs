//! A provider that speaks all three wire formats at one address, and keeps every request as it came. What it says is
//! the same in each of them.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the model of a request says: thoughts with their signatures, text, and a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    pub(crate) thoughts: Vec<(&'static str, &'static str)>,
    /// A thought that Anthropic seals.
    pub(crate) sealed: Option<&'static str>,
    pub(crate) text: String,
    /// The name of a tool and its arguments.
    pub(crate) call: Option<(&'static str, Value)>,
}

impl Says {
    pub(crate) fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Asked {
    /// The content of the messages of the user, as the format has it. Anthropic's results of tools are none.
    pub(crate) fn of_user(&self) -> Vec<&Value> {
        let messages = self.body["messages"].as_array().unwrap().iter();
        let said = messages.filter(|message| message["role"] == "user");
        said.filter(|message| message["content"][0]["type"] != "tool_result").collect()
    }

    /// How many answers of the model follow the newest message of the user.
    pub(crate) fn round(&self) -> usize {
        let newest = self.of_user().pop().unwrap();
        let messages = self.body["messages"].as_array().unwrap();
        let place = messages.iter().rposition(|message| std::ptr::eq(message, newest)).unwrap();
        messages[place..].iter().filter(|message| message["role"] == "assistant").count()
    }
}

type Script = dyn Fn(&Asked) -> Says + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
}

pub(crate) struct Wires {
    pub(crate) origin: String,
    shared: Arc<Shared>,
}

impl Wires {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Says + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { script: Box::new(script), asked: Mutex::default() });
        let app = Router::new()
            .route("/v1/chat/completions", post(answer))
            .route("/v1/messages", post(answer))
            .route("/api/chat", post(answer))
            // Pictures make requests large.
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { origin, shared }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The settings of a server whose model is this one, as `provider/model`; all three providers are here.
    pub(crate) fn settings(&self, model: &str) -> Vec<(&'static str, String)> {
        let (provider, model) = model.split_once('/').unwrap();
        vec![
            ("LLM_PROVIDER", provider.to_owned()),
            ("LLM_MODEL", model.to_owned()),
            ("OPENAI_BASE_URL", format!("{}/v1", self.origin)),
            ("OPENAI_API_KEY", "sk-none".to_owned()),
            ("ANTHROPIC_BASE_URL", format!("{}/v1", self.origin)),
            ("ANTHROPIC_API_KEY", "sk-none".to_owned()),
            ("OLLAMA_BASE_URL", self.origin.clone()),
        ]
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, Json(body): Json<Value>) -> Response {
    let asked = Asked { path: uri.path().to_owned(), body };
    let says = (shared.script)(&asked);
    let number = asked.round();
    shared.asked.lock().unwrap().push(asked);
    match uri.path() {
        "/v1/messages" => events(&anthropic(&says, number), ""),
        "/api/chat" => lines(&ollama(&says)),
        _ => events(&openai(&says, number), "data: [DONE]\n\n"),
    }
}

fn events(events: &[Value], end: &str) -> Response {
    let of = |event: &Value| match event["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    };
    let body = events.iter().map(of).collect::<Vec<_>>().concat() + end;
    ([("content-type", "text/event-stream")], body).into_response()
}

fn lines(lines: &[Value]) -> Response {
    let body = lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
    ([("content-type", "application/x-ndjson")], body).into_response()
}

fn openai(says: &Says, number: usize) -> Vec<Value> {
    let delta = |delta: Value| json!({"model": "m", "choices": [{"index": 0, "delta": delta}]});
    let mut events: Vec<Value> =
        says.thoughts.iter().map(|(thought, _)| delta(json!({"reasoning_content": thought}))).collect();
    if !says.text.is_empty() {
        events.push(delta(json!({"content": says.text})));
    }
    if let Some((name, arguments)) = &says.call {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"index": 0, "id": format!("call_{number}"), "type": "function", "function": function});
        events.push(delta(json!({"tool_calls": [call]})));
    }
    let reason = if says.call.is_some() { "tool_calls" } else { "stop" };
    events.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}));
    events
}

fn anthropic(says: &Says, number: usize) -> Vec<Value> {
    let usage = json!({"input_tokens": 3, "output_tokens": 1});
    let mut events = vec![json!({"type": "message_start", "message": {"model": "claude-x", "usage": usage}})];
    let mut index = 0;
    let mut block = |block: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    for (thought, signature) in &says.thoughts {
        let said = json!({"type": "thinking_delta", "thinking": thought});
        let signed = json!({"type": "signature_delta", "signature": signature});
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), vec![said, signed]);
    }
    if let Some(data) = says.sealed {
        block(json!({"type": "redacted_thinking", "data": data}), Vec::new());
    }
    if !says.text.is_empty() {
        block(json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": says.text})]);
    }
    if let Some((name, arguments)) = &says.call {
        let input = json!({"type": "input_json_delta", "partial_json": arguments.to_string()});
        block(json!({"type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": {}}), vec![input]);
    }
    let reason = if says.call.is_some() { "tool_use" } else { "end_turn" };
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}));
    events.push(json!({"type": "message_stop"}));
    events
}

fn ollama(says: &Says) -> Vec<Value> {
    let line = |more: Value| {
        let mut message = json!({"role": "assistant", "content": ""});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"model": "m", "message": message, "done": false})
    };
    let mut lines: Vec<Value> = says.thoughts.iter().map(|(thought, _)| line(json!({"thinking": thought}))).collect();
    lines.push(line(json!({"content": says.text})));
    if let Some((name, arguments)) = &says.call {
        lines.push(line(json!({"tool_calls": [{"function": {"name": name, "arguments": arguments}}]})));
    }
    lines.push(
        json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
        "prompt_eval_count": 3, "eval_count": 9}),
    );
    lines
}
