//! Approvals, questions, consents and policies over REST, and messages that steer, through the whole server.

use adjutant_core::ids::QuestionId;
use adjutant_core::message::ForeignText;
use adjutant_core::question::{Field, FieldKind, Question};
use adjutant_core::scope::{Origin, Role, Scope, UserId};
use adjutant_store::questions;
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use super::server::{Answer, KEY, TestServer, answer, profile};
use super::ws_support::{House, acks, ends_run, is_custom, text_of};

/// A call that asks after the run has read something.
fn effect(turn: &Turn) -> Reply {
    match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "first"})),
        1 => Reply::call("effects__effect", &json!({"key": turn.last_user()})),
        _ => Reply::text(&turn.results().join(" / ")),
    }
}

fn is_waiting(frame: &Value) -> bool {
    is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "waiting"
}

async fn send(server: &TestServer, method: &str, path: &str, body: &Value) -> Answer {
    answer(server.request(method, path).header("x-api-key", KEY).json(body)).await
}

async fn pending(server: &TestServer, what: &str) -> Value {
    server.get(&format!("/api/{what}?state=pending"), KEY).await.body["items"].clone()
}

#[tokio::test]
async fn an_approval_is_listed_and_decided_over_rest() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let frames = client.until(is_waiting).await;
    let open = pending(&house.server, "approvals").await;
    // Whoever reads the list knows as much as whoever heard it.
    let heard = frames.iter().find(|frame| is_custom(frame, "approval.requested")).unwrap();
    assert_eq!((&open[0]["why"], &heard["event"]["value"]["why"]), (&json!("foreign_text"), &json!("foreign_text")));
    let (asked, path) = (&open[0], format!("/api/approvals/{}", open[0]["id"].as_str().unwrap()));
    assert_eq!((&asked["name"], &asked["arguments"]), (&json!("effects__effect"), &json!({"key": "milk"})));
    assert_eq!((&asked["state"], &asked["risk"]), (&json!("pending"), &json!("effects")));
    send(&house.server, "POST", &path, &json!({"decision": "perhaps"})).await.is_problem(
        400,
        "invalid_body",
        "unknown",
    );
    let long = json!({"decision": "deny", "reason": "x".repeat(2_001)});
    send(&house.server, "POST", &path, &long).await.is_problem(400, "reason_too_long", "long");
    let decided = send(&house.server, "POST", &path, &json!({"decision": "deny", "reason": "we have some"})).await;
    assert_eq!(
        (decided.status, &decided.body["state"], &decided.body["decision"]),
        (200, &json!("denied"), &json!("deny"))
    );
    let frames = client.until(ends_run).await;
    assert!(text_of(&frames).contains("we have some"), "{}", text_of(&frames));
    send(&house.server, "POST", &path, &json!({"decision": "once"})).await.is_problem(409, "already_decided", "late");
    assert_eq!(pending(&house.server, "approvals").await, json!([]));
    assert_eq!(
        house.server.get("/api/approvals?state=all&limit=1", KEY).await.body["items"][0]["reason"],
        "we have some"
    );
    house.server.get("/api/approvals?state=open", KEY).await.is_problem(400, "invalid_state", "state");
    house.server.get("/api/approvals?before=x", KEY).await.is_problem(400, "invalid_cursor", "cursor");
    assert_eq!(house.tools.effects().len(), 0);
}

#[tokio::test]
async fn what_was_allowed_for_good_is_listed_and_taken_back() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    client.until(is_waiting).await;
    let open = pending(&house.server, "approvals").await;
    let path = format!("/api/approvals/{}", open[0]["id"].as_str().unwrap());
    send(&house.server, "POST", &path, &json!({"decision": "always"})).await;
    client.until(ends_run).await;
    client.say(None, "b", "bread").await;
    client.until(ends_run).await;
    let consents = house.server.get("/api/consents?agent=cos", KEY).await.body["items"].clone();
    assert_eq!((&consents[0]["server"], &consents[0]["tool"]), (&json!("effects"), &json!("effect")));
    assert_eq!(house.server.get("/api/consents?agent=another", KEY).await.body["items"], json!([]));
    let revoke =
        async || answer(house.server.request("DELETE", "/api/consents/effects/effect").header("x-api-key", KEY));
    assert_eq!(revoke().await.await.status, 204);
    revoke().await.await.is_problem(404, "not_found", "again");
    client.say(None, "c", "eggs").await;
    client.until(is_waiting).await;
    assert_eq!(house.tools.effects().len(), 2);
}

