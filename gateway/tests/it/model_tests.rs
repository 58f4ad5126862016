//! `POST /api/models/test` through the door: with whose key which provider is asked, what is told of a key that is wrong
//! or of a provider that is dead, and that what was tested answers the next message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adjutant_core::limits;
use adjutant_core::scope::Role;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;

use crate::server::{Answer, TestServer, answer, soon};
use crate::ws_support::{Client, ends_run, text_of};

const KEYS: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Providers of all three kinds at one address. A key is good that says so.
#[derive(Clone)]
struct Providers {
    address: SocketAddr,
    /// The path and the key of each request.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    /// Each list takes one.
    lists: Arc<Semaphore>,
}

impl Providers {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let lists = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let providers = Self { address, asked: Arc::default(), lists };
        let app = Router::new()
            .route("/v1/models", get(list))
            .route("/v1/chat/completions", post(complete))
            .route("/v1/messages", post(async || StatusCode::SERVICE_UNAVAILABLE))
            .route("/api/tags", get(tags))
            .route("/api/chat", post(chat))
            .with_state(providers.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        providers
    }

    fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Notes the request; the refusal of a bad key, which providers quote.
    fn note(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let key = text("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned());
        let key = key.or_else(|| text("x-api-key")).unwrap_or_default();
        self.asked.lock().unwrap().push((path.to_owned(), key.clone()));
        if key.contains("good") {
            return None;
        }
        let body =
            json!({"error": {"message": format!("Incorrect API key provided: {key}"), "code": "invalid_api_key"}});
        Some((StatusCode::UNAUTHORIZED, axum::Json(body)).into_response())
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn list(State(providers): State<Providers>, headers: HeaderMap) -> Response {
    if let Some(refusal) = providers.note("models", &headers) {
        return refusal;
    }
    providers.lists.acquire().await.unwrap().forget();
    let models = if headers.contains_key("anthropic-version") {
        json!([{"id": "claude-old", "created_at": "2025-01-01T00:00:00Z"}, {"id": "claude-new", "created_at": "2026-01-01T00:00:00Z"}])
    } else {
        json!([{"id": "gpt-old", "created": 10}, {"id": "text-embedding", "created": 30}, {"id": "gpt-new", "created": 20}])
    };
    axum::Json(json!({"data": models})).into_response()
}

async fn complete(
    State(providers): State<Providers>,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let model = body["model"].as_str().unwrap().to_owned();
    if let Some(refusal) = providers.note(&model, &headers) {
        return refusal;
    }
    if model == "gone" {
        let body = json!({"error": {"message": "The model `gone` does not exist", "code": "model_not_found"}});
        return (StatusCode::NOT_FOUND, axum::Json(body)).into_response();
    }
    let chunks = [
        json!({"model": model, "choices": [{"index": 0, "delta": {"content": "ready"}}]}),
        json!({"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ];
    let events = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", chunks[0], chunks[1]);
    ([("content-type", "text/event-stream")], events).into_response()
}

async fn tags(State(providers): State<Providers>) -> Response {
    providers.asked.lock().unwrap().push(("tags".to_owned(), String::new()));
    let models = json!([
        {"name": "nomic-embed-text:latest", "modified_at": "2026-11-02T00:00:00Z"},
        {"name": "qwen3:8b", "modified_at": "2026-11-01T00:00:00Z"},
    ]);
    axum::Json(json!({"models": models})).into_response()
}

async fn chat(axum::Json(body): axum::Json<Value>) -> Response {
    let line = json!({"model": body["model"], "message": {"content": "ready"}, "done": true, "done_reason": "stop"});
    ([("content-type", "application/x-ndjson")], format!("{line}\n")).into_response()
}

/// A server that has no model, and the addresses of these providers.
async fn without_a_model(providers: &Providers) -> TestServer {
    let base_url = providers.base_url();
    let settings = [
        ("LLM_PROVIDER", "none"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
        ("CREDENTIALS_ENCRYPTION_KEY", KEYS),
    ];
    TestServer::start_with(&settings).await
}

async fn test_as(server: &TestServer, key: &str, profile: &str, body: Value) -> Answer {
    let request = server.request("POST", "/api/models/test").header("x-api-key", key).header("x-profile", profile);
    answer(request.json(&body)).await
}

async fn test(server: &TestServer, key: &str, body: Value) -> Value {
    let answer = test_as(server, key, "personal", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body["millis"].is_u64(), "{answer:?}");
    answer.body
}

/// That it cannot be used, and a reason with this in it.
fn is_refused(tested: &Value, reason: &str) {
    assert_eq!(tested["ok"], false, "{tested}");
    assert!(tested["reason"].as_str().unwrap().contains(reason), "{tested}");
}

/// All that a page needs on a server where the operator has no model at all.
#[tokio::test]
async fn without_a_model_a_person_tests_a_key_of_their_own_stores_it_and_chats() {
    let providers = Providers::start().await;
    let server = without_a_model(&providers).await;
    let key = server.key_with("anna", "personal", Role::Personal, false).await.secret;
    let mut client = Client::open(server.address, &key).await;
    client.say(None, "early", "hello").await;
    assert_eq!(client.error().await["code"], "llm_key_required");
    is_refused(&test(&server, &key, json!({"provider": "openai"})).await, "no key for openai");
    assert_eq!(providers.asked(), []);

    let wrong = test(&server, &key, json!({"provider": "openai", "apiKey": "sk-wrong-0123456789"})).await;
    is_refused(&wrong, "refuses the key (HTTP 401)");
    assert!(!wrong.to_string().contains("0123456789"), "{wrong}");
    assert_eq!(wrong["models"], json!([]));

    let good = test(&server, &key, json!({"provider": "openai", "apiKey": "sk-good"})).await;
    assert_eq!((&good["ok"], &good["reason"]), (&json!(true), &Value::Null), "{good}");
    assert_eq!(good["models"], json!(["gpt-new", "gpt-old", "text-embedding"]));
    providers.asked();
    let asked = test(&server, &key, json!({"provider": "openai", "apiKey": "sk-good", "model": "gpt-new"})).await;
    assert_eq!((&asked["ok"], asked["models"].as_array().unwrap().len()), (&json!(true), 3), "{asked}");
    let pair = |path: &str| (path.to_owned(), "sk-good".to_owned());
    assert_eq!(providers.asked(), [pair("models"), pair("gpt-new")], "a list and one request");
    let gone = test(&server, &key, json!({"provider": "openai", "apiKey": "sk-good", "model": "gone"})).await;
    is_refused(&gone, "knows no such model");
    assert_eq!(gone["models"].as_array().unwrap().len(), 3);

    let stored = server.get("/api/credentials", &key).await;
    assert_eq!(stored.body["items"], json!([]), "a test stores nothing");
    let put = server.request("PUT", "/api/credentials/llm_openai").header("x-api-key", &key);
    let put = answer(put.json(&json!({"apiKey": "sk-good", "preferredModel": "gpt-new"}))).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(test(&server, &key, json!({"provider": "openai"})).await["ok"], true);
    providers.asked();
    client.say(None, "late", "hello").await;
    assert_eq!(text_of(&client.until(ends_run).await), "ready");
    assert_eq!(providers.asked(), [pair("gpt-new")]);
    server.stop().await;
}

#[tokio::test]
async fn each_profile_is_tested_with_its_own_key_and_nobody_with_that_of_another() {
    let providers = Providers::start().await;
    let server = without_a_model(&providers).await;
    for (user, profile) in [("anna", "personal"), ("anna", "work"), ("ben", "personal")] {
        server.key_with(user, profile, Role::Personal, false).await;
    }
    let anna = server.key_with("anna", "*", Role::Personal, false).await.secret;
    let ben = server.key_with("ben", "*", Role::Personal, false).await.secret;
    for (profile, secret) in [("personal", "sk-good-annas"), ("work", "sk-good-at-work")] {
        let request = server.request("PUT", "/api/credentials/llm_anthropic").header("x-api-key", &anna);
        let put = answer(request.header("x-profile", profile).json(&json!({"apiKey": secret}))).await;
        assert_eq!(put.status, 201, "{put:?}");
        let tested = test_as(&server, &anna, profile, json!({"provider": "anthropic"})).await;
        assert_eq!(tested.body["models"], json!(["claude-new", "claude-old"]), "{tested:?}");
        assert_eq!(providers.asked(), [("models".to_owned(), secret.to_owned())]);
    }
    is_refused(&test(&server, &ben, json!({"provider": "anthropic"})).await, "no key for anthropic");
    is_refused(&test(&server, &anna, json!({"provider": "openai"})).await, "no key for openai");
    let unknown = test_as(&server, &anna, "nowhere", json!({"provider": "anthropic"})).await;
    unknown.is_problem(404, "unknown_profile", "a profile that is not there");
    test_as(&server, "no-key", "personal", json!({})).await.is_problem(401, "unauthorized", "a wrong key");
    assert_eq!(providers.asked(), []);

    // A key that cannot be read is not replaced by anybody's; one that is given is tried all the same.
    let admin = server.db.admin();
    sqlx::query("update user_credentials set expires_at = '2020-01-01' where profile = 'work'")
        .execute(&admin)
        .await
        .unwrap();
    let expired = test_as(&server, &anna, "work", json!({"provider": "anthropic"})).await;
    is_refused(&expired.body, "llm_anthropic");
    assert_eq!(providers.asked(), []);
    let given = test_as(&server, &anna, "work", json!({"provider": "anthropic", "apiKey": "sk-good-new"})).await;
    assert_eq!(given.body["ok"], true, "{given:?}");
    assert_eq!(providers.asked(), [("models".to_owned(), "sk-good-new".to_owned())]);
    server.stop().await;
}

#[tokio::test]
async fn the_operators_key_is_tested_by_those_who_may_use_it_alone() {
    let providers = Providers::start().await;
    let base_url = providers.base_url();
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "gpt-new"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OPENAI_API_KEY", "sk-good-operator"),
        ("ANTHROPIC_BASE_URL", base_url.as_str()),
    ];
    let server = TestServer::start_with(&settings).await;
    let granted = server.key_with("cleo", "personal", Role::Personal, true).await.secret;
    let refused = server.key_with("ben", "personal", Role::Personal, false).await.secret;
    let body = json!({"provider": "openai", "model": "gpt-new"});
    is_refused(&test(&server, &refused, body.clone()).await, "the operator's may not be used");
    assert_eq!(providers.asked(), []);
    let tested = test(&server, &granted, body).await;
    assert_eq!(tested["ok"], true, "{tested}");
    assert!(!tested.to_string().contains("sk-good"), "{tested}");
    assert!(providers.asked().iter().all(|(_, key)| key == "sk-good-operator"));
    is_refused(&test(&server, &granted, json!({"provider": "anthropic"})).await, "no key for anthropic");
    is_refused(&test(&server, &granted, json!({"provider": "ollama"})).await, "no Ollama is set up");
    // The provider is asked and says why not, once: who waits is told now.
    let busy = json!({"provider": "anthropic", "apiKey": "sk-good", "model": "claude-new"});
    is_refused(&test(&server, &refused, busy).await, "a problem of its own (HTTP 503)");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_tested_is_refused_and_nobody_is_asked() {
    let providers = Providers::start().await;
    let server = without_a_model(&providers).await;
    let key = server.key_with("anna", "personal", Role::Personal, false).await.secret;
    for (body, code) in [
        (json!({}), "invalid_body"),
        (json!({"provider": "nobody", "apiKey": "sk-good-secret"}), "invalid_body"),
        (json!({"provider": "openai", "apiKey": "sk-good-secret", "baseUrl": providers.base_url()}), "invalid_body"),
        (json!({"provider": "openai", "apiKey": {"sk-good-secret": 1}}), "invalid_body"),
        (json!(["openai", "sk-good-secret"]), "invalid_body"),
        (json!({"provider": "openai", "apiKey": ""}), "invalid_credential"),
        (json!({"provider": "openai", "apiKey": "sk-good-secret\n"}), "invalid_credential"),
        (json!({"provider": "openai", "apiKey": "sk-good", "model": ""}), "invalid_model"),
        (json!({"provider": "openai", "apiKey": "sk-good", "model": "a\u{7}"}), "invalid_model"),
        (json!({"provider": "openai", "apiKey": "sk-good", "model": "m".repeat(201)}), "invalid_model"),
    ] {
        let refused = test_as(&server, &key, "personal", body.clone()).await;
        refused.is_problem(400, code, &body.to_string());
        assert!(!refused.body.to_string().contains("secret"), "{refused:?}");
    }
    let long = json!({"provider": "openai", "apiKey": "k".repeat(limits::CREDENTIAL_BODY_BYTES)});
    test_as(&server, &key, "personal", long).await.is_problem(413, "body_too_large", "a long body");
    assert_eq!(providers.asked(), []);
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_told_and_a_private_one_is_not_asked() {
    // Bound and not listening: whoever connects is refused.
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}/v1", dead.local_addr().unwrap());
    let server = TestServer::start_with(&[("LLM_PROVIDER", "none"), ("OPENAI_BASE_URL", &base_url)]).await;
    let key = server.key_with("anna", "personal", Role::Personal, false).await.secret;
    for model in [Value::Null, json!("gpt-new")] {
        let tested = test(&server, &key, json!({"provider": "openai", "apiKey": "sk-good", "model": model})).await;
        is_refused(&tested, "cannot be reached");
        assert!(!tested.to_string().contains(&dead.local_addr().unwrap().port().to_string()), "{tested}");
    }
    // Ollama's own address is this machine, which is nothing for keys of users.
    let tested = test(&server, &key, json!({"provider": "ollama", "apiKey": "sk-good"})).await;
    is_refused(&tested, "not a public one");
    server.stop().await;
}

/// Two people: one holds as many tests as one may, the other is not kept from testing.
#[tokio::test]
async fn nobody_tests_more_than_a_few_providers_at_once() {
    let providers = Providers::start().await;
    let server = Arc::new(without_a_model(&providers).await);
    let anna = server.key_with("anna", "personal", Role::Personal, false).await.secret;
    let ben = server.key_with("ben", "personal", Role::Personal, false).await.secret;
    let body = json!({"provider": "openai", "apiKey": "sk-good"});
    providers.lists.forget_permits(Semaphore::MAX_PERMITS);
    let mut held = Vec::new();
    for _ in 0..limits::USER_MODEL_TESTS {
        let (server, anna, body) = (Arc::clone(&server), anna.clone(), body.clone());
        held.push(tokio::spawn(async move { test(&server, &anna, body).await }));
    }
    soon("both are asked", || async { providers.asked.lock().unwrap().len() == limits::USER_MODEL_TESTS }).await;
    test_as(&server, &anna, "personal", body.clone()).await.is_problem(429, "too_many_tests", "one too many");
    let wrong = json!({"provider": "openai", "apiKey": "sk-wrong"});
    is_refused(&test(&server, &ben, wrong).await, "refuses the key");
    // Who goes away gives the place back.
    let gone = held.pop().unwrap();
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    soon("the place is free", || async {
        test_as(&server, &anna, "personal", json!({"provider": "openai", "apiKey": "sk-wrong"})).await.status == 200
    })
    .await;
    providers.lists.add_permits(8);
    assert_eq!(held.pop().unwrap().await.unwrap()["ok"], true);
    assert_eq!(test(&server, &anna, body).await["ok"], true);
    Arc::into_inner(server).unwrap().stop().await;
}

/// An address that an Ollama will be at, and a server that looks for one there.
async fn before_ollama() -> (TcpSocket, TestServer, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}", socket.local_addr().unwrap());
    let server = TestServer::start_with(&[("OLLAMA_BASE_URL", &base_url)]).await;
    let key = server.key("anna", "personal", Role::Personal).await.secret;
    (socket, server, key)
}

#[tokio::test]
async fn an_ollama_that_is_started_later_is_found_by_the_next_message() {
    let (socket, server, key) = before_ollama().await;
    let mut client = Client::open(server.address, &key).await;
    client.say(None, "early", "hello").await;
    assert_eq!(client.error().await["code"], "model_not_configured");
    let _ollama = Providers::on(socket.listen(16).unwrap());
    client.say(None, "late", "hello").await;
    assert_eq!(text_of(&client.until(ends_run).await), "ready");
    server.stop().await;
}

#[tokio::test]
async fn an_ollama_that_is_started_later_is_found_by_the_test() {
    let (socket, server, key) = before_ollama().await;
    is_refused(&test(&server, &key, json!({"provider": "ollama"})).await, "cannot be reached");
    let ollama = Providers::on(socket.listen(16).unwrap());
    let tested = test(&server, &key, json!({"provider": "ollama", "model": "qwen3:8b"})).await;
    assert_eq!((&tested["ok"], &tested["reason"]), (&json!(true), &Value::Null), "{tested}");
    assert_eq!(tested["models"], json!(["qwen3:8b", "nomic-embed-text:latest"]));
    ollama.asked();
    let me = server.get("/api/me", &key).await;
    assert_eq!(me.body["models"]["usable"], json!(["ollama/qwen3:8b"]), "it answers from now on");
    let mut client = Client::open(server.address, &key).await;
    client.say(None, "late", "hello").await;
    assert_eq!(text_of(&client.until(ends_run).await), "ready");
    assert_eq!(ollama.asked(), [], "nobody looks again for what was found");
    // Who may not use what the operator has is not told of it either.
    let ben = server.key_with("ben", "personal", Role::Personal, false).await.secret;
    is_refused(&test(&server, &ben, json!({"provider": "ollama"})).await, "the operator's may not be used");
    server.stop().await;
}
