//! Answers of the OpenAI door: whole and streamed, with tools of our own that nobody sees.

use std::sync::Arc;

use adjutant_engine::events::event::{EventBody, FinishedOutcome};
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::openai_support::{Door, Said, assistant, chat, streamed, until_ended, user, with};
use crate::server::{KEY, answer, soon};

/// Looks something up between two sentences.
fn looks(turn: &Turn) -> Reply {
    match turn.round() {
        0 => Reply::Stream(vec![
            Piece::Text("Let me look. ".to_owned()),
            Piece::Call {
                id: "x".to_owned(),
                name: "effects__look".to_owned(),
                arguments: "{\"key\":\"a\"}".to_owned(),
            },
        ]),
        _ => Reply::text(&format!("You said {}, and there is 1 of {}.", turn.last_user(), turn.results().len())),
    }
}

const LOOKED: &str = "Let me look. \n\nYou said hello 🐈, and there is 1 of 1.";

#[tokio::test]
async fn the_agents_are_the_models() {
    let door = Door::new(looks).await;
    let list = door.server.get("/v1/models", KEY).await;
    let model = json!({"id": "cos", "object": "model", "created": 0, "owned_by": "adjutant"});
    assert_eq!(list.body, json!({"object": "list", "data": [model]}));
    assert_eq!(door.server.get("/v1/models/cos", KEY).await.body, model);
    let unknown =
        Said::read(door.server.request("GET", "/v1/models/gpt-5").bearer_auth(KEY).send().await.unwrap()).await;
    unknown.is_error(404, "model_not_found", "an unknown model");
}

#[tokio::test]
async fn a_whole_answer_and_a_stream_say_the_same_and_hide_our_tools() {
    let door = Door::new(looks).await;
    let body = chat(&[user("hello 🐈")]);
    let (whole, stream) = (door.ask(&body).await, door.ask(&streamed(&body)).await);
    assert_eq!((whole.status, stream.status), (200, 200));
    assert_eq!((whole.text().as_str(), stream.text().as_str()), (LOOKED, LOOKED));
    assert_eq!((whole.finish().as_str(), stream.finish().as_str()), ("stop", "stop"));
    assert!(whole.calls().is_empty() && stream.calls().is_empty() && stream.done);
    let cost = json!({"prompt_tokens": 22, "completion_tokens": 14, "total_tokens": 36, "prompt_tokens_details": {"cached_tokens": 0}});
    assert_eq!((whole.usage(), stream.usage()), (&cost, &cost));
    assert_eq!(whole.body["id"], format!("chatcmpl-{}", whole.run()));
    assert_ne!(whole.thread(), stream.thread());
    assert_eq!(door.provider.faults(), Vec::<String>::new());
    let listed = door.server.get("/api/threads", KEY).await;
    assert_eq!(listed.body["items"], json!([]), "the threads are hidden");
}

#[tokio::test]
async fn a_stream_has_openais_chunks_in_order() {
    let door = Door::new(|_| Reply::text("hi")).await;
    let said = door.ask(&streamed(&chat(&[user("hello")]))).await;
    let choices: Vec<&Value> = said.chunks.iter().map(|chunk| &chunk["choices"]).collect();
    let choice =
        |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    assert_eq!(
        choices,
        [
            &choice(json!({"role": "assistant", "content": ""}), Value::Null),
            &choice(json!({"content": "hi"}), Value::Null),
            &choice(json!({}), json!("stop")),
            &json!([]),
        ]
    );
    for chunk in &said.chunks {
        assert_eq!((&chunk["id"], &chunk["model"]), (&said.chunks[0]["id"], &json!("cos")));
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    let plain = door.ask(&with(chat(&[user("hello")]), &json!({"stream": true}))).await;
    assert!(plain.done && plain.chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn words_arrive_while_the_model_writes() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door = Door::new(move |_| {
        let (before, after) = (Piece::Text("first".to_owned()), Piece::Text(" second".to_owned()));
        Reply::Stream(vec![before, Piece::Hold(Arc::clone(&held)), after])
    })
    .await;
    let mut response = door.send(&streamed(&chat(&[user("hello")])), &[], KEY).await;
    let mut text = String::new();
    while !text.contains("first") {
        text.push_str(str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    hold.add_permits(1);
    let rest = response.text().await.unwrap();
    assert!(rest.contains(" second") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[tokio::test]
async fn the_history_and_the_options_reach_the_model() {
    let door = Door::new(|_| Reply::text("fine")).await;
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"x\":1}"}});
    let messages = [
        json!({"role": "developer", "content": "Be exact."}),
        user("one"),
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "call_1", "content": "seen\u{0}"}),
        assistant("two"),
        user("three"),
    ];
    let body = with(chat(&messages), &json!({"temperature": 0.7, "max_tokens": 99, "seed": 1, "frobnicate": [1]}));
    assert_eq!(door.ask(&body).await.text(), "fine");
    let turn = &door.provider.turns()[0];
    let roles: Vec<&str> = turn.messages().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "system", "user", "assistant", "tool", "assistant", "user"]);
    assert!(turn.messages()[4]["content"].as_str().unwrap().contains("seen\u{fffd}"));
    assert_eq!(turn.body["temperature"], json!(0.7));
    let most = turn.body.get("max_tokens").or_else(|| turn.body.get("max_completion_tokens"));
    assert_eq!(most, Some(&json!(99)));
    assert_eq!(door.provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let door = Door::new(looks).await;
    let body = chat(&[user("hello 🐈")]);
    let key = [("idempotency-key", "once")];
    let first = door.ask_with(&body, &key).await;
    let again = door.ask_with(&body, &key).await;
    let stream = door.ask_with(&streamed(&body), &key).await;
    for said in [&first, &again, &stream] {
        assert_eq!((said.text().as_str(), said.finish().as_str(), said.run()), (LOOKED, "stop", first.run()));
        assert_eq!(said.usage(), first.usage());
    }
    assert_eq!(door.provider.turns().len(), 2);
    let stranger = door.stranger().await;
    assert_ne!(door.ask_as(&stranger, &body, &key).await.run(), first.run());
    let long = "x".repeat(122);
    door.ask_with(&body, &[("idempotency-key", &long)]).await.is_error(400, "invalid_value", "a long key");
}

