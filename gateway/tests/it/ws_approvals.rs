//! Consent over the WebSocket: asked on all sockets of the scope, decided on any.

use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use super::ws_support::{House, ends_run, is, is_custom, text_of};

/// Something foreign is read, so that effects need consent; then one call with an effect, whose key is what the user
/// said; then what came of it.
fn effect(turn: &Turn) -> Reply {
    match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "before"})),
        1 => Reply::call("effects__effect", &json!({"key": turn.last_user()})),
        _ => Reply::text(&format!("it said: {}", turn.results().join(" | "))),
    }
}

fn is_asked(frame: &Value) -> bool {
    is_custom(frame, "approval.requested")
}

fn is_waiting(frame: &Value) -> bool {
    is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "waiting"
}

fn approval(frames: &[Value]) -> Value {
    frames.iter().find(|frame| is_asked(frame)).unwrap()["event"]["value"]["approvalId"].clone()
}

fn outcome(frames: &[Value]) -> &str {
    let result = frames.iter().rfind(|frame| is(frame, "TOOL_CALL_RESULT")).unwrap();
    result["event"]["metadata"]["outcome"].as_str().unwrap()
}

#[tokio::test]
async fn a_tool_with_effects_is_asked_about_and_runs_once_when_another_socket_allows_it() {
    let house = House::new(effect).await;
    let (mut one, mut two) = (house.owner().await, house.owner().await);
    one.say(None, "a", "milk").await;
    let mut asked = one.until(is_waiting).await;
    let seen = two.until(is_waiting).await;
    assert_eq!(approval(&asked), approval(&seen));
    let question = asked.iter().find(|frame| is_asked(frame)).unwrap()["event"]["value"].clone();
    assert_eq!(
        (&question["name"], &question["server"], &question["tool"], &question["arguments"], &question["risk"]),
        (&json!("effects__effect"), &json!("effects"), &json!("effect"), &json!({"key": "milk"}), &json!("effects"))
    );
    assert_eq!(house.tools.effects().len(), 0);
    two.decide(&approval(&asked), "once").await;
    asked.extend(one.until(ends_run).await);
    two.until(ends_run).await;
    let decided = asked.iter().find(|frame| is_custom(frame, "approval.decided")).unwrap();
    assert_eq!(decided["event"]["value"]["decision"], "once");
    assert_eq!((outcome(&asked), house.tools.effects()), ("succeeded", [("milk".to_owned(), 1)].into()));
    one.decide(&approval(&asked), "deny").await;
    assert_eq!(one.error().await["code"], "already_decided");
    one.say(None, "b", "bread").await;
    one.until(is_asked).await;
}

#[tokio::test]
async fn a_denied_tool_does_not_run_and_the_model_is_told_why() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let mut frames = client.until(is_waiting).await;
    let id = approval(&frames);
    client
        .send(json!({"type": "approval.decide", "approvalId": id, "decision": "deny", "reason": "we have some"}))
        .await;
    frames.extend(client.until(ends_run).await);
    assert_eq!((outcome(&frames), house.tools.effects().len()), ("denied", 0));
    assert!(text_of(&frames).contains("we have some"), "{}", text_of(&frames));
}

#[tokio::test]
async fn a_tool_that_is_always_allowed_is_not_asked_about_again() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let asked = client.until(is_waiting).await;
    client.decide(&approval(&asked), "always").await;
    client.until(ends_run).await;
    client.say(None, "b", "bread").await;
    let frames = client.until(ends_run).await;
    assert!(!frames.iter().any(is_asked));
    assert_eq!(house.tools.effects().len(), 2);
    let mut other_profile = house.somebody("owner", "work").await;
    other_profile.say(None, "a", "eggs").await;
    other_profile.until(is_asked).await;
}

#[tokio::test]
async fn a_run_that_waits_for_consent_survives_a_restart_of_the_server() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let asked = client.until(is_waiting).await;
    let house = house.restart().await;
    let mut client = house.owner().await;
    let (thread, seq) = (asked.last().unwrap()["threadId"].clone(), asked.last().unwrap()["seq"].as_i64().unwrap());
    client.resume(thread.as_str().unwrap(), seq).await;
    client.decide(&approval(&asked), "once").await;
    let frames = client.until(ends_run).await;
    assert_eq!(frames[0]["seq"], seq + 1);
    assert_eq!((outcome(&frames), house.tools.effects()), ("succeeded", [("milk".to_owned(), 1)].into()));
}
