//! What a thread says of its costs: one sum per currency, what has no price, and how long its newest prompt was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adjutant_core::scope::Role;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::{KEY, TestServer, answer};
use crate::ws_support::{Client, Folder, ends_run};

/// A provider whose prompts have a hundred tokens more with each call, and whose answers have ten.
async fn provider() -> String {
    let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::new(AtomicU64::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

async fn complete(State(calls): State<Arc<AtomicU64>>, Json(body): Json<Value>) -> Response {
    let prompt = (calls.fetch_add(1, Ordering::Relaxed) + 1) * 100;
    let model = &body["model"];
    let events = [
        json!({"model": model, "choices": [{"index": 0, "delta": {"content": "fine"}}]}),
        json!({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        json!({"model": model, "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": 10}}),
    ];
    let text =
        events.iter().map(|event| format!("data: {event}\n\n")).collect::<Vec<_>>().concat() + "data: [DONE]\n\n";
    ([("content-type", "text/event-stream")], text).into_response()
}

fn prices(origin: &str) -> String {
    let list = |currency: &str, model: &str| {
        format!(
            "[[provider]]\nname = 'openai'\norigins = ['{origin}']\ncurrency = '{currency}'\ndate = '2026-11-25'\nsource = 'test'\n\
             [[provider.model]]\nname = '{model}'\ninput = '2'\noutput = '10'\n"
        )
    };
    list("USD", "dollars") + &list("EUR", "euros")
}

struct Desk {
    server: TestServer,
    client: Client,
}

impl Desk {
    /// Says something to a model and waits for the end of its run; which thread it was in.
    async fn say(&mut self, thread: Option<&str>, id: &str, model: &str) -> String {
        let mut frame = json!({"type": "run.submit", "clientMessageId": id, "content": "hello", "model": model});
        if let Some(thread) = thread {
            frame["threadId"] = json!(thread);
        }
        self.client.send(frame).await;
        let last = self.client.until(ends_run).await.pop().unwrap();
        last["threadId"].as_str().unwrap().to_owned()
    }

    async fn thread(&self, thread: &str) -> Value {
        self.server.get(&format!("/api/threads/{thread}"), KEY).await.body
    }
}

fn costs(thread: &Value) -> (Value, i64, Option<u64>) {
    (thread["costs"].clone(), thread["unpricedSteps"].as_i64().unwrap(), thread["contextTokens"].as_u64())
}

#[tokio::test]
async fn a_thread_says_what_it_cost_and_how_long_its_newest_prompt_was() {
    let (origin, folder) = (provider().await, Folder::new());
    let file = folder.mcp().replace("mcp.json", "prices.toml");
    std::fs::write(&file, prices(&origin)).unwrap();
    let base_url = format!("{origin}/v1");
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "dollars"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("LLM_PRICES", file.as_str()),
    ];
    let server = TestServer::start_with(&settings).await;
    let client = Client::open(server.address, KEY).await;
    let mut desk = Desk { server, client };
    let cost = |micros: u64, currency: &str| json!({"micros": micros, "currency": currency});

    let first = desk.say(None, "one", "dollars").await;
    assert_eq!(costs(&desk.thread(&first).await), (json!([cost(300, "USD")]), 0, Some(100)));
    desk.say(Some(&first), "two", "euros").await;
    desk.say(Some(&first), "three", "dollars").await;
    let both = json!([cost(500, "EUR"), cost(1_000, "USD")]);
    assert_eq!(
        costs(&desk.thread(&first).await),
        (both.clone(), 0, Some(300)),
        "the newest is not that of the last currency"
    );
    desk.say(Some(&first), "four", "unpriced").await;
    assert_eq!(costs(&desk.thread(&first).await), (both.clone(), 1, Some(400)));
    desk.say(Some(&first), "five", "euros").await;
    let whole = (json!([cost(1_600, "EUR"), cost(1_000, "USD")]), 1, Some(500));
    assert_eq!(costs(&desk.thread(&first).await), whole);
    let second = desk.say(None, "six", "dollars").await;

    let list = desk.server.get("/api/threads", KEY).await.body;
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["id"], &items[1]["id"]), (2, &json!(second), &json!(first)));
    assert_eq!(costs(&items[0]), (json!([cost(1_300, "USD")]), 0, Some(600)));
    assert_eq!(costs(&items[1]), whole);
    let patch = desk.server.request("PATCH", &format!("/api/threads/{first}")).bearer_auth(KEY);
    assert_eq!(costs(&answer(patch.json(&json!({"pinned": true}))).await.body), whole);

    // A copy has the messages, and what they cost stays with the thread that paid.
    let messages = desk.server.get(&format!("/api/threads/{first}/messages"), KEY).await.body;
    let fork = desk.server.request("POST", &format!("/api/threads/{first}/fork")).bearer_auth(KEY);
    let fork = answer(fork.json(&json!({"messageId": messages["items"][1]["id"]}))).await;
    assert_eq!((fork.status, costs(&fork.body)), (201, (json!([]), 0, None)));
    let fork = desk.thread(fork.body["id"].as_str().unwrap()).await;
    assert_eq!(costs(&fork), (json!([]), 0, None));

    // Others, and the other profile, see and pay for their own.
    for (user, profile) in [("ben", "personal"), ("owner", "work")] {
        let key = desk.server.key(user, profile, Role::Personal).await.secret;
        let mut client = Client::open(desk.server.address, &key).await;
        client
            .send(json!({"type": "run.submit", "clientMessageId": "x", "content": "hello", "model": "unpriced"}))
            .await;
        client.until(ends_run).await;
        let list = desk.server.get("/api/threads", &key).await.body;
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
        assert_eq!((&list["items"][0]["costs"], &list["items"][0]["unpricedSteps"]), (&json!([]), &json!(1)));
    }
    assert_eq!(costs(&desk.thread(&first).await), whole);
    desk.server.stop().await;
}
