//! `GET /api/models` through the door: which models each profile may ask, with whose prices, and what they take; and
//! that a model which the operator says can see is shown pictures.

use adjutant_core::scope::Role;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::{KEY, TestServer, answer};
use crate::wires::{Says, Wires};
use crate::ws_support::{Client, Folder, ends_run};

const KEYS: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";

async fn listed(server: &TestServer, key: &str) -> Vec<Value> {
    let answer = server.get("/api/models", key).await;
    assert_eq!((answer.status, &answer.body["next"]), (200, &Value::Null), "{answer:?}");
    answer.body["items"].as_array().unwrap().clone()
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_profile_sees_the_models_that_it_would_ask_and_what_is_known_of_them() {
    let (wires, folder) = (Wires::start(|_| Says::text("fine")).await, Folder::new());
    let file = folder.mcp().replace("mcp.json", "prices.toml");
    let prices = format!(
        "[[provider]]\nname = 'openai'\norigins = ['{}']\ncurrency = 'EUR'\ndate = '2026-11-25'\nsource = 'test'\n\
         [[provider.model]]\nname = 'gpt-5'\ninput = '1.25'\noutput = '10'\ncontext_tokens = 400000\n",
        wires.origin
    );
    std::fs::write(&file, prices).unwrap();
    let base_url = format!("{}/v1", wires.origin);
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "gpt-5"),
        ("LLM_FALLBACK", "ollama/qwen3,openai/deepseek-chat"),
        ("LLM_VISION_MODELS", "openai/DeepSeek-Chat, ollama/other"),
        ("LLM_PRICES", file.as_str()),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("OLLAMA_BASE_URL", wires.origin.as_str()),
        ("CREDENTIALS_ENCRYPTION_KEY", KEYS),
    ];
    let server = TestServer::start_with(&settings).await;
    let all = listed(&server, KEY).await;
    assert_eq!(names(&all), ["openai/gpt-5", "ollama/qwen3", "openai/deepseek-chat"]);
    let free = json!({"micros": 0, "currency": "USD"});
    let expected = json!([
        {"name": "openai/gpt-5", "provider": "openai", "model": "gpt-5", "images": true, "documents": false,
         "inputPrice": {"micros": 1_250_000, "currency": "EUR"}, "outputPrice": {"micros": 10_000_000, "currency": "EUR"},
         "contextTokens": 400_000},
        {"name": "ollama/qwen3", "provider": "ollama", "model": "qwen3", "images": false, "documents": false,
         "inputPrice": free, "outputPrice": free, "contextTokens": null},
        {"name": "openai/deepseek-chat", "provider": "openai", "model": "deepseek-chat", "images": true, "documents": false,
         "inputPrice": null, "outputPrice": null, "contextTokens": null},
    ]);
    assert_eq!(json!(all), expected);

    // A profile's own order, another profile's, and a key of one's own at the provider's own address.
    let put = server.request("PUT", "/api/profiles/personal").bearer_auth(KEY);
    let put = answer(put.json(&json!({"models": ["ollama/other:latest", "gpt-5"]}))).await;
    assert_eq!(put.status, 200, "{put:?}");
    let own = listed(&server, KEY).await;
    assert_eq!((names(&own), &own[0]["images"]), (vec!["ollama/other:latest", "openai/gpt-5"], &json!(true)));
    let work = server.key("owner", "work", Role::Personal).await.secret;
    assert_eq!(names(&listed(&server, &work).await).len(), 3);
    let ben = server.key_with("ben", "personal", Role::Personal, false).await.secret;
    assert_eq!(listed(&server, &ben).await, Vec::<Value>::new(), "nothing, without a key or a grant");
    assert!(server.get("/api/me", &ben).await.body["models"]["trouble"]["code"] == "llm_key_required");
    let put = server.request("PUT", "/api/credentials/llm_anthropic").bearer_auth(&ben);
    let put = answer(put.json(&json!({"apiKey": "sk-bens", "preferredModel": "claude-opus-5"}))).await;
    assert_eq!(put.status, 201, "{put:?}");
    let bens = listed(&server, &ben).await;
    assert_eq!(names(&bens), ["anthropic/claude-opus-5"]);
    assert_eq!((&bens[0]["images"], &bens[0]["documents"]), (&json!(true), &json!(true)));
    assert_eq!(bens[0]["inputPrice"], json!({"micros": 5_000_000, "currency": "USD"}), "as it is shipped");
    sqlx::query("update user_credentials set expires_at = '2020-01-01'").execute(&server.db.admin()).await.unwrap();
    assert_eq!(listed(&server, &ben).await, Vec::<Value>::new(), "a key that cannot be used opens nothing");
    server.get("/api/models", "nobodys").await.is_problem(401, "unauthorized", "a wrong key");
    assert_eq!(wires.asked().len(), 0, "nobody is asked");
    server.stop().await;
}

/// What a model of that name is shown of a picture.
async fn shown(vision: &str, model: &str) -> String {
    let wires = Wires::start(|_| Says::text("seen")).await;
    let mut settings = wires.settings(model);
    settings.push(("LLM_VISION_MODELS", vision.to_owned()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = TestServer::start_with(&settings).await;
    let upload = answer(server.request("POST", "/api/files?name=cat.png").bearer_auth(KEY).body(PNG)).await;
    assert_eq!(upload.status, 201, "{upload:?}");
    let mut client = Client::open(server.address, KEY).await;
    let content = json!([{"type": "text", "text": "look"}, {"type": "file", "fileId": upload.body["id"]}]);
    client.send(json!({"type": "run.submit", "clientMessageId": "one", "content": content})).await;
    client.until(ends_run).await;
    server.stop().await;
    wires.asked().pop().unwrap().body["messages"].to_string()
}

#[tokio::test]
async fn a_model_that_the_operator_says_can_see_is_shown_pictures() {
    let picture = STANDARD.encode(PNG);
    for model in ["openai/plain", "ollama/plain"] {
        let named = shown("openai/plain,ollama/plain", model).await;
        assert!(named.contains(&picture) && !named.contains("cannot see images"), "{model}: {named}");
    }
    let unnamed = shown("openai/plainer,ollama/plain", "openai/plain").await;
    assert!(!unnamed.contains(&picture) && unnamed.contains("cannot see images"), "{unnamed}");
}
