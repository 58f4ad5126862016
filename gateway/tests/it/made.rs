//! How messages were made, told with them: which model wrote an answer, how long a tool took, how long was thought. The same
//! live, in a replay, over REST, and of a copy.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::{KEY, answer};
use super::ws_support::{House, ends_run, is, is_custom};

fn script(turn: &Turn) -> Reply {
    match (turn.last_user().as_str(), turn.round()) {
        ("effect", 0) => Reply::call("effects__look", &json!({"key": "a"})),
        ("effect", 1) => Reply::call("effects__effect", &json!({"key": "b"})),
        ("think", _) => Reply::Stream(vec![Piece::Think("Twelve?".to_owned()), Piece::Text("Twelve.".to_owned())]),
        ("hold", _) => Reply::Stream(vec![Piece::Text("so far".to_owned()), Piece::Hold(Arc::new(Semaphore::new(0)))]),
        (text, _) => Reply::text(&format!("echo {text}")),
    }
}

async fn messages(house: &House, thread: &str) -> Vec<Value> {
    let page = house.server.get(&format!("/api/threads/{thread}/messages"), KEY).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().unwrap().clone()
}

/// Of each message: who wrote it, and whether a tool's time and that of a thought are told.
fn made(messages: &[Value]) -> Vec<(&str, Value, bool, bool)> {
    let told = |message: &Value, field: &str| message.get(field).is_some_and(Value::is_u64);
    messages
        .iter()
        .map(|message| {
            let role = message["role"].as_str().unwrap();
            (role, message["model"].clone(), told(message, "tookMs"), told(message, "thoughtMs"))
        })
        .collect()
}

/// Metadata of what is complete with these frames, by message.
fn metadata(frames: &[Value]) -> Vec<(Value, Value)> {
    let ends = |frame: &&Value| is(frame, "TEXT_MESSAGE_END") || is(frame, "TOOL_CALL_RESULT");
    let event = |frame: &Value| (frame["event"]["messageId"].clone(), frame["event"]["metadata"].clone());
    frames.iter().filter(ends).map(event).collect()
}

#[tokio::test]
async fn a_message_says_which_model_wrote_it_and_how_long_its_tool_took() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    client.say(None, "a", "effect").await;
    let mut live = client.until(|frame| is_custom(frame, "approval.requested")).await;
    let asked = live.last().unwrap().clone();
    let (thread, run) = (asked["threadId"].as_str().unwrap().to_owned(), asked["runId"].as_str().unwrap().to_owned());
    client.decide(&asked["event"]["value"]["approvalId"], "deny").await;
    live.extend(client.until(ends_run).await);
    let all = messages(&house, &thread).await;
    let model = json!("openai/scripted");
    assert_eq!(
        made(&all),
        [
            ("user", Value::Null, false, false),
            ("assistant", model.clone(), false, false),
            ("tool", Value::Null, true, false),
            ("assistant", model.clone(), false, false),
            // Nothing of it was started.
            ("tool", Value::Null, false, false),
            ("assistant", model.clone(), false, false),
        ]
    );

    // As the steps of the run have it.
    let steps = house.server.get(&format!("/api/runs/{run}"), KEY).await.body["steps"].clone();
    let look = steps.as_array().unwrap().iter().find(|step| step["tool"] == "look").unwrap();
    let at = |field: &str| look[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let exact = (at("finishedAt") - at("startedAt")).num_microseconds().unwrap();
    let told = all[2]["tookMs"].as_i64().unwrap();
    assert!((told * 1_000 - exact).abs() <= 500, "{told} ms were told of {exact} µs");

    // Live, and to whoever comes later.
    let result = |outcome: &str, took: Option<&Value>| match took {
        Some(took) => json!({"outcome": outcome, "tookMs": took}),
        None => json!({"outcome": outcome}),
    };
    let expected = [
        (all[2]["id"].clone(), result("succeeded", all[2].get("tookMs"))),
        (all[4]["id"].clone(), result("denied", None)),
        (all[5]["id"].clone(), json!({"model": model})),
    ];
    assert_eq!(metadata(&live), expected);
    let mut late = house.owner().await;
    late.resume(&thread, 0).await;
    assert_eq!(metadata(&late.until(ends_run).await), expected);

    // A copy was made by the same.
    let body = json!({"messageId": all[5]["id"]});
    let request = house.server.request("POST", &format!("/api/threads/{thread}/fork")).bearer_auth(KEY).json(&body);
    let fork = answer(request).await.body["id"].as_str().unwrap().to_owned();
    let copies = messages(&house, &fork).await;
    assert_eq!(made(&copies), made(&all));
    assert_eq!(copies[2]["tookMs"], all[2]["tookMs"]);
}

#[tokio::test]
async fn what_was_thought_has_its_time_and_what_was_cut_off_has_no_author() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    client.say(None, "a", "think").await;
    let thread = client.until(ends_run).await.pop().unwrap()["threadId"].as_str().unwrap().to_owned();
    client.say(Some(&thread), "b", "hold").await;
    let run = client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await.pop().unwrap()["runId"].clone();
    client.send(json!({"type": "run.cancel", "runId": run})).await;
    let frames = client.until(ends_run).await;
    let all = messages(&house, &thread).await;
    assert_eq!(
        made(&all),
        [
            ("user", Value::Null, false, false),
            ("assistant", json!("openai/scripted"), false, true),
            ("user", Value::Null, false, false),
            ("assistant", Value::Null, false, false),
        ]
    );
    assert_eq!(metadata(&frames), [(all[3]["id"].clone(), json!({"partial": true}))]);
}
