//! The events are AG-UI 1.0, as the protocol's own package judges them, and the frames are as the OpenAPI document has
//! them, as a validator of JSON Schema judges that.

use std::process::Stdio;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::peers::{peer, peers, root};
use super::server::{KEY, answer};
use super::ws_support::{House, ends_run, is, is_custom};

/// Text beside calls, foreign text, consent, a failure.
fn script(turn: &Turn) -> Reply {
    let text = |text: &str| Piece::Text(text.to_owned());
    let call = |name: &str| Piece::Call {
        id: format!("call_{name}"),
        name: format!("effects__{name}"),
        arguments: json!({"key": "k"}).to_string(),
    };
    match (turn.last_user().as_str(), turn.round()) {
        ("fail", _) => Reply::Status(401, "{}".to_owned()),
        ("break off", _) => Reply::Stream(vec![text("Well, "), text("I"), Piece::Cut]),
        (_, 0) => Reply::Stream(vec![text("Let me "), text("look."), call("look"), call("missing")]),
        (_, 1) => Reply::Stream(vec![call("effect")]),
        _ => Reply::text("done"),
    }
}

#[tokio::test]
async fn every_event_is_ag_ui() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    client.say(None, "one", "go").await;
    let mut frames = client.until(|frame| is_custom(frame, "run.state")).await;
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap().to_owned();
    for (id, text) in [("two", "break off"), ("three", "fail"), ("four", "go")] {
        client.say(Some(&thread), id, text).await;
        frames.extend(client.until(|frame| is_custom(frame, "run.state")).await);
    }
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    client.send(json!({"type": "run.submit", "clientMessageId": "five", "threadId": thread, "content": parts})).await;
    frames.extend(client.until(|frame| is_custom(frame, "run.state")).await);
    let decide = |frames: &[Value]| {
        let asked = frames.iter().rfind(|frame| is_custom(frame, "approval.requested")).unwrap();
        asked["event"]["value"]["approvalId"].clone()
    };
    client.decide(&decide(&frames), "always").await;
    for _ in 0..5 {
        frames.extend(client.until(ends_run).await);
    }
    // The same thread from the store: every text whole.
    let live = frames.len();
    let mut again = house.owner().await;
    again.resume(&thread, 0).await;
    frames.extend(again.arrived().await);
    assert!(frames[live..].iter().filter(|frame| ends_run(frame)).count() == 5);
    for kind in
        ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "TOOL_CALL_RESULT"]
    {
        assert!(frames.iter().any(|frame| is(frame, kind)), "{kind}");
    }
    let events = frames.iter().filter(|frame| frame["type"] == "event").map(|frame| format!("{}\n", frame["event"]));
    judge(&events.collect::<String>()).await;
}

/// Acknowledgements, refusals, a queue, consent, a title and a fork, all of them live and from the store.
#[tokio::test]
async fn every_frame_fits_the_schema_in_the_document() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    client.say(None, "one", "go").await;
    let mut frames = client.until(|frame| is_custom(frame, "approval.requested")).await;
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap().to_owned();
    let approval = frames.last().unwrap()["event"]["value"]["approvalId"].clone();
    client.say(Some(&thread), "two", "break off").await;
    frames.extend(client.until(|frame| frame["event"]["value"]["state"] == "queued").await);
    let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let joins = json!({"type": "run.submit", "clientMessageId": "three", "threadId": thread, "content": parts, "mode": "steer"});
    client.send(joins).await;
    client.send(json!({"type": "nonsense"})).await;
    client.send(json!({"type": "run.submit", "clientMessageId": "four", "content": 7})).await;
    for _ in 0..2 {
        frames.extend(client.until(|frame| frame["type"] == "error").await);
    }
    client.decide(&approval, "always").await;
    // The first run, which takes the third message in, and the one that waited behind it.
    frames.extend(
        client.until(|frame| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "joined").await,
    );
    for _ in 0..2 {
        frames.extend(client.until(ends_run).await);
    }
    let path = format!("/api/threads/{thread}");
    let renamed = house.server.request("PATCH", &path).bearer_auth(KEY).json(&json!({"title": "named"}));
    assert_eq!(answer(renamed).await.status, 200);
    frames.extend(client.until(|frame| is_custom(frame, "thread.changed")).await);
    let messages = house.server.get(&format!("{path}/messages?branch=head"), KEY).await.body;
    let tip = messages["items"].as_array().unwrap().last().unwrap()["id"].clone();
    let fork = house.server.request("POST", &format!("{path}/fork")).bearer_auth(KEY).json(&json!({"messageId": tip}));
    let fork = answer(fork).await.body["id"].as_str().unwrap().to_owned();
    for thread in [&thread, &fork] {
        let mut again = house.owner().await;
        again.resume(thread, 0).await;
        frames.extend(again.arrived().await);
    }
    for name in ["run.state", "approval.requested", "approval.decided", "thread.changed", "messages.copied"] {
        assert!(frames.iter().any(|frame| is_custom(frame, name)), "{name}");
    }
    assert!(frames.iter().any(|frame| frame["type"] == "ack"));
    judge_frames(&frames).await;
}

pub(crate) async fn judge(events: &str) {
    let mut judge = Command::new(peer("bin/node"));
    judge.arg(root().join("tests/peers/ag_ui.mjs"));
    verdict(judge, events).await;
}

/// Each fits the schema `ServerFrame`, and has no field that it does not name.
pub(crate) async fn judge_frames(frames: &[Value]) {
    let mut judge = Command::new(peer("bin/python"));
    judge.arg(root().join("tests/peers/frames.py")).arg(root().join("docs/openapi.json"));
    let lines = frames.iter().map(|frame| format!("{frame}\n")).collect::<Vec<_>>().concat();
    verdict(judge, &lines).await;
}

async fn verdict(mut judge: Command, lines: &str) {
    let mut judge = judge
        .env("ADJUTANT_PEERS_DIR", peers())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the test peers are installed: ./x peers");
    let mut stdin = judge.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let verdict = judge.wait_with_output().await.unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
}
