//! Messages over the WebSocket: acknowledged, answered, queued, cancelled.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ws_support::{House, acks, ends_run, is, is_custom, text_of, with_whole_texts};
use super::ws_transcript::renamed;

fn words(pieces: &[&str]) -> Reply {
    Reply::Stream(pieces.iter().map(|piece| Piece::Text((*piece).to_owned())).collect())
}

fn greeting(_: &Turn) -> Reply {
    words(&["Grüß ", "dich 🐈", ", du."])
}

/// Says `before `, waits for a permit, says `after`; greets everybody else.
fn held(hold: &Arc<Semaphore>) -> impl Fn(&Turn) -> Reply + Send + Sync + 'static {
    let hold = Arc::clone(hold);
    move |turn| {
        if turn.last_user().starts_with("hold") {
            let (before, after) = (Piece::Text("before ".to_owned()), Piece::Text("after".to_owned()));
            Reply::Stream(vec![before, Piece::Hold(Arc::clone(&hold)), after])
        } else {
            greeting(turn)
        }
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_and_answered_event_by_event() {
    let house = House::new(greeting).await;
    let mut client = house.owner().await;
    client.say(None, "first", "hello").await;
    let mut frames = client.until_all(&[&ends_run, &acks("first")]).await;
    let ack = frames.remove(frames.iter().position(|frame| frame["type"] == "ack").unwrap());
    let mut names = HashMap::new();
    let frames = with_whole_texts(std::iter::once(&ack).chain(&frames));
    let all: Vec<Value> = frames.iter().map(|frame| renamed(frame, &mut names)).collect();
    let event = |seq: Value, offset: Value, event: Value| {
        let mut frame = json!({"type": "event", "threadId": "#2", "runId": "#1", "event": event});
        for (name, value) in [("seq", seq), ("offset", offset)] {
            if !value.is_null() {
                frame[name] = value;
            }
        }
        frame
    };
    let none = Value::Null;
    let said = json!({"id": "#0", "role": "user", "content": "hello", "metadata": {"clientMessageId": "first"}});
    let input = json!({"threadId": "#2", "runId": "#1", "messages": [said], "tools": [], "context": []});
    let piece = |delta| json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "#3", "delta": delta});
    let expected = [
        json!({"type": "ack", "clientMessageId": "first", "threadId": "#2", "messageId": "#0", "runId": "#1", "seq": 1}),
        event(json!(1), none.clone(), json!({"type": "RUN_STARTED", "threadId": "#2", "runId": "#1", "input": input})),
        event(
            none.clone(),
            none.clone(),
            json!({"type": "TEXT_MESSAGE_START", "messageId": "#3", "role": "assistant"}),
        ),
        event(none.clone(), json!(0), piece("Grüß dich 🐈, du.")),
        event(
            json!(2),
            none.clone(),
            json!({"type": "TEXT_MESSAGE_END", "messageId": "#3", "metadata": {"model": "openai/scripted"}}),
        ),
        event(
            json!(3),
            none,
            json!({
                "type": "RUN_FINISHED", "threadId": "#2", "runId": "#1", "outcome": {"type": "success"},
                "usage": [{
                    "model": "scripted", "inputTokens": 11, "outputTokens": 7, "totalTokens": 18, "cachedInputTokens": 0
                }],
            }),
        ),
    ];
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_resent_message_gets_the_same_acknowledgement_and_makes_one_run() {
    let house = House::new(greeting).await;
    let mut client = house.owner().await;
    let is_ack = |frame: &Value| frame["type"] == "ack";
    client.say(None, "once", "hello").await;
    client.say(None, "once", "hello").await;
    let mut frames = client.until(is_ack).await;
    frames.extend(client.until(is_ack).await);
    if !frames.iter().any(ends_run) {
        frames.extend(client.until(ends_run).await);
    }
    let mut other = house.owner().await;
    other.say(None, "once", "something else").await;
    frames.extend(other.until(is_ack).await);
    let acks: Vec<&Value> = frames.iter().filter(|frame| is_ack(frame)).collect();
    assert_eq!(acks, [acks[0]; 3]);
    assert_eq!(frames.iter().filter(|frame| is(frame, "RUN_STARTED")).count(), 1);
    assert_eq!(client.arrived().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_message_sent_while_a_run_is_going_waits_and_then_follows_its_answer() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(held(&hold)).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hold on").await;
    let mut frames = client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    let thread = frames[0]["threadId"].as_str().unwrap().to_owned();
    client.say(Some(&thread), "two", "hello").await;
    frames.extend(client.until(|frame| is_custom(frame, "run.state")).await);
    assert_eq!(frames.last().unwrap()["event"]["value"], json!({"state": "queued"}));
    hold.add_permits(1);
    frames.extend(client.until(ends_run).await);
    let first_answer = frames.iter().find(|frame| is(frame, "TEXT_MESSAGE_END")).unwrap()["event"]["messageId"].clone();
    frames.extend(client.until(ends_run).await);
    let begun = frames.iter().rfind(|frame| is_custom(frame, "run.state")).unwrap();
    assert_eq!(begun["event"]["value"], json!({"state": "running", "parentId": first_answer}));
    let seqs: Vec<i64> =
        frames.iter().filter(|frame| is_event(frame)).filter_map(|frame| frame["seq"].as_i64()).collect();
    assert_eq!(seqs, (1..=7).collect::<Vec<i64>>());
    assert_eq!(text_of(&frames), "before afterGrüß dich 🐈, du.");
}

fn is_event(frame: &Value) -> bool {
    frame["type"] == "event"
}

#[tokio::test]
async fn cancelling_a_run_keeps_what_was_said_and_says_so() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(held(&hold)).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hold on").await;
    let frames = client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    let run = frames.last().unwrap()["runId"].clone();
    client.send(json!({"type": "run.cancel", "runId": run})).await;
    let frames = client.until(ends_run).await;
    let end = frames.iter().find(|frame| is(frame, "TEXT_MESSAGE_END")).unwrap();
    assert_eq!(end["event"]["metadata"], json!({"partial": true}));
    assert_eq!(frames.last().unwrap()["event"]["outcome"], json!({"type": "cancelled"}));
    client.send(json!({"type": "run.cancel", "runId": run})).await;
    assert_eq!(client.arrived().await, [] as [Value; 0], "cancelling what has ended changes nothing");
}

