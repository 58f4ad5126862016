use serde_json::{Value, json};

use super::*;

fn refusal(body: &str) -> (Value, String) {
    refused(body.as_bytes())
}

fn refused(body: &[u8]) -> (Value, String) {
    let error: Value = serde_json::from_str(&parse(body).unwrap_err().body()).unwrap();
    (error["error"]["param"].clone(), error["error"]["message"].as_str().unwrap().to_owned())
}

#[test]
fn unknown_fields_and_nulls_are_skipped_however_deep() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let body = format!(
        r#"{{"model":"cos","frobnicate":{deep},"stream":null,"tools":null,"stop":null,"tool_choice":null,
            "messages":[{{"role":"assistant","content":null,"tool_calls":null,"audio":{{"id":"x"}}}},
                        {{"role":"user","name":"me","content":[{{"type":"text","text":"hi","x":1}}]}}]}}"#
    );
    let request = parse(body.as_bytes()).unwrap();
    assert_eq!(request.messages.0.len(), 2);
    assert!(request.stream.is_none() && request.tools.is_none() && request.stop.is_none());
}

#[test]
fn a_wrong_type_is_named_by_its_path() {
    let table = [
        (r#"{"model":7,"messages":[]}"#, "model"),
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"cos"}"#, "messages"),
        (r#"{"model":"cos","messages":{}}"#, "messages"),
        (r#"{"model":"cos","messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
        (r#"{"model":"cos","messages":[{"content":"x"}]}"#, "messages[0].role"),
        (r#"{"model":"cos","messages":[{"role":"user","content":[{"text":"x"}]}]}"#, "messages[0].content[0].type"),
        (r#"{"model":"cos","messages":[],"temperature":"hot"}"#, "temperature"),
        (r#"{"model":"cos","messages":[],"max_tokens":-1}"#, "max_tokens"),
        (r#"{"model":"cos","messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"model":"cos","messages":[],"tool_choice":[]}"#, "tool_choice"),
        (r#"{"model":"cos","messages":[],"tools":[{"function":{}}]}"#, "tools[0].function.name"),
        ("7", "."),
    ];
    for (body, path) in table {
        assert_eq!(refusal(body).0, json!(path), "{body}");
    }
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for body in [&b""[..], b"{", b"{}x", b"\xff", b"{\"model\":\"\x00\"}", b"{\"model\":\"\\ud800\"}"] {
        let (param, message) = refused(body);
        assert!(param == json!("body") || param == json!("model"), "{param} {message}");
    }
    let nested = format!(r#"{{"model":"cos","messages":{}"#, "[".repeat(10_000));
    assert!(parse(nested.as_bytes()).is_err());
}

#[test]
fn long_lists_are_refused_while_they_are_read() {
    let messages = vec![r#"{"role":"user"}"#; limits::OPENAI_MESSAGES + 1].join(",");
    let (param, message) = refusal(&format!(r#"{{"model":"cos","messages":[{messages}]}}"#));
    assert_eq!(param, json!("messages"), "{message}");
    let parts = vec![r#"{"type":"text"}"#; limits::MESSAGE_PARTS + 1].join(",");
    let body = format!(r#"{{"model":"cos","messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    assert_eq!(refusal(&body).0, json!("messages[0].content"));
}

#[test]
fn a_schema_stays_unread() {
    let body =
        r#"{"model":"cos","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"a": 1}}}]}"#;
    let tools = parse(body.as_bytes()).unwrap().tools.unwrap().0;
    assert_eq!(tools[0].function.as_ref().unwrap().parameters.as_ref().unwrap().get(), r#"{"a": 1}"#);
}

#[test]
fn a_refusal_quotes_no_long_value() {
    let body = json!({"model": "cos", "messages": "ä".repeat(10_000)}).to_string();
    assert!(refusal(&body).1.len() <= 240);
}
