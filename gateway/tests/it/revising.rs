//! Messages that are rewritten while they wait: told to everybody, in place, once; and refused when their turn has come.

use std::sync::Arc;

use adjutant_core::ids::{FileId, RunId};
use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::replicas::{beside_at, heard};
use super::server::{Answer, KEY, answer};
use super::waiting_messages::{Held, texts};
use super::ws_support::{Client, House, acks, ends_run, is, is_custom};
use super::ws_transcript::Transcript;

impl Held {
    async fn revise(&self, ack: &Value, body: &Value) -> Answer {
        self.send("PATCH", &path(ack), body).await
    }

    async fn last_seq(&self) -> i64 {
        let thread = self.house.server.get(&format!("/api/threads/{}", self.thread), KEY).await;
        thread.body["lastSeq"].as_i64().unwrap()
    }
}

fn path(ack: &Value) -> String {
    format!("/api/runs/{}", ack["runId"].as_str().unwrap())
}

/// What a client knows that reads the thread from this event on.
async fn read(house: &House, thread: &str, mut transcript: Transcript) -> Value {
    let mut client = house.owner().await;
    client.resume(thread, transcript.last).await;
    transcript.apply_all(&client.arrived().await);
    transcript.normal()
}

#[tokio::test]
async fn a_message_that_waits_is_rewritten_where_it_stands_and_everybody_knows_the_same() {
    let mut held = Held::new().await;
    let one = held.waits("one", &[]).await;
    let two = held.waits("two", &[]).await;
    // One socket hears everything as it happens, another one missed it from here on.
    let mut live = Transcript::default();
    let mut listening = held.house.owner().await;
    listening.resume(&held.thread, 0).await;
    live.apply_all(&listening.arrived().await);
    let mut missed = Transcript::default();
    let mut absent = held.house.owner().await;
    absent.resume(&held.thread, 0).await;
    missed.apply_all(&absent.arrived().await);
    drop(absent);
    assert_eq!(live.last, missed.last);

    let before = held.last_seq().await;
    for content in [json!("first other"), json!([{"type": "text", "text": "say another"}])] {
        let changed = held.revise(&one, &json!({"content": content})).await;
        assert_eq!((changed.status, &changed.body), (200, &json!({"runId": one["runId"]})), "{changed:?}");
    }
    let again = held.revise(&one, &json!({"content": "say another"})).await;
    assert_eq!((again.status, held.last_seq().await), (200, before + 2), "what it says already is no change");
    let all = held.messages("").await;
    assert_eq!(texts(&all), ["hold", "say another", "say two"]);
    assert_eq!((&all[1]["id"], &all[1]["seq"]), (&one["messageId"], &one["seq"]));
    let told = listening.until(|frame| frame["seq"] == json!(before + 2)).await;
    let started = told.iter().rfind(|frame| is(frame, "RUN_STARTED")).unwrap();
    let input = &started["event"]["input"]["messages"];
    assert_eq!(started["runId"], one["runId"]);
    assert_eq!(
        input,
        &json!([{"id": one["messageId"], "role": "user", "content": "say another", "metadata": {"clientMessageId": "one"}}])
    );
    assert_eq!(told.last().unwrap()["event"]["value"], json!({"state": "queued"}));
    live.apply_all(&told);

    // The message that was sent is sent once more: it is the same, as it is now.
    held.client
        .send(json!({"type": "run.submit", "clientMessageId": "one", "threadId": held.thread, "content": "say one"}))
        .await;
    assert_eq!(held.client.until(acks("one")).await.pop().unwrap(), one);
    held.gate.add_permits(1);
    let ended = |frame: &Value| ends_run(frame) && frame["runId"] == two["runId"];
    live.apply_all(&listening.until(ended).await);
    let shown = held.messages("?branch=head").await;
    assert_eq!(texts(&shown), ["hold", "held", "say another", "echo say another", "say two", "echo say two"]);
    let asked: Vec<String> = held.house.provider.turns().iter().map(Turn::last_user).collect();
    assert_eq!(asked, ["hold", "say another", "say two"]);
    let whole = live.normal();
    assert_eq!(read(&held.house, &held.thread, Transcript::default()).await, whole);
    assert_eq!(read(&held.house, &held.thread, missed).await, whole);

    // Its turn has come.
    let late = held.revise(&one, &json!({"content": "too late"})).await;
    late.is_problem(409, "run_not_queued", "its turn has come");
    let same = held.revise(&one, &json!({"content": "say another"})).await;
    assert_eq!(same.status, 200, "an answer that was lost is asked for again");
    assert_eq!(texts(&held.messages("?branch=head").await), texts(&shown));
}