#[tokio::test]
async fn a_socket_carries_all_threads_of_its_scope_and_nothing_of_another() {
    let house = House::new(greeting).await;
    let mut talking = house.owner().await;
    let mut listening = house.owner().await;
    let mut other_profile = house.somebody("owner", "work").await;
    let mut stranger = house.somebody("berta", "personal").await;
    for id in ["one", "two"] {
        talking.say(None, id, "hello").await;
        let spoken = talking.until(ends_run).await;
        let heard = listening.until(ends_run).await;
        let events = spoken.iter().filter(|frame| is_event(frame));
        assert_eq!(with_whole_texts(events), with_whole_texts(&heard));
    }
    assert_eq!(other_profile.arrived().await, [] as [Value; 0]);
    assert_eq!(stranger.arrived().await, [] as [Value; 0]);
    stranger.say(None, "one", "hello").await;
    let own = stranger.until(ends_run).await;
    assert_eq!(own.iter().filter(|frame| is(frame, "RUN_STARTED")).count(), 1, "client message ids are of one scope");
    assert_eq!(listening.arrived().await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_a_model_writes_fast_comes_in_fewer_pieces_and_whole() {
    const PIECES: usize = 500;
    let text = |index: usize| format!("{index}🐈 ");
    let pieces = move |_: &Turn| Reply::Stream((0..PIECES).map(|index| Piece::Text(text(index))).collect());
    let house = House::new(pieces).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hello").await;
    let frames = client.until(ends_run).await;
    let told: Vec<Value> = frames.into_iter().filter(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).collect();
    assert!(told.len() < PIECES, "{} pieces", told.len());
    let whole = with_whole_texts(&told);
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0]["event"]["delta"], json!((0..PIECES).map(text).collect::<String>()));
}

#[tokio::test]
async fn a_run_that_fails_ends_with_its_code() {
    let house = House::new(|_| Reply::Status(401, "{}".to_owned())).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hello").await;
    let frames = client.until(ends_run).await;
    let error = &frames.last().unwrap()["event"];
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("RUN_ERROR"), Some("model_unauthorized")));
}
