//! `POST /api/v1/ask`: text in, text out.

use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use crate::server::{KEY, answer};
use crate::ws_support::House;

fn script(turn: &Turn) -> Reply {
    match (turn.last_user().as_str(), turn.round()) {
        ("do it", 0) => Reply::call("effects__look", &json!({"key": "k"})),
        ("do it", 1) => Reply::call("effects__effect", &json!({"key": "k"})),
        ("fail", _) => Reply::Status(401, "{}".to_owned()),
        (said, _) => Reply::text(&format!("{said}, {}", turn.messages().len())),
    }
}

struct Said {
    status: u16,
    text: String,
    kind: String,
    code: String,
    thread: String,
}

async fn say(request: reqwest::RequestBuilder) -> Said {
    let response = request.send().await.unwrap();
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (kind, code, thread) = (header("content-type"), header("x-problem-code"), header("x-thread-id"));
    Said { status: response.status().as_u16(), text: response.text().await.unwrap(), kind, code, thread }
}

#[tokio::test]
async fn text_is_answered_with_text_and_json_with_json() {
    let house = House::new(script).await;
    let ask = || house.server.request("POST", "/api/v1/ask").bearer_auth(KEY);
    let plain = |text: &'static str| ask().header("content-type", "text/plain; charset=utf-8").body(text);
    let said = say(plain("hello")).await;
    assert_eq!((said.status, said.text.as_str()), (200, "hello, 2"));
    assert_eq!(said.kind, "text/plain; charset=utf-8");
    let more = say(plain("more").header("x-thread-id", &said.thread)).await;
    assert_eq!((more.text.as_str(), &more.thread), ("more, 4", &said.thread));
    let body = json!({"text": "again", "threadId": said.thread});
    let whole = answer(ask().header("accept", "application/json").json(&body)).await;
    assert_eq!(whole.status, 200, "{whole:?}");
    assert_eq!((&whole.body["text"], &whole.body["state"]), (&json!("again, 6"), &json!("done")));
    assert_eq!(whole.body["threadId"], said.thread.as_str());
    let threads = house.server.get("/api/threads", KEY).await;
    assert_eq!(threads.body["items"].as_array().unwrap().len(), 1, "it is a thread like any other");
    house.server.stop().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_question() {
    let house = House::new(script).await;
    let ask = || {
        let request = house.server.request("POST", "/api/v1/ask").bearer_auth(KEY).header("idempotency-key", "k-1");
        request.header("content-type", "text/plain").body("hello")
    };
    let (first, again) = (say(ask()).await, say(ask()).await);
    assert_eq!((&first.text, &first.thread), (&again.text, &again.thread));
    let runs: i64 = sqlx::query_scalar("select count(*) from runs").fetch_one(&house.server.db.admin()).await.unwrap();
    assert_eq!(runs, 1);
    house.server.stop().await;
}

#[tokio::test]
async fn a_run_that_waits_is_a_sentence_with_its_id() {
    let house = House::new(script).await;
    let ask = |text: &str| {
        let request = house.server.request("POST", "/api/v1/ask").bearer_auth(KEY).header("accept", "application/json");
        request.json(&json!({"text": text}))
    };
    let waiting = answer(ask("do it")).await;
    assert_eq!((waiting.status, &waiting.body["state"]), (200, &json!("waiting")), "{waiting:?}");
    let (text, run) = (waiting.body["text"].as_str().unwrap(), waiting.body["runId"].as_str().unwrap());
    assert!(text.contains("effects__effect") && text.contains(run), "{text}");
    let mut more = json!({"text": "hello"});
    more["threadId"] = waiting.body["threadId"].clone();
    let request = house.server.request("POST", "/api/v1/ask").bearer_auth(KEY).json(&more);
    let said = say(request).await;
    assert_eq!((said.status, said.code.as_str()), (409, "thread_waiting"));
    assert!(said.text.contains(run), "{}", said.text);
    house.server.stop().await;
}

#[tokio::test]
async fn refusals_are_sentences_with_their_code_in_a_header() {
    let house = House::new(script).await;
    let bare = || house.server.request("POST", "/api/v1/ask").header("content-type", "text/plain");
    let ask = || bare().bearer_auth(KEY);
    for (request, status, code) in [
        (bare().body("hello"), 401, "unauthorized"),
        (ask().body(""), 400, "invalid_value"),
        (ask().body(vec![0xff]), 400, "invalid_utf8"),
        (ask().body("x".repeat(2_000_000)), 413, "body_too_large"),
        (ask().header("x-thread-id", "x").body("hello"), 400, "invalid_value"),
        (
            ask().header("x-thread-id", adjutant_core::ids::ThreadId::new().to_string()).body("hi"),
            404,
            "thread_not_found",
        ),
        (ask().body("fail"), 502, "model_unauthorized"),
    ] {
        let said = say(request).await;
        assert_eq!((said.status, said.code.as_str()), (status, code), "{}", said.text);
        assert_eq!(said.kind, "text/plain; charset=utf-8", "{code}");
        assert!(said.text.len() > 10 && !said.text.starts_with('{'), "{}", said.text);
    }
    let request = ask().header("accept", "application/json").body("");
    answer(request).await.is_problem(400, "invalid_value", "with JSON");
    let form = house.server.request("POST", "/api/v1/ask").bearer_auth(KEY);
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("text=hello");
    assert_eq!(say(form).await.code, "unsupported_media_type");
    let unknown = house
        .server
        .request("POST", "/api/v1/ask")
        .bearer_auth(KEY)
        .json::<Value>(&json!({"text": "x", "role": "admin"}));
    assert_eq!(say(unknown).await.status, 400);
    house.server.stop().await;
}
