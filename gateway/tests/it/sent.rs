//! `GET /api/runs/{id}/context` against what the provider really received.

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};

use crate::openai_support::Door;
use crate::server::{Answer, KEY, answer};
use crate::ws_support::{Client, ends_run};

/// A message as the provider got it: role, text, calls, and the call that it answers.
fn received(message: &Value) -> Value {
    let text = match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    };
    let calls: Vec<Value> = message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| {
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
            json!([call["id"], call["function"]["name"], arguments])
        })
        .collect();
    json!({"role": message["role"], "text": text, "calls": calls, "answers": message["tool_call_id"]})
}

/// The same of a message as the context shows it.
fn shown(message: &Value) -> Value {
    let parts = message["content"].as_array().unwrap();
    let of = |kind: &'static str| parts.iter().filter(move |part| part["type"] == kind);
    let mut text: String = of("text").filter_map(|part| part["text"].as_str()).collect();
    text.extend(of("tool_result").filter_map(|part| part["content"].as_str()));
    let calls: Vec<Value> =
        of("tool_call").map(|part| json!([part["providerId"], part["name"], part["arguments"]])).collect();
    let answers = of("tool_result").next().map_or(Value::Null, |part| part["providerId"].clone());
    json!({"role": message["role"], "text": text, "calls": calls, "answers": answers})
}