#[tokio::test]
async fn a_private_run_ends_with_its_client_and_one_of_a_thread_goes_on() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door = Door::new(move |turn| match turn.last_user().as_str() {
        "quick" => Reply::text("quick"),
        _ => Reply::Stream(vec![
            Piece::Text("so ".to_owned()),
            Piece::Hold(Arc::clone(&held)),
            Piece::Text("far".to_owned()),
        ]),
    })
    .await;
    let private = door.send(&streamed(&chat(&[user("hello")])), &[], KEY).await;
    let run = private.headers()["x-run-id"].to_str().unwrap().parse().unwrap();
    let mut events = door.listen(run);
    drop(private);
    let ended = until_ended(&mut events, run).await;
    assert!(matches!(ended, EventBody::RunFinished { outcome: FinishedOutcome::Cancelled, .. }), "{ended:?}");

    let thread = door.ask(&chat(&[user("quick")])).await.thread().to_owned();
    let followed = [("x-thread-id", thread.as_str())];
    let body = streamed(&chat(&[user("quick"), assistant("quick"), user("hello")]));
    let known = door.send(&body, &followed, KEY).await;
    let run = known.headers()["x-run-id"].to_str().unwrap().parse().unwrap();
    let mut events = door.listen(run);
    drop(known);
    hold.add_permits(1);
    let ended = until_ended(&mut events, run).await;
    assert!(matches!(ended, EventBody::RunFinished { outcome: FinishedOutcome::Success, .. }), "{ended:?}");
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_whole_answer_ends_the_run() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door = Door::new(move |_| Reply::Stream(vec![Piece::Hold(Arc::clone(&held))])).await;
    let body = chat(&[user("hello")]);
    let mut asking = Box::pin(door.ask(&body));
    tokio::select! {
        _ = &mut asking => panic!("the model is still held"),
        () = soon("the model is asked", async || !door.provider.turns().is_empty()) => {}
    }
    drop(asking);
    door.until_idle().await;
    let states = sqlx::query_scalar::<_, String>("select state from runs");
    assert_eq!(states.fetch_all(&door.server.db.admin()).await.unwrap(), ["cancelled"]);
}

#[tokio::test]
async fn a_revoked_key_ends_its_stream() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door =
        Door::new(move |_| Reply::Stream(vec![Piece::Text("so".to_owned()), Piece::Hold(Arc::clone(&held))])).await;
    let key = door.server.key("anna", "personal", adjutant_core::scope::Role::Personal).await;
    let response = door.send(&streamed(&chat(&[user("hello")])), &[], &key.secret).await;
    door.server.revoke(&key).await;
    let said = Said::read(response).await;
    assert_eq!((said.code(), said.done), ("invalid_api_key", false));
    assert_eq!(answer(door.server.request("GET", "/v1/models").bearer_auth(&key.secret)).await.status, 401);
}

#[tokio::test]
async fn a_stream_that_missed_something_reads_it_from_the_store() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door = Door::new(move |_| {
        let words = ["so ", "far ", "so ", "good"].map(|word| Piece::Text(word.to_owned()));
        let mut pieces = vec![Piece::Text("well, ".to_owned()), Piece::Hold(Arc::clone(&held))];
        pieces.extend(words);
        Reply::Stream(pieces)
    })
    .await;
    let response = door.send(&streamed(&chat(&[user("hello")])), &[], KEY).await;
    door.server.app.engine().hub().drop_listeners();
    hold.add_permits(1);
    let said = Said::read(response).await;
    assert_eq!((said.text().as_str(), said.done), ("well, so far so good", true));
}

#[tokio::test]
async fn a_client_that_went_away_comes_back_with_its_key() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door =
        Door::new(move |_| Reply::Stream(vec![Piece::Text("so".to_owned()), Piece::Hold(Arc::clone(&held))])).await;
    let (body, key) = (streamed(&chat(&[user("hello")])), [("idempotency-key", "k")]);
    let first = door.send(&body, &key, KEY).await;
    let run = first.headers()["x-run-id"].to_str().unwrap().to_owned();
    drop(first);
    let again = door.ask_with(&body, &key);
    let (again, ()) = tokio::join!(again, async { hold.add_permits(1) });
    assert_eq!((again.run().to_string(), again.text().as_str(), again.done), (run, "so", true));
    assert_eq!(door.provider.turns().len(), 1);
}