#[tokio::test]
async fn only_what_waits_and_was_brought_can_be_rewritten_and_only_by_a_whole_message() {
    let mut held = Held::new().await;
    let waits = held.waits("waits", &[]).await;
    let gone = held.waits("gone", &[]).await;
    held.cancel(&gone).await;
    // A further answer brings no message.
    held.client
        .send(json!({"type": "run.retry", "clientMessageId": "r", "threadId": held.thread,
            "messageId": held.first["messageId"]}))
        .await;
    let again = held.client.until(acks("r")).await.pop().unwrap();
    let before = held.last_seq().await;
    for ack in [&held.first, &gone, &again] {
        let refused = held.revise(ack, &json!({"content": "other"})).await;
        refused.is_problem(409, "run_not_queued", &ack.to_string());
    }
    for (body, status, code) in [
        (json!({}), 400, "invalid_body"),
        (json!({"content": 7}), 400, "invalid_body"),
        (json!({"content": " "}), 400, "message_empty"),
        (json!({"content": "x".repeat(limits::MESSAGE_BYTES + 1)}), 413, "message_too_long"),
        (json!({"content": [{"type": "video"}]}), 400, "unsupported_part"),
        (json!({"content": [{"type": "file", "fileId": FileId::new()}]}), 404, "file_not_found"),
        (json!({"content": "x", "mode": "later"}), 400, "unsupported_mode"),
        (json!({"content": "x", "mode": 7}), 400, "invalid_body"),
    ] {
        held.revise(&waits, &body).await.is_problem(status, code, code);
    }
    let nobodys = json!({"runId": RunId::new()});
    held.revise(&nobodys, &json!({"content": "x"})).await.is_problem(404, "not_found", "an unknown run");
    for (user, profile) in [("owner", "work"), ("ben", "personal")] {
        let key = held.house.server.key(user, profile, Role::Admin).await.secret;
        let body = json!({"content": "not mine"});
        let foreign = answer(held.house.server.request("PATCH", &path(&waits)).bearer_auth(&key).json(&body)).await;
        foreign.is_problem(404, "not_found", "a foreign run");
    }
    assert_eq!((held.last_seq().await, texts(&held.messages("").await)[1]), (before, "say waits"));
}