fn assert_is_what_was_received(step: &Value, turn: &Turn) {
    let theirs: Vec<Value> = turn.messages().iter().map(received).collect();
    let ours: Vec<Value> = step["messages"].as_array().unwrap().iter().map(shown).collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    let none = Vec::new();
    let theirs: Vec<Value> = turn.body["tools"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .map(|tool| json!([tool["function"]["name"], tool["function"]["description"], tool["function"]["parameters"]]))
        .collect();
    let ours: Vec<Value> = step["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| json!([tool["name"], tool["description"], tool["inputSchema"]]))
        .collect();
    assert_eq!(ours, theirs);
}

/// All steps of a run, page by page.
async fn context(door: &Door, key: &str, run: &str) -> Vec<Value> {
    let mut steps = Vec::new();
    let mut after = String::new();
    loop {
        let page: Answer = door.server.get(&format!("/api/runs/{run}/context?after={after}"), key).await;
        assert_eq!(page.status, 200, "{page:?}");
        steps.extend(page.body["items"].as_array().unwrap().clone());
        match page.body["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return steps,
        }
    }
}

fn run_of(frames: &[Value]) -> String {
    frames.iter().find_map(|frame| frame["event"]["runId"].as_str()).unwrap().to_owned()
}

fn thread_of(frames: &[Value]) -> String {
    frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap().to_owned()
}

#[tokio::test]
async fn the_context_is_what_the_provider_received_step_by_step() {
    let door = Door::new(|turn| match (turn.last_user().as_str(), turn.round()) {
        ("look twice", 0) => {
            Reply::calls(&[("effects__look", json!({"key": "a"})), ("effects__look", json!({"key": "b"}))])
        }
        ("look twice", _) => Reply::text("both are there"),
        ("break off", _) => Reply::Stream(vec![Piece::Text("half an ans".to_owned()), Piece::Cut]),
        _ => Reply::text("yes"),
    })
    .await;
    let key = door.server.key("anna", "*", Role::Personal).await.secret;
    let put = async |body: Value| {
        let request = door.server.request("PUT", "/api/profiles/personal").header("x-api-key", &key);
        assert_eq!(answer(request.json(&body)).await.status, 200);
    };
    put(json!({"systemPrompt": "FIRST", "userContext": "I am Anna.", "timeZone": "Europe/Berlin"})).await;
    let mut client = Client::open(door.server.address, &key).await;

    client.say(None, "1", "look twice").await;
    let frames = client.until(ends_run).await;
    let (thread, tools) = (thread_of(&frames), run_of(&frames));
    client.say(Some(&thread), "2", "break off").await;
    let partial = run_of(&client.until(ends_run).await);
    client.say(Some(&thread), "3", "and now?").await;
    let last = run_of(&client.until(ends_run).await);
    // What is changed afterwards changes nothing of what was sent.
    put(json!({"systemPrompt": "SECOND"})).await;

    let turns = door.provider.turns();
    assert_eq!(turns.len(), 4);
    let steps = context(&door, &key, &tools).await;
    let numbers: Vec<&Value> = steps.iter().map(|step| &step["number"]).collect();
    assert_eq!(numbers, [&json!(0), &json!(1)]);
    assert_is_what_was_received(&steps[0], &turns[0]);
    assert_is_what_was_received(&steps[1], &turns[1]);
    assert!(!steps[1]["tools"].as_array().unwrap().is_empty());
    assert!(steps[1]["messages"][3]["content"][0]["content"].as_str().unwrap().starts_with("<tool_output"));
    let partial = context(&door, &key, &partial).await;
    assert_is_what_was_received(&partial[0], &turns[2]);
    let last = context(&door, &key, &last).await;
    assert_is_what_was_received(&last[0], &turns[3]);
    let text = last[0].to_string();
    assert!(
        text.contains("half an ans")
            && text.contains("cut off")
            && text.contains("FIRST")
            && text.contains("I am Anna.")
    );
    assert_eq!(last[0]["parameters"]["maxOutputTokens"], limits::ANSWER_TOKENS);
    assert!(!text.contains("SECOND") && !text.contains("sk-"));

    // Pieces are stored once, and all of them go with their thread.
    let admin = door.server.db.admin();
    let (pieces, named): (i64, i64) = sqlx::query_as(
        "select (select count(*) from sent_pieces), (select sum(cardinality(messages) + 1)::bigint from sent_steps)",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert!(pieces < named, "{pieces} pieces for {named} mentions");
    sqlx::query("delete from threads").execute(&admin).await.unwrap();
    let left: i64 = sqlx::query_scalar("select (select count(*) from sent_pieces) + (select count(*) from sent_steps)")
        .fetch_one(&admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_context_shows_the_cut_of_the_budget_and_its_pages_are_bounded() {
    let door = Door::new(|turn| match turn.round() {
        round if turn.last_user().starts_with("often") && round < 12 => {
            // A repeated id of a call would be made unique on its way.
            let (id, name) = (format!("call_{round}"), "effects__look".to_owned());
            let arguments = json!({"key": format!("k{round}")}).to_string();
            Reply::Stream(vec![Piece::Call { id, name, arguments }])
        }
        _ => Reply::text("yes"),
    })
    .await;
    let mut client = Client::open(door.server.address, KEY).await;
    let long = |letter: &str| letter.repeat(limits::PROMPT_BYTES * 2 / 5);
    client.say(None, "1", &long("a")).await;
    let thread = thread_of(&client.until(ends_run).await);
    client.say(Some(&thread), "2", &long("b")).await;
    client.until(ends_run).await;
    client.say(Some(&thread), "3", &format!("often {}", long("c"))).await;
    let run = run_of(&client.until(ends_run).await);
    let steps = context(&door, KEY, &run).await;
    let turns = door.provider.turns();
    assert_eq!((steps.len(), turns.len()), (13, 15));
    for (step, turn) in steps.iter().zip(&turns[2..]) {
        assert_is_what_was_received(step, turn);
    }
    let first = steps[0].to_string();
    assert!(!first.contains("aaa") && first.contains("bbb") && first.contains("ccc"), "the oldest did not fit");
    let page = door.server.get(&format!("/api/runs/{run}/context"), KEY).await.body;
    let items = page["items"].as_array().unwrap().len();
    assert!(items < 10 && page["next"].is_string(), "{items} steps of this size are more than a page");
    for bad in ["x", "-", "99999999999"] {
        let path = format!("/api/runs/{run}/context?after={bad}");
        door.server.get(&path, KEY).await.is_problem(400, "invalid_cursor", bad);
    }
}
