//! What JSON can say and a database cannot keep, at the doors that keep it; and what belongs in no argument.

use adjutant_core::limits;
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use super::binary::{Home, adjutant, output};
use super::openai_support::{Door, chat, results, tool, user, with};
use super::server::{KEY, answer};
use super::ws_support::{House, ends_run, is, is_custom};

#[tokio::test]
async fn a_nul_is_kept_as_a_replacement_wherever_a_completion_can_hold_one() {
    let door = Door::new(|turn: &Turn| match turn.round() {
        0 if turn.tool_names().iter().any(|name| name == "weather") => {
            Reply::call("weather", &json!({"city": "a\u{0}b"}))
        }
        _ => Reply::text("fine"),
    })
    .await;
    let mut odd = tool("weather");
    odd["function"]["description"] = json!("a\u{0}b");
    odd["function"]["parameters"] = json!({"type": "object", "\u{0}": {"default": "\u{0}"}});
    let asked = with(chat(&[user("the weather\u{0}?")]), &json!({"tools": [odd.clone()], "user": "\u{0}"}));
    let first = door.ask(&asked).await;
    assert_eq!((first.status, first.finish().as_str()), (200, "tool_calls"), "{first:?}");
    let calls = first.calls();
    let mut messages =
        vec![user("the weather\u{0}?"), json!({"role": "assistant", "content": "\u{0}", "tool_calls": calls})];
    messages.extend(results(&calls, "cl\u{0}ear"));
    let next = door.ask(&with(chat(&messages), &json!({"tools": [odd]}))).await;
    assert_eq!((next.status, next.run(), next.text().as_str()), (200, first.run(), "fine"), "{next:?}");

    // A history of somebody else's making, with a NUL in every word of it.
    let function = json!({"name": "n\u{0}", "arguments": "{\"\\u0000\": \"\\u0000\"}"});
    let call = json!({"id": "i\u{0}", "type": "function", "function": function});
    let messages = [
        json!({"role": "system", "content": "s\u{0}"}),
        user("u\u{0}"),
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "i\u{0}", "content": "r\u{0}"}),
    ];
    let foreign = door.ask(&chat(&messages)).await;
    assert_eq!((foreign.status, foreign.text().as_str()), (200, "fine"), "{foreign:?}");
    assert_eq!(door.provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn a_schema_that_says_what_nobody_can_keep_is_refused_and_never_a_fault_of_the_server() {
    let door = Door::new(|_| Reply::text("never")).await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(limits::JSON_DEPTH + 1), "}".repeat(limits::JSON_DEPTH + 1));
    for schema in [r#"{"a": "\ud800"}"#, r#"{"a": 1e999}"#, &deep, "[]", "7"] {
        let body = format!(
            r#"{{"model":"cos","messages":[{{"role":"user","content":"hi"}}],
                "tools":[{{"type":"function","function":{{"name":"t","parameters":{schema}}}}}]}}"#
        );
        let request = door.server.request("POST", "/v1/chat/completions").bearer_auth(KEY);
        let refused = answer(request.header("content-type", "application/json").body(body)).await;
        refused.is_refused(400, "invalid_value", schema);
    }
    assert!(door.provider.turns().is_empty());
}

#[tokio::test]
async fn a_reason_with_a_nul_decides_like_any_other() {
    let house = House::new(|turn: &Turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "before"})),
        1 => Reply::call("effects__effect", &json!({"key": "milk"})),
        _ => Reply::text(&turn.results().join(" | ")),
    })
    .await;
    let mut client = house.owner().await;
    client.say(None, "one", "buy").await;
    let waits = |frame: &Value| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "waiting";
    let frames = client.until(waits).await;
    let asked = frames.iter().find(|frame| is_custom(frame, "approval.requested")).unwrap();
    let id = &asked["event"]["value"]["approvalId"];
    client.send(json!({"type": "approval.decide", "approvalId": id, "decision": "deny", "reason": "no\u{0}pe"})).await;
    let frames = client.until(ends_run).await;
    let result = frames.iter().find(|frame| is(frame, "TOOL_CALL_RESULT")).unwrap();
    assert_eq!(result["event"]["metadata"]["outcome"], "denied");
    assert!(result["event"]["content"].as_str().unwrap().contains("no\u{fffd}pe"), "{result}");
    assert_eq!(house.tools.effects().len(), 0);
}

#[tokio::test]
async fn no_command_takes_a_secret_as_an_argument() {
    let home = Home::new();
    for arguments in [
        &["chat", "--key", "adj_secret"][..],
        &["chat", "--api-key", "adj_secret"],
        &["key", "create", "--key", "adj_secret"],
        &["serve", "--api-key", "adj_secret"],
        &["migrate", "--admin-url", "postgres://u:adj_secret@h/d"],
        &["doctor", "--key", "adj_secret"],
    ] {
        let (code, stdout, _) = output(adjutant(&home, arguments)).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
    }
}
