use serde_json::json;

use super::*;
use crate::http::openai::request;

fn read_json(messages: &Value) -> Result<Vec<Entry>, Failure> {
    let body = json!({"model": "cos", "messages": messages}).to_string();
    read(request::parse(body.as_bytes())?.messages.0)
}

fn param(failure: &Failure) -> String {
    let body: Value = serde_json::from_str(&failure.body()).unwrap();
    body["error"]["param"].as_str().unwrap().to_owned()
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}})
}

#[test]
fn a_history_becomes_messages_whose_results_follow_their_calls() {
    let messages = json!([
        {"role": "developer", "content": "Be exact."},
        {"role": "user", "content": [{"type": "text", "text": "Please "}, {"type": "text", "text": "look\u{0}"}]},
        {"role": "assistant", "content": null, "tool_calls": [call("a", "{\"x\":1}"), call("b", "not json")]},
        {"role": "tool", "tool_call_id": "b", "content": "second"},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "first"}]},
    ]);
    let (drafts, made_of) = drafts(read_json(&messages).unwrap()).unwrap();
    let roles: Vec<Role> = drafts.iter().map(|draft| draft.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Tool]);
    assert_eq!((&drafts[1].parts[..], made_of), (&[][..], vec![vec![Piece::Text("Please look\u{fffd}".to_owned())]]));
    let (Part::ToolCall(a), Part::ToolCall(b)) = (&drafts[2].parts[0], &drafts[2].parts[1]) else { panic!("no calls") };
    assert_eq!((&a.arguments, &b.arguments), (&json!({"x": 1}), &json!("not json")));
    let (Part::ToolResult(second), Part::ToolResult(first)) = (&drafts[3].parts[0], &drafts[4].parts[0]) else {
        panic!("no results")
    };
    assert_eq!((first.call_id, first.provider_id.as_str(), first.content.as_str()), (a.id, "a", "first"));
    assert_eq!((second.call_id, second.name.as_str(), second.outcome), (b.id, "look", OutcomeKind::Succeeded));
}

#[test]
fn an_id_used_again_belongs_to_the_newest_call() {
    let turn = [
        json!({"role": "user", "content": "look"}),
        json!({"role": "assistant", "tool_calls": [call("a", "{}")]}),
        json!({"role": "tool", "tool_call_id": "a", "content": "seen"}),
    ];
    let messages: Vec<Value> = turn.iter().chain(&turn).cloned().collect();
    let (drafts, _) = drafts(read_json(&json!(messages)).unwrap()).unwrap();
    let id = |index: usize| match &drafts[index].parts[0] {
        Part::ToolCall(call) => call.id,
        Part::ToolResult(result) => result.call_id,
        _ => panic!("no call"),
    };
    assert_eq!((id(1), id(4)), (id(2), id(5)));
    assert_ne!(id(1), id(4));
}

#[test]
fn what_cannot_be_a_history_is_named() {
    let user = json!({"role": "user", "content": "hi"});
    let long = "x".repeat(limits::MESSAGE_BYTES + 1);
    let file = json!({"type": "file", "file": {"file_id": "019a0000-0000-7000-8000-000000000001"}});
    for (messages, wanted) in [
        (json!([]), "messages"),
        (json!([{"role": "nobody", "content": "x"}]), "messages[0].role"),
        (json!([{"role": "function", "name": "f", "content": "x"}, user]), "messages[0].role"),
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": " \n"}]), "messages[0].content"),
        (json!([{"role": "user", "content": long}]), "messages[0].content"),
        (json!([user, {"role": "assistant", "content": "x"}]), "messages[1].role"),
        (
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "messages[0].content[0].image_url.url",
        ),
        (json!([{"role": "user", "content": [{"type": "text", "text": " "}]}]), "messages[0].content"),
        (json!([{"role": "user", "content": vec![file; limits::MESSAGE_FILES + 1]}]), "messages[0].content"),
        (json!([{"role": "user", "content": [{"type": "input_audio"}]}]), "messages[0].content[0].type"),
        (json!([{"role": "user", "content": [{"type": "file"}]}]), "messages[0].content[0].file"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (json!([user, {"role": "tool", "content": "x"}]), "messages[1].tool_call_id"),
        (
            json!([{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}, user]),
            "messages[0].tool_calls[0].function",
        ),
        (json!([{"role": "assistant", "tool_calls": [call("", "{}")]}, user]), "messages[0].tool_calls[0].id"),
    ] {
        assert_eq!(param(&read_json(&messages).unwrap_err()), wanted);
    }
}

#[test]
fn a_result_needs_its_call_and_each_call_has_one() {
    let asked = json!({"role": "assistant", "tool_calls": [call("a", "{}")]});
    let result = json!({"role": "tool", "tool_call_id": "a", "content": "x"});
    let orphan = read_json(&json!([{"role": "user", "content": "hi"}, result])).unwrap();
    assert_eq!(param(&drafts(orphan).unwrap_err()), "messages[1].tool_call_id");
    let twice = read_json(&json!([asked, result, result])).unwrap();
    assert_eq!(param(&drafts(twice).unwrap_err()), "messages[2].tool_call_id");
}

#[test]
fn the_results_at_the_end_are_found_in_order() {
    let asked = json!({"role": "assistant", "tool_calls": [call("a", "{}"), call("b", "{}")]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": id});
    let entries = read_json(&json!([asked, result("a"), result("b")])).unwrap();
    assert_eq!(trailing_results(&entries), [("a", "a"), ("b", "b")]);
    let entries = read_json(&json!([asked, result("a"), {"role": "user", "content": "hi"}])).unwrap();
    assert!(trailing_results(&entries).is_empty());
}

#[test]
fn deep_arguments_are_kept_as_text() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let entries =
        read_json(&json!([{"role": "assistant", "tool_calls": [call("a", &deep)]}, {"role": "user", "content": "hi"}]));
    let Body::Assistant { calls, .. } = &entries.unwrap()[0].body else { panic!("no assistant") };
    assert_eq!(calls[0].arguments, json!(deep));
}
