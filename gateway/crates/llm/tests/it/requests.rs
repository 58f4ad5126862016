//! What a request looks like on the wire.

use adjutant_core::ids::ToolCallId;
use adjutant_core::message::{ForeignText, OutcomeKind, Part, Role, ToolCallPart, ToolResultPart};
use adjutant_core::model::{LlmClient, ModelRequest};
use adjutant_core::tool::{AddedBy, Hints, ToolSpec};
use serde_json::{Value, json};

use crate::fake::{Asked, Fake, says};
use crate::support::{KEY, alone, ask, client, message, read, settings};

async fn wire(request: ModelRequest) -> Asked {
    let fake = Fake::start(vec![says("hi")]).await;
    read(client(&fake).stream(request)).await.answer();
    fake.asked().remove(0)
}

fn call(id: ToolCallId, provider_id: &str, arguments: Value) -> Part {
    Part::ToolCall(ToolCallPart { id, provider_id: provider_id.to_owned(), name: "s__t".to_owned(), arguments })
}

fn result(call_id: ToolCallId, provider_id: &str, content: &str) -> Part {
    Part::ToolResult(ToolResultPart {
        call_id,
        provider_id: provider_id.to_owned(),
        name: "s__t".to_owned(),
        outcome: OutcomeKind::Succeeded,
        content: ForeignText::new(content),
        truncated: false,
    })
}

#[tokio::test]
async fn a_whole_conversation_with_tools_is_sent_as_the_format_wants_it() {
    let (first, second) = (ToolCallId::new(), ToolCallId::new());
    let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
    let request = ModelRequest {
        models: vec!["other".to_owned()],
        messages: vec![
            message(Role::System, vec![Part::text("be "), Part::text("brief")]),
            message(Role::User, vec![Part::text("go")]),
            message(
                Role::Assistant,
                vec![
                    Part::text("on "),
                    Part::text("it"),
                    call(first, "call_a", json!({"x": 1})),
                    call(second, "call_b", json!({})),
                ],
            ),
            message(Role::Tool, vec![result(first, "call_a", "<fenced>1</fenced>")]),
            message(Role::Tool, vec![result(second, "call_b", "2")]),
            message(Role::Assistant, vec![Part::text("done")]),
            message(Role::User, vec![Part::text("thanks")]),
        ],
        tools: vec![ToolSpec {
            name: "s__t".to_owned(),
            server: "s".to_owned(),
            tool: "t".to_owned(),
            description: "Does it.".to_owned(),
            input_schema: schema.clone(),
            hints: Hints::default(),
            added_by: AddedBy::default(),
        }],
        max_output_tokens: 99,
        temperature: Some(0.5),
        ..ask("")
    };
    let function = |arguments: &str| json!({"name": "s__t", "arguments": arguments});
    let expected = json!({
        "model": "other",
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 99,
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "on it", "tool_calls": [
                {"id": "call_a", "type": "function", "function": function("{\"x\":1}")},
                {"id": "call_b", "type": "function", "function": function("{}")},
            ]},
            {"role": "tool", "tool_call_id": "call_a", "content": "<fenced>1</fenced>"},
            {"role": "tool", "tool_call_id": "call_b", "content": "2"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "thanks"},
        ],
        "tools": [{"type": "function", "function":
            {"name": "s__t", "description": "Does it.", "parameters": schema, "strict": false}}],
    });
    let asked = wire(request).await;
    assert_eq!(asked.body, expected);
    assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
}

#[tokio::test]
async fn a_plain_question_names_no_tools_and_no_temperature() {
    let expected = json!({
        "model": "scripted",
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 512,
        "messages": [{"role": "user", "content": "hello"}],
    });
    assert_eq!(wire(ask("hello")).await.body, expected);
}

#[tokio::test]
async fn empty_and_repeated_ids_of_calls_are_replaced_for_call_and_result() {
    let ids: Vec<ToolCallId> = (0..4).map(|_| ToolCallId::new()).collect();
    let given = ["same", "same", "", ""];
    let calls = ids.iter().zip(given).map(|(id, given)| call(*id, given, Value::Null)).collect();
    let mut request = ask("go");
    request.messages.push(message(Role::Assistant, calls));
    let results: Vec<Part> = ids.iter().zip(given).rev().map(|(id, given)| result(*id, given, "ok")).collect();
    request.messages.push(message(Role::Tool, results));
    let body = wire(request).await.body;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sent: Vec<_> =
        body["messages"][1]["tool_calls"].as_array().unwrap().iter().map(|call| text(&call["id"])).collect();
    let own = |place: usize| format!("call_{}", ids[place].as_uuid().simple());
    assert_eq!(sent, ["same".to_owned(), own(1), own(2), own(3)]);
    let answered: Vec<_> =
        body["messages"].as_array().unwrap()[2..].iter().map(|result| text(&result["tool_call_id"])).collect();
    assert_eq!(answered, [own(3), own(2), own(1), "same".to_owned()]);
}

#[tokio::test]
async fn arguments_of_earlier_calls_are_always_an_object() {
    let id = ToolCallId::new();
    for (arguments, sent) in
        [(Value::Null, "{}"), (json!("{bad"), r#"{"invalid_arguments":"{bad"}"#), (json!({"a": 1}), r#"{"a":1}"#)]
    {
        let mut request = ask("go");
        request.messages.push(message(Role::Assistant, vec![call(id, "a", arguments)]));
        request.messages.push(message(Role::Tool, vec![result(id, "a", "no")]));
        assert_eq!(wire(request).await.body["messages"][1]["tool_calls"][0]["function"]["arguments"], sent);
    }
}

#[tokio::test]
async fn the_models_name_is_sent_as_it_is_written() {
    for name in ["mistral-large", "qwen-max", "o3-mini-high", "vendor::model", "openai/gpt-5-low", "x-none"] {
        let request = ModelRequest { models: vec![format!("openai/{name}")], ..ask("hello") };
        let body = wire(request).await.body;
        assert_eq!(body["model"], name);
        assert_eq!(body.get("reasoning_effort"), None, "{name}");
    }
}

#[tokio::test]
async fn without_a_key_none_is_sent() {
    for key in [None, Some("  ".into())] {
        let fake = Fake::start(vec![says("hi")]).await;
        let mut settings = settings(&format!("{}/", fake.base_url()));
        settings.api_key = key;
        let client = alone(settings);
        read(client.stream(ask("hello"))).await.answer();
        let asked = fake.asked().remove(0);
        assert_eq!(asked.headers.get("authorization"), None);
        assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    }
}

#[tokio::test]
async fn a_configured_proxy_is_used() {
    let proxy = Fake::start(vec![says("hi")]).await;
    let mut settings = settings("http://model.invalid/v1");
    settings.proxy = Some(format!("http://{}", proxy.address).into());
    let client = alone(settings);
    read(client.stream(ask("hello"))).await.answer();
    assert_eq!(proxy.asked().remove(0).line, "POST http://model.invalid/v1/chat/completions HTTP/1.1");
}
