//! Several models through the whole server: who answers in whose place, what was thought, what it cost, and that a
//! client is told all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adjutant_core::scope::{Role, UserId};
use adjutant_store::users::{self, UserChange};
use adjutant_testkit::db::TestDb;
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::luck_model;
use super::server::{KEY, TestServer, config};
use super::ws_ag_ui::judge;
use super::ws_support::{Client, ends_run, is, text_of};

const THOUGHT: &str = "Zwölf? Let me see.";

/// An OpenAI that is overloaded and an Anthropic that thinks, at one address.
async fn providers() -> String {
    let answer = || {
        let usage = json!({"input_tokens": 1000, "cache_read_input_tokens": 500, "output_tokens": 1});
        let events = [
            json!({"type": "message_start", "message": {"model": "claude-x", "usage": usage}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Zwölf? "}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Let me see."}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Twelve."}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}}),
            json!({"type": "message_stop"}),
        ];
        let events =
            events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
        ([("content-type", "text/event-stream")], events.collect::<Vec<_>>().concat())
    };
    let app = Router::new()
        .route("/v1/chat/completions", post(async || (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response()))
        .route("/v1/messages", post(async move || answer()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn server(origin: &str, prices: &str) -> TestServer {
    let db = TestDb::new().await;
    let base_url = format!("{origin}/v1");
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "big"),
        ("LLM_FALLBACK", "anthropic/claude-x"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("LLM_PRICES", prices),
    ];
    let config = config(&db, &settings);
    TestServer::start_config(db, config).await
}

fn thoughts(frames: &[Value]) -> String {
    let pieces = frames.iter().filter(|frame| is(frame, "REASONING_MESSAGE_CONTENT"));
    pieces.map(|frame| frame["event"]["delta"].as_str().unwrap()).collect()
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    let kind = |frame: &Value| frame["event"]["type"].as_str().is_some_and(|kind| kind.contains("MESSAGE_"));
    let mut kinds: Vec<&str> = Vec::new();
    for frame in frames.iter().filter(|frame| kind(frame)) {
        let kind = frame["event"]["type"].as_str().unwrap();
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

#[tokio::test]
async fn a_person_sees_who_answered_in_whose_place_what_was_thought_and_what_it_cost() {
    let origin = providers().await;
    let prices = std::env::temp_dir().join(format!("adjutant-prices-{}.toml", std::process::id()));
    let list = format!(
        "[[provider]]\nname = 'anthropic'\norigins = ['{origin}']\ncurrency = 'USD'\ndate = '2026-11-25'\nsource = 'test'\n\
         [[provider.model]]\nname = 'claude-x'\ninput = '3'\noutput = '15'\ncache_read = '0.3'\n"
    );
    std::fs::write(&prices, list).unwrap();
    let server = server(&origin, prices.to_str().unwrap()).await;
    std::fs::remove_file(&prices).unwrap();
    let mut client = Client::open(server.address, KEY).await;
    client.say(None, "one", "how many is zwölf?").await;
    let frames = client.until(ends_run).await;
    assert_eq!((text_of(&frames).as_str(), thoughts(&frames).as_str()), ("Twelve.", THOUGHT));
    let whole = [
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
    ];
    assert_eq!(kinds(&frames), whole);
    let finished = &frames.last().unwrap()["event"];
    assert_eq!(finished["usage"][0]["model"], "claude-x");

    let (run, thread) = (finished["runId"].as_str().unwrap(), finished["threadId"].as_str().unwrap());
    let told: Value = server.get(&format!("/api/runs/{run}"), KEY).await.body;
    let step = &told["steps"][0];
    assert_eq!(
        (&step["provider"], &step["model"], &step["paidBy"]),
        (&json!("anthropic"), &json!("claude-x"), &json!("operator"))
    );
    assert_eq!(step["passedOver"][0]["model"], "openai/big");
    assert_eq!(step["passedOver"][0]["code"], "model_unavailable");
    // 1000 plain, 500 read from the cache and 10 written.
    let cost = json!({"micros": 3_000 + 150 + 150, "currency": "USD"});
    assert_eq!((&step["cost"], &told["costs"], &told["unpricedSteps"]), (&cost, &json!([cost]), &json!(0)));

    // The same from the store, in the same order and whole.
    let mut again = Client::open(server.address, KEY).await;
    again.resume(thread, 0).await;
    let stored = again.arrived().await;
    assert_eq!(
        (text_of(&stored).as_str(), thoughts(&stored).as_str(), kinds(&stored)),
        ("Twelve.", THOUGHT, whole.to_vec())
    );
    let events = frames.iter().chain(&stored).filter(|frame| frame["type"] == "event");
    judge(&events.map(|frame| format!("{}\n", frame["event"])).collect::<Vec<_>>().concat()).await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_and_a_grant_every_door_refuses_and_nobody_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let base_url = luck_model::model(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        luck_model::text("never")
    })
    .await;
    let settings = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "m"), ("OPENAI_BASE_URL", base_url.as_str())];
    let server = TestServer::start_with(&settings).await;
    let key = server.key("anna", "personal", Role::Personal).await.secret;
    let anna = UserId::parse("anna").unwrap();
    let change = UserChange { allow_operator_llm: Some(false), is_disabled: None };
    server.db.store.system("test", async |tx| users::change(tx, &anna, change).await).await.unwrap();

    let mut client = Client::open(server.address, &key).await;
    client.say(None, "one", "hello").await;
    let error = client.error().await;
    assert_eq!(error["code"], "llm_key_required");
    assert!(error["message"].as_str().unwrap().contains("llm_openai"), "it says what to do: {error}");
    let chat = json!({"model": "cos", "messages": [{"role": "user", "content": "hello"}]});
    let answer = server.request("POST", "/v1/chat/completions").bearer_auth(&key).json(&chat).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "llm_key_required");
    let ask = server.request("POST", "/api/v1/ask").bearer_auth(&key).header("content-type", "text/plain");
    let answer = ask.body("hello").send().await.unwrap();
    assert_eq!(answer.status(), 403, "a sentence, as this door answers");

    // Nothing was stored and nobody was asked.
    assert_eq!(server.get("/api/threads", &key).await.body["items"], json!([]));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_named_model_that_may_not_be_asked_is_refused_at_every_door_and_nobody_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let base_url = luck_model::model(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        luck_model::text("twelve")
    })
    .await;
    // The operator has one provider, and nobody has a key of another.
    let settings = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "m"), ("OPENAI_BASE_URL", base_url.as_str())];
    let server = TestServer::start_with(&settings).await;
    let mut client = Client::open(server.address, KEY).await;
    client.say(None, "one", "hello").await;
    let ended = client.until(ends_run).await.pop().unwrap();
    let thread = ended["threadId"].as_str().unwrap().to_owned();
    let messages = server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body["items"].clone();
    let post = async |path: String, body: Value| {
        super::server::answer(server.request("POST", &path).bearer_auth(KEY).json(&body)).await
    };

    for (model, word) in
        [("anthropic/claude-x", "llm_anthropic"), ("ollama/qwen3", "key"), ("openai/ ", "provider/model")]
    {
        let body = json!({"clientMessageId": "two", "content": "hello", "model": model, "threadId": thread});
        let rest = post("/api/messages".to_owned(), body).await;
        rest.is_problem(403, "model_not_allowed", model);
        assert!(rest.body["detail"].as_str().unwrap().contains(word), "it says what to do: {rest:?}");
        let body = json!({"clientMessageId": "two", "messageId": messages[0]["id"], "model": model});
        let again = post(format!("/api/threads/{thread}/retry"), body).await;
        again.is_problem(403, "model_not_allowed", model);

        for frame in [
            json!({"type": "run.submit", "clientMessageId": "two", "content": "hello", "model": model}),
            json!({"type": "run.retry", "clientMessageId": "two", "threadId": thread, "messageId": messages[1]["id"], "model": model}),
        ] {
            client.send(frame).await;
            let error = client.error().await;
            assert_eq!((&error["code"], &error["clientMessageId"]), (&json!("model_not_allowed"), &json!("two")));
        }
        // At this door the agents are the models: no provider's model can be named.
        let chat = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
        post("/v1/chat/completions".to_owned(), chat).await.is_refused(404, "model_not_found", model);
    }
    assert_eq!(server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body["items"], messages);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "nothing was stored and nobody was asked");

    // A profile that prefers such a model alone is refused at each door, and may name another.
    let profile = json!({"models": ["anthropic/claude-x"]});
    let request = server.request("PUT", "/api/profiles/personal").bearer_auth(KEY).json(&profile);
    assert_eq!(super::server::answer(request).await.status, 200);
    let body = json!({"clientMessageId": "three", "content": "hello"});
    post("/api/messages".to_owned(), body).await.is_problem(403, "llm_key_required", "the profile's model");
    client.say(None, "three", "hello").await;
    assert_eq!(client.error().await["code"], "llm_key_required");
    let chat = json!({"model": "cos", "messages": [{"role": "user", "content": "hello"}]});
    post("/v1/chat/completions".to_owned(), chat).await.is_refused(403, "llm_key_required", "the profile's model");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let body = json!({"clientMessageId": "four", "content": "hello", "model": "openai/m"});
    assert_eq!(post("/api/messages".to_owned(), body).await.status, 202);
    client.until(ends_run).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    server.stop().await;
}
