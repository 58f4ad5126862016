//! Anthropic's messages and Ollama's chat, byte by byte on the wire.

use adjutant_core::ids::{FileId, ToolCallId};
use adjutant_core::message::{
    FilePart, ForeignText, OutcomeKind, Part, Role, ThinkingPart, ToolCallPart, ToolResultPart,
};
use adjutant_core::model::{FileContent, LlmClient, ModelErrorKind, ModelRequest, StopReason};
use adjutant_core::tool::{AddedBy, Hints, ToolSpec};
use adjutant_llm::settings::{Provider, Settings, Thinking};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::fake::{Fake, Step, plain, send, stream_head};
use crate::support::{KEY, Told, alone, ask, message, read, settings, soon, tell};

fn of(provider: Provider, fake: &Fake) -> Settings {
    let base_url = match provider {
        Provider::Ollama => format!("http://{}", fake.address),
        Provider::OpenAi | Provider::Anthropic => fake.base_url(),
    };
    Settings { provider, ..settings(&base_url) }
}

fn sse(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}

fn anthropic_whole() -> String {
    let events = [
        json!({"type": "message_start", "message": {"model": "claude-x", "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm, zwölf."}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Zwölf 🐈."}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"x\":1}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ];
    events.iter().map(sse).collect()
}

fn ollama_whole() -> String {
    let lines = [
        json!({"model": "qwen3", "message": {"role": "assistant", "content": "", "thinking": "Hm, zwölf."}, "done": false}),
        json!({"model": "qwen3", "message": {"role": "assistant", "content": "Zwölf 🐈."}, "done": false}),
        json!({"model": "qwen3", "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}, "done": false}),
        json!({"model": "qwen3", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 9}),
    ];
    lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
}

async fn told(provider: Provider, steps: Vec<Step>) -> Told {
    let fake = Fake::start(vec![steps]).await;
    let settings = Settings { tries: 1, ..of(provider, &fake) };
    tell(&alone(settings), "hello").await
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_is_truncated_and_runs_nothing() {
    for (provider, whole) in [(Provider::Anthropic, anthropic_whole()), (Provider::Ollama, ollama_whole())] {
        let bytes = whole.as_bytes();
        // What stands behind the last sign of the terminal marker may be missing.
        let marker = whole.trim_end().len();
        for end in 0..=bytes.len() {
            let told = told(provider, vec![stream_head(), send(&bytes[..end]), Step::Close]).await;
            if end >= marker {
                let answer = told.answer();
                assert_eq!((answer.text.as_str(), answer.calls.len()), ("Zwölf 🐈.", 1));
                assert_eq!(answer.thinking[0].text, "Hm, zwölf.");
            } else {
                // Before its first data nothing tells a cut stream from something that is none.
                let is_told = told.kind() == ModelErrorKind::Truncated;
                assert!(is_told || end <= whole.find('{').unwrap(), "{provider:?} {end} {:?}", told.kind());
                assert!("Zwölf 🐈.".starts_with(&told.relayed), "{:?}", told.relayed);
            }
        }
    }
}

#[tokio::test]
async fn thinking_is_relayed_before_the_text_and_ends_the_tries() {
    for (provider, whole) in [(Provider::Anthropic, anthropic_whole()), (Provider::Ollama, ollama_whole())] {
        let half = whole.find(if provider == Provider::Anthropic {
            "event: content_block_stop"
        } else {
            "{\"done\":false,\"message\":{\"content\":\"Zw"
        });
        let half = half.unwrap_or_else(|| whole.find('\n').unwrap() + 1);
        let fake = Fake::start(vec![vec![stream_head(), send(&whole.as_bytes()[..half]), Step::Close]]).await;
        let told = tell(&alone(of(provider, &fake)), "hello").await;
        assert_eq!(told.kind(), ModelErrorKind::Truncated);
        assert_eq!((told.thought.as_str(), told.relayed.as_str(), fake.count()), ("Hm, zwölf.", "", 1), "{provider:?}");
    }
}

#[tokio::test]
async fn refusals_have_their_kinds_whatever_the_format() {
    use ModelErrorKind::{Garbled, RateLimited, Refused, Unauthorized, Unavailable};
    for provider in [Provider::Anthropic, Provider::Ollama] {
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        let cases = [
            (plain(401, "", "{}"), Unauthorized),
            (plain(403, "", "{}"), Unauthorized),
            (plain(404, "", r#"{"error":"model 'x' not found"}"#), Refused),
            (plain(429, "retry-after: 90\r\n", "{}"), RateLimited),
            (plain(529, "", overloaded), Unavailable),
            (plain(500, "", "oops"), Unavailable),
            (vec![send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>\n<p>\n</html>\n\n"), Step::Close], Garbled),
        ];
        for (reply, kind) in cases {
            let told = told(provider, reply).await;
            assert_eq!(told.kind(), kind, "{provider:?}");
        }
    }
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let begun = anthropic_whole();
    let begun = &begun[..begun.find("event: content_block_stop").unwrap()];
    let told = told(Provider::Anthropic, vec![stream_head(), send(begun), send(sse(&error)), Step::Close]).await;
    assert_eq!((told.kind(), told.thought.as_str()), (Unavailable, "Hm, zwölf."));
}

fn conversation(mark: &str) -> ModelRequest {
    let (a, b) = (ToolCallId::new(), ToolCallId::new());
    let call = |id, provider_id: &str| {
        let (provider_id, name) = (provider_id.to_owned(), "s__t".to_owned());
        Part::ToolCall(ToolCallPart { id, provider_id, name, arguments: json!({"x": 1}) })
    };
    let result = |call_id, provider_id: &str| {
        Part::ToolResult(ToolResultPart {
            call_id,
            provider_id: provider_id.to_owned(),
            name: "s__t".to_owned(),
            outcome: OutcomeKind::Succeeded,
            content: ForeignText::new("ok"),
            truncated: false,
        })
    };
    let thought = |text: &str, signature: Option<&str>, redacted: Option<&str>, provider: &str| {
        Part::Thinking(ThinkingPart {
            text: text.to_owned(),
            signature: signature.map(str::to_owned),
            redacted: redacted.map(str::to_owned),
            provider: provider.to_owned(),
        })
    };
    let file_id = FileId::new();
    let picture = FilePart { file_id, name: "cat.png".to_owned(), media_type: "image/png".to_owned(), size: 4 };
    let content =
        FileContent { name: "cat.png".to_owned(), media_type: "image/png".to_owned(), bytes: b"\x89PNG".to_vec() };
    ModelRequest {
        messages: vec![
            message(Role::System, vec![Part::text("be brief")]),
            message(Role::User, vec![Part::text("go"), Part::File(picture)]),
            message(
                Role::Assistant,
                vec![
                    thought("mine", Some("c2ln"), None, mark),
                    thought("", None, Some("c2VhbGVk"), mark),
                    thought("foreign", Some("eA"), None, "anthropic https://elsewhere.example"),
                    Part::text("on it"),
                    call(a, "toolu_a"),
                    call(b, "toolu_b"),
                ],
            ),
            message(Role::Tool, vec![result(a, "toolu_a")]),
            message(Role::Tool, vec![result(b, "toolu_b")]),
        ],
        files: [(file_id, Arc::new(content))].into(),
        tools: vec![ToolSpec {
            name: "s__t".to_owned(),
            server: "s".to_owned(),
            tool: "t".to_owned(),
            description: "Does it.".to_owned(),
            input_schema: json!({"type": "object"}),
            hints: Hints::default(),
            added_by: AddedBy::Operator,
        }],
        temperature: Some(0.5),
        ..ask("")
    }
}

#[tokio::test]
async fn an_anthropic_conversation_carries_its_thinking_and_marks_what_to_cache() {
    let fake = Fake::start(vec![vec![stream_head(), send(anthropic_whole()), Step::Close]]).await;
    let settings = Settings { thinking: Thinking::Low, ..of(Provider::Anthropic, &fake) };
    let mark = format!("anthropic http://{}", fake.address);
    read(alone(settings).stream(conversation(&mark))).await.answer();
    let asked = fake.asked().remove(0);
    assert_eq!(asked.line, "POST /v1/messages HTTP/1.1");
    assert_eq!(asked.headers["x-api-key"], KEY);
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    assert!(!asked.headers.contains_key("authorization"));
    let cached = json!({"type": "ephemeral"});
    let body = asked.body;
    assert_eq!(body["system"], json!([{"type": "text", "text": "be brief", "cache_control": cached}]));
    assert_eq!(body["tools"][0]["cache_control"], cached);
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3, "all results of an answer are one message: {messages:#?}");
    assert_eq!(
        messages[1]["content"],
        json!([
            {"type": "thinking", "thinking": "mine", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "c2VhbGVk"},
            {"type": "text", "text": "on it"},
            {"type": "tool_use", "id": "toolu_a", "name": "s__t", "input": {"x": 1}},
            {"type": "tool_use", "id": "toolu_b", "name": "s__t", "input": {"x": 1}},
        ])
    );
    let results = messages[2]["content"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["tool_use_id"]), (2, &json!("toolu_a")));
    assert_eq!((results[0].get("cache_control"), &results[1]["cache_control"]), (None, &cached));
    assert_eq!(messages[0]["content"][0]["source"]["data"], "iVBORw==");
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 1024}));
    assert_eq!((&body["max_tokens"], body.get("temperature")), (&json!(512 + 1024), None));
    assert_eq!(body["model"], "scripted");
}

#[tokio::test]
async fn a_turn_that_another_model_began_goes_on_without_thinking() {
    let fake = Fake::start(vec![vec![stream_head(), send(anthropic_whole()), Step::Close]]).await;
    let settings = Settings { thinking: Thinking::High, ..of(Provider::Anthropic, &fake) };
    read(alone(settings).stream(conversation("openai http://elsewhere.example"))).await.answer();
    let body = fake.asked().remove(0).body;
    assert_eq!((body.get("thinking"), &body["temperature"], &body["max_tokens"]), (None, &json!(0.5), &json!(512)));
    assert_eq!(body["messages"][1]["content"][0]["type"], "text", "foreign thinking goes nowhere");
}

#[tokio::test]
async fn an_ollama_conversation_is_sent_as_its_format_wants_it() {
    let fake = Fake::start(vec![vec![stream_head(), send(ollama_whole()), Step::Close]]).await;
    let settings = Settings { api_key: None, ..of(Provider::Ollama, &fake) };
    let answer = read(alone(settings).stream(conversation("nobody"))).await.answer();
    assert_eq!((answer.stop, answer.usage.total(), answer.provider.as_str()), (StopReason::Finished, 12, "ollama"));
    assert_eq!(answer.cost.map(|cost| cost.micros), Some(0), "one's own machine charges nothing");
    let asked = fake.asked().remove(0);
    assert_eq!(asked.line, "POST /api/chat HTTP/1.1");
    assert!(!asked.headers.contains_key("authorization"));
    let body = asked.body;
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    let user = body["messages"][1]["content"].as_str().unwrap();
    assert!(user.contains("\"cat.png\" (image/png, 4 bytes) is attached, but this model cannot see images"), "{user}");
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["arguments"], json!({"x": 1}));
    assert_eq!(body["options"], json!({"temperature": 0.5, "num_predict": 512}));
    assert_eq!(body.get("think"), None);
}

#[tokio::test]
async fn reasoning_of_compatible_servers_is_shown_and_goes_back_within_the_turn() {
    let chunk = |delta: Value| json!({"model": "r1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let events = [chunk(json!({"reasoning_content": "Hm."})), chunk(json!({"content": "Yes."})), end];
    let text = events.iter().map(|event| format!("data: {event}\n\n")).collect::<Vec<_>>().concat();
    let fake = Fake::start(vec![vec![stream_head(), send(text), Step::Close]]).await;
    let mark = format!("openai http://{}", fake.address);
    let told = read(alone(settings(&fake.base_url())).stream(conversation(&mark))).await;
    assert_eq!(told.thought, "Hm.");
    let answer = told.answer();
    assert_eq!((answer.thinking[0].text.as_str(), answer.thinking[0].provider.as_str()), ("Hm.", mark.as_str()));
    let body = fake.asked().remove(0).body;
    assert_eq!(body["messages"][2]["reasoning_content"], "mine");
}

#[tokio::test]
async fn silence_is_given_up_in_every_format() {
    for provider in [Provider::Anthropic, Provider::Ollama] {
        let fake = Fake::start(vec![vec![stream_head(), Step::Hang]]).await;
        let mut settings = of(provider, &fake);
        settings.tries = 1;
        settings.timeouts.first_byte = crate::support::SHORT;
        settings.timeouts.idle = crate::support::SHORT;
        assert_eq!(soon(tell(&alone(settings), "hello")).await.kind(), ModelErrorKind::TimedOut);
        fake.client_left().await;
    }
}