#[tokio::test]
async fn a_policy_switches_a_tool_off_and_on() {
    let house = House::new(|turn| match turn.round() {
        0 => Reply::call("effects__effect", &json!({"key": turn.last_user()})),
        _ => Reply::text(&turn.tool_names().join(" ")),
    })
    .await;
    let server = &house.server;
    let tool = "/api/policies/effects/effect";
    let put = send(server, "PUT", tool, &json!({"policy": "deny"})).await;
    assert_eq!((put.status, &put.body["tool"], &put.body["policy"]), (200, &json!("effect"), &json!("deny")));
    assert_eq!(
        send(server, "PUT", "/api/policies/effects", &json!({"policy": "auto"})).await.body["tool"],
        Value::Null
    );
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    assert_eq!(text_of(&client.until(ends_run).await), "effects__look");
    assert_eq!(house.tools.effects().len(), 0);
    let delete = async |path: &str| answer(server.request("DELETE", path).header("x-api-key", KEY)).await;
    assert_eq!(delete(tool).await.status, 204);
    delete(tool).await.is_problem(404, "not_found", "again");
    client.say(None, "b", "bread").await;
    client.until(ends_run).await;
    assert_eq!(house.tools.effects(), [("bread".to_owned(), 1)].into());
    send(server, "PUT", "/api/policies/effects", &json!({"policy": "later"})).await.is_problem(
        400,
        "invalid_body",
        "policy",
    );
    let long = format!("/api/policies/{}", "x".repeat(129));
    send(server, "PUT", &long, &json!({"policy": "ask"})).await.is_problem(400, "invalid_name", "name");
    send(server, "PUT", "/api/policies/a%00b", &json!({"policy": "ask"})).await.is_problem(400, "invalid_name", "nul");
    let policies = server.get("/api/policies", KEY).await.body["items"].clone();
    assert_eq!((policies.as_array().unwrap().len(), &policies[0]["policy"]), (1, &json!("auto")));
}

#[tokio::test]
async fn a_question_is_listed_and_answered_over_rest_and_the_socket() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let frames = client.until(is_waiting).await;
    let asked = frames.iter().find(|frame| is_custom(frame, "approval.requested")).unwrap();
    let run = asked["runId"].as_str().unwrap().parse().unwrap();
    let call = asked["event"]["value"]["toolCallId"].as_str().unwrap().parse().unwrap();
    let owner = Scope::new(UserId::parse("owner").unwrap(), profile("personal"), Role::Personal, Origin::Rest).owner();
    let kind = FieldKind::Integer { minimum: Some(1), maximum: None };
    let field = Field { name: "count".into(), title: None, description: None, required: true, kind, default: None };
    let form = Question { message: ForeignText::new("How many?"), fields: vec![field] };
    let (first, second) = (QuestionId::new(), QuestionId::new());
    house
        .server
        .app
        .store()
        .scoped(&owner, async |tx| {
            questions::insert(tx, first, run, call, &form).await?;
            questions::insert(tx, second, run, call, &form).await
        })
        .await
        .unwrap();
    let open = pending(&house.server, "questions").await;
    assert_eq!(open[1]["id"], json!(first));
    assert_eq!((&open[1]["message"], &open[1]["fields"][0]["kind"]), (&json!("How many?"), &json!("integer")));
    let path = format!("/api/questions/{first}");
    let wrong = json!({"action": "accept", "values": {"count": 0}});
    send(&house.server, "POST", &path, &wrong).await.is_problem(400, "invalid_answer", "zero");
    let right = json!({"action": "accept", "values": {"count": 2}});
    let answered = send(&house.server, "POST", &path, &right).await;
    assert_eq!((answered.status, &answered.body["state"]), (200, &json!("accepted")));
    send(&house.server, "POST", &path, &right).await.is_problem(409, "already_answered", "twice");
    client.send(json!({"type": "question.answer", "questionId": second, "action": "decline"})).await;
    let seen = client.until(|frame| frame["event"]["value"]["questionId"] == json!(second)).await;
    assert_eq!(seen.last().unwrap()["event"]["value"]["action"], "decline");
    client.send(json!({"type": "question.answer", "questionId": second, "action": "accept", "values": {}})).await;
    assert_eq!(client.error().await["code"], "already_answered");
    assert_eq!(pending(&house.server, "questions").await, json!([]));
}

#[tokio::test]
async fn a_message_that_steers_joins_the_run_that_waits() {
    let house = House::new(effect).await;
    let mut client = house.owner().await;
    client.say(None, "a", "milk").await;
    let frames = client.until(is_waiting).await;
    let thread = frames.last().unwrap()["threadId"].clone();
    let steer = json!({"type": "run.submit", "clientMessageId": "b", "threadId": thread, "content": "and bread", "mode": "steer"});
    client.send(steer.clone()).await;
    let ack = client.until(acks("b")).await.pop().unwrap();
    let open = pending(&house.server, "approvals").await;
    let path = format!("/api/approvals/{}", open[0]["id"].as_str().unwrap());
    send(&house.server, "POST", &path, &json!({"decision": "once"})).await;
    let joined = client.until(|frame| frame["event"]["value"]["state"] == "joined").await.pop().unwrap();
    assert_eq!(joined["runId"], ack["runId"]);
    assert_eq!(joined["event"]["value"]["joinedRunId"], frames.last().unwrap()["runId"]);
    client.send(steer).await;
    let again = client.until(|frame| frame["type"] == "ack").await.pop().unwrap();
    assert_eq!(again, ack, "the first ack again");
    let run = house.server.get(&format!("/api/runs/{}", ack["runId"].as_str().unwrap()), KEY).await.body;
    assert_eq!((&run["state"], &run["joinedRunId"]), (&json!("joined"), &frames.last().unwrap()["runId"]));
}
