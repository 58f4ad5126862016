//! The events are AG-UI 1.0, as the protocol's own package judges them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

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

pub(crate) async fn judge(events: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let peers = std::env::var_os("ADJUTANT_PEERS_DIR").map_or_else(|| root.join(".peers"), PathBuf::from);
    let mut judge = Command::new(peers.join("bin/node"))
        .arg(root.join("tests/peers/ag_ui.mjs"))
        .env("ADJUTANT_PEERS_DIR", &peers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the test peers are installed: ./x peers");
    let mut stdin = judge.stdin.take().unwrap();
    stdin.write_all(events.as_bytes()).await.unwrap();
    drop(stdin);
    let verdict = judge.wait_with_output().await.unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
}