#[tokio::test]
async fn a_rewritten_text_keeps_its_files_and_rewritten_parts_name_them() {
    let mut held = Held::new().await;
    let mut files = Vec::new();
    for name in ["a.txt", "b.txt"] {
        let request = held.house.server.request("POST", &format!("/api/files?name={name}")).bearer_auth(KEY);
        files.push(answer(request.body(name)).await.body["id"].clone());
    }
    let part = |file: &Value| json!({"type": "file", "fileId": file});
    let words = |text: &str| json!({"type": "text", "text": text});
    let content = json!([words("read"), part(&files[0])]);
    let ack = held.waits("read", &[("content", &content)]).await;
    let named = async |held: &Held| {
        let message = held.messages("").await.remove(1);
        let parts = message["content"].as_array().unwrap().clone();
        parts
            .into_iter()
            .map(|part| part["fileId"].as_str().or(part["text"].as_str()).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let id = |index: usize| files[index].as_str().unwrap().to_owned();
    let deleted = async |held: &Held, index: usize| {
        answer(held.house.server.request("DELETE", &format!("/api/files/{}", id(index))).bearer_auth(KEY)).await.status
    };
    assert_eq!(held.revise(&ack, &json!({"content": "read well"})).await.status, 200);
    assert_eq!(named(&held).await, ["read well".to_owned(), id(0)]);
    assert_eq!(held.revise(&ack, &json!({"content": [words("read"), part(&files[1])]})).await.status, 200);
    assert_eq!(named(&held).await, ["read".to_owned(), id(1)]);
    assert_eq!((deleted(&held, 0).await, deleted(&held, 1).await), (204, 409), "one is named no more, the other is");
    held.gate.add_permits(1);
    held.client.until(|frame| ends_run(frame) && frame["runId"] == ack["runId"]).await;
    let sent = held.house.provider.turns().pop().unwrap().body.to_string();
    assert!(sent.contains("b.txt") && !sent.contains("a.txt"), "{sent}");
}

#[tokio::test]
async fn what_waits_can_be_made_to_steer() {
    let gate = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let house = House::new(move |turn: &Turn| match (turn.last_user().as_str(), turn.round()) {
        ("buy milk", 0) => {
            let call = Piece::Call {
                id: "c".to_owned(),
                name: "effects__look".to_owned(),
                arguments: json!({"key": "k"}).to_string(),
            };
            Reply::Stream(vec![Piece::Text("Let me look.".to_owned()), Piece::Hold(Arc::clone(&opens)), call])
        }
        (text, _) => Reply::text(&format!("echo {text}")),
    })
    .await;
    let mut client = house.owner().await;
    client.say(None, "a", "buy milk").await;
    let frames = client.until_all(&[&|frame| is(frame, "TEXT_MESSAGE_CONTENT"), &acks("a")]).await;
    let first = frames.into_iter().find(acks("a")).unwrap();
    client.say(first["threadId"].as_str(), "b", "and bread").await;
    let waits = client.until(acks("b")).await.pop().unwrap();
    let body = json!({"content": "and butter", "mode": "steer"});
    let changed = answer(house.server.request("PATCH", &path(&waits)).bearer_auth(KEY).json(&body)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    gate.add_permits(1);
    let joined = client.until(|frame| frame["event"]["value"]["state"] == "joined").await.pop().unwrap();
    assert_eq!((&joined["runId"], &joined["event"]["value"]["joinedRunId"]), (&waits["runId"], &first["runId"]));
    client.until(ends_run).await;
    assert_eq!(house.provider.turns().last().unwrap().last_user(), "and butter");
}

#[tokio::test]
async fn two_replicas_rewrite_a_message_once_and_tell_each_other() {
    let mut held = Held::new().await;
    let waits = held.waits("waits", &[]).await;
    let model = held.house.provider.base_url();
    let settings = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "scripted"), ("OPENAI_BASE_URL", model.as_str())];
    let (second, address) = beside_at(&held.house.server, &settings).await;
    heard(&held.house.server.app, &second).await;
    heard(&second, &held.house.server.app).await;
    let mut other = Client::open(address, KEY).await;
    let before = held.last_seq().await;
    let client = reqwest::Client::new();
    let revise = |address, content: &str| {
        let request = client.patch(format!("http://{address}{}", path(&waits))).bearer_auth(KEY);
        answer(request.json(&json!({"content": content})))
    };
    let first = held.house.server.address;
    let (here, there) = tokio::join!(revise(first, "say both"), revise(address, "say both"));
    assert_eq!((here.status, there.status), (200, 200));
    assert_eq!(held.last_seq().await, before + 1, "the same from two sides is one change");
    assert_eq!(revise(address, "say there").await.status, 200);
    let is_last = |frame: &Value| frame["seq"] == json!(before + 2);
    for socket in [&mut held.client, &mut other] {
        let told = socket.until(is_last).await;
        let started = told.iter().rfind(|frame| is(frame, "RUN_STARTED")).unwrap();
        assert_eq!(started["event"]["input"]["messages"][0]["content"], "say there");
        assert!(is_custom(told.last().unwrap(), "run.state"));
    }
    held.gate.add_permits(1);
    held.client.until(|frame| ends_run(frame) && frame["runId"] == waits["runId"]).await;
    assert_eq!(held.house.provider.turns().last().unwrap().last_user(), "say there");
    second.supervisor().stop().await;
}
