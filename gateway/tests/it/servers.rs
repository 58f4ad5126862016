//! MCP servers by REST: adding, testing, changing and removing them, what a definition's owner sees and accepts, and
//! what is refused.

use std::sync::{Arc, Mutex};

use adjutant::boot::serve::prepare;
use adjutant_core::scope::{Owner, Role, UserId};
use adjutant_testkit::effects::EffectServer;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::{Answer, TestServer, answer, config, profile, soon};

struct Town {
    server: TestServer,
    tools: EffectServer,
    admin: String,
    personal: String,
    work: String,
}

async fn town() -> Town {
    let tools = EffectServer::start().await;
    let key = "one:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let server = TestServer::start_with(&[("CREDENTIALS_ENCRYPTION_KEY", key)]).await;
    let admin = server.key("anna", "personal", Role::Admin).await.secret;
    let personal = server.key("anna", "personal", Role::Personal).await.secret;
    let work = server.key("anna", "work", Role::Admin).await.secret;
    Town { server, tools, admin, personal, work }
}

impl Town {
    async fn ask(&self, method: &str, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.server.request(method, path).header("x-api-key", key);
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    async fn add(&self) -> Answer {
        let body = json!({"name": "mine", "url": self.tools.url(), "allowPrivate": true, "lifecycle": "initialize"});
        self.ask("POST", "/api/servers", &self.admin, &body).await
    }
}

#[tokio::test]
async fn a_server_is_added_tested_changed_and_removed() {
    let town = town().await;
    let added = town.add().await;
    assert_eq!((added.status, &added.body["addedBy"], &added.body["enabled"]), (201, &json!("user"), &json!(true)));
    town.add().await.is_problem(409, "server_exists", "twice");

    let tested = town.ask("POST", "/api/servers/mine/test", &town.personal, &Value::Null).await;
    assert_eq!((tested.status, &tested.body["ok"]), (200, &json!(true)), "{tested:?}");
    assert_eq!(tested.body["tools"], json!(["effect", "look"]));

    let changed =
        town.ask("PATCH", "/api/servers/mine", &town.personal, &json!({"enabled": false, "timeout": 1.5})).await;
    assert_eq!((changed.status, &changed.body["enabled"], &changed.body["timeout"]), (200, &json!(false), &json!(1.5)));
    assert_eq!(changed.body["allowPrivate"], json!(true), "what was allowed stays while the address stays");
    let tools = town.server.get("/api/servers/mine/tools", &town.admin).await;
    assert!(tools.body["items"] == json!([]) && tools.body["trouble"].is_string(), "{tools:?}");

    // The other profile of the same user has none of it.
    assert_eq!(town.server.get("/api/servers", &town.work).await.body["items"], json!([]));
    town.server.get("/api/servers/mine", &town.work).await.is_problem(404, "not_found", "another profile");

    let policy = town.ask("PUT", "/api/policies/mine", &town.personal, &json!({"policy": "auto"})).await;
    assert_eq!(policy.status, 200, "{policy:?}");
    let removed = town.ask("DELETE", "/api/servers/mine", &town.personal, &Value::Null).await;
    assert_eq!(removed.status, 204);
    let policies = town.server.get("/api/policies", &town.personal).await;
    assert_eq!(policies.body["items"], json!([]), "the next server of that name is a new one");
    town.server.get("/api/servers/mine", &town.admin).await.is_problem(404, "not_found", "removed");
    town.server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_a_command_or_hides_its_address_is_refused() {
    let town = town().await;
    for body in [
        json!({"name": "x", "command": "sh", "args": ["-c", "id"]}),
        json!({"name": "x", "url": "https://example.com", "command": "sh"}),
        json!({"name": "x", "type": "stdio", "url": "https://example.com"}),
        json!({"name": "x", "url": "https://example.com", "env": {"A": "b"}}),
    ] {
        town.ask("POST", "/api/servers", &town.admin, &body).await.is_problem(400, "stdio_not_allowed", "a command");
    }
    for url in [
        "file:///etc/passwd",
        "stdio:///bin/sh",
        "http://localhost:22/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "https://user:secret@example.com/",
        "http://169.254.169.254/latest",
        "https://exa mple.com",
        "",
    ] {
        let body = json!({"name": "x", "url": url});
        let refused = town.ask("POST", "/api/servers", &town.personal, &body).await;
        refused.is_problem(400, "invalid_url", url);
        assert!(!refused.body.to_string().contains("secret"));
    }
    for (body, code) in [
        (json!({"name": "Upper", "url": "https://example.com"}), "invalid_server_name"),
        (json!({"url": "https://example.com"}), "invalid_server_name"),
        (json!({"name": "x", "url": "https://example.com", "lifecycle": "odd"}), "invalid_lifecycle"),
        (json!({"name": "x", "url": "https://example.com", "timeout": -1}), "invalid_timeout"),
        (json!({"name": "x", "url": "https://example.com", "headers": [{"header": "Host"}]}), "invalid_headers"),
        (json!({"name": "x", "url": "https://example.com", "headers": [{"service": "llm_openai"}]}), "invalid_headers"),
        (json!({"name": "x", "url": "https://example.com", "shell": true}), "invalid_body"),
        (json!([1]), "invalid_body"),
    ] {
        town.ask("POST", "/api/servers", &town.admin, &body).await.is_problem(400, code, &body.to_string());
    }
    for name in ["%00", "%ff", "..%2f", "Upper", "a__b", &"9".repeat(2_000)] {
        let found = town.server.get(&format!("/api/servers/{name}/tools"), &town.admin).await;
        found.is_problem(404, "not_found", name);
    }
    let private = json!({"name": "x", "url": "http://10.0.0.1/", "allowPrivate": true});
    town.ask("POST", "/api/servers", &town.personal, &private).await.is_problem(403, "admin_only", "not an admin");
    assert_eq!(town.server.get("/api/servers", &town.admin).await.body["items"], json!([]));
    town.server.stop().await;
}

#[tokio::test]
async fn a_definition_that_changed_waits_until_its_owner_accepts_what_they_saw() {
    let town = town().await;
    town.add().await;
    let path = "/api/servers/mine/tools";
    let tools = town.server.get(path, &town.personal).await;
    let states: Vec<&Value> = tools.body["items"].as_array().unwrap().iter().map(|tool| &tool["state"]).collect();
    assert_eq!(states, ["accepted", "accepted"]);
    assert_eq!(tools.body["trouble"], Value::Null);
    assert_eq!(tools.body["items"][0]["name"], "mine__effect");

    // As if another definition had been accepted before.
    let admin = town.server.db.admin();
    sqlx::query("update mcp_tool_pins set accepted_hash = sha256('x'), accepted = 'old' where tool = 'effect'")
        .execute(&admin)
        .await
        .unwrap();
    let tools = town.server.get(path, &town.personal).await;
    let changed = tools.body["items"][0].clone();
    assert_eq!((&changed["state"], &changed["accepted"]), (&json!("changed"), &json!("old")));
    assert!(changed["definition"].as_str().unwrap().contains("\"name\":\"effect\""));
    assert_eq!(town.server.get("/api/servers/mine", &town.personal).await.body["waitingTools"], 1);

    let accept = "/api/servers/mine/tools/effect/accept";
    let other = json!({"hash": "0".repeat(64)});
    town.ask("POST", accept, &town.personal, &other).await.is_problem(409, "definition_changed", "another hash");
    town.ask("POST", accept, &town.personal, &json!({"hash": "no"})).await.is_problem(400, "invalid_hash", "no hash");
    let seen = json!({"hash": changed["hash"]});
    town.ask("POST", accept, &town.work, &seen).await.is_problem(404, "not_found", "another profile");
    let accepted = town.ask("POST", accept, &town.personal, &seen).await;
    assert_eq!((accepted.status, &accepted.body["state"]), (200, &json!("accepted")));
    assert_eq!(town.server.get("/api/servers/mine", &town.personal).await.body["waitingTools"], 0);
    town.server.stop().await;
}

#[tokio::test]
async fn another_address_is_another_server() {
    let town = town().await;
    town.add().await;
    town.server.get("/api/servers/mine/tools", &town.personal).await;
    // Who is no admin keeps no permission for a new address.
    let elsewhere = json!({"url": "http://10.0.0.1/"});
    town.ask("PATCH", "/api/servers/mine", &town.personal, &elsewhere).await.is_problem(400, "invalid_url", "private");
    let moved =
        town.ask("PATCH", "/api/servers/mine", &town.personal, &json!({"url": "https://mcp.example.com/"})).await;
    assert_eq!((moved.status, &moved.body["allowPrivate"]), (200, &json!(false)), "{moved:?}");
    let pins: i64 =
        sqlx::query_scalar("select count(*) from mcp_tool_pins").fetch_one(&town.server.db.admin()).await.unwrap();
    assert_eq!(pins, 0);
    town.server.stop().await;
}

#[tokio::test]
async fn resources_and_prompts_of_a_server_without_any_are_empty_and_of_none_unknown() {
    let town = town().await;
    town.add().await;
    for what in ["resources", "prompts"] {
        let found = town.server.get(&format!("/api/servers/mine/{what}"), &town.personal).await;
        assert_eq!((found.status, &found.body["items"]), (200, &json!([])), "{found:?}");
        let none = town.server.get(&format!("/api/servers/none/{what}"), &town.personal).await;
        none.is_problem(404, "not_found", what);
    }
    let read = town.server.get("/api/servers/mine/resources/read", &town.personal).await;
    read.is_problem(400, "invalid_uri", "no uri");
    let read = town.server.get("/api/servers/mine/resources/read?uri=x:y", &town.personal).await;
    read.is_problem(409, "server_unavailable", "no such resource");
    let body = json!({"name": "none", "arguments": {"a": 1}});
    let got = town.ask("POST", "/api/servers/mine/prompts/get", &town.personal, &body).await;
    got.is_problem(400, "invalid_arguments", "a number");
    town.server.stop().await;
}

/// An address that answers nothing useful and keeps the `Authorization` of every request.
async fn capture() -> (String, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let answer = move |headers: HeaderMap| {
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        kept.lock().unwrap().push(authorization.unwrap_or_default());
        std::future::ready(StatusCode::NOT_FOUND)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (address, seen)
}

#[tokio::test]
async fn a_credential_reaches_the_origin_it_was_stored_for_and_no_other() {
    let town = town().await;
    let (home, at_home) = capture().await;
    let (elsewhere, at_elsewhere) = capture().await;
    let body = json!({"name": "mine", "url": format!("{home}/mcp"), "allowPrivate": true});
    assert_eq!(town.ask("POST", "/api/servers", &town.admin, &body).await.status, 201);
    let secret = json!({"token": "hunter2-hunter2", "origin": home});
    let stored = town.ask("PUT", "/api/credentials/mine", &town.admin, &secret).await;
    assert!(stored.status < 300, "{stored:?}");

    let tested = town.ask("POST", "/api/servers/mine/test", &town.admin, &Value::Null).await;
    assert_eq!(tested.body["ok"], json!(false));
    assert!(!tested.body.to_string().contains("hunter2"));
    assert_eq!(at_home.lock().unwrap().first().map(String::as_str), Some("Bearer hunter2-hunter2"));

    let moved = json!({"url": format!("{elsewhere}/mcp")});
    assert_eq!(town.ask("PATCH", "/api/servers/mine", &town.admin, &moved).await.status, 200);
    let tested = town.ask("POST", "/api/servers/mine/test", &town.admin, &Value::Null).await;
    let reason = tested.body["reason"].as_str().unwrap();
    assert!(reason.contains("another address"), "{reason}");
    assert_eq!(*at_elsewhere.lock().unwrap(), [""; 0], "not even asked");
    // A header that names a service without a credential is not left out silently.
    let headers = json!({"headers": [{"service": "other", "header": "X-Other"}]});
    assert_eq!(town.ask("PATCH", "/api/servers/mine", &town.admin, &headers).await.status, 200);
    let tested = town.ask("POST", "/api/servers/mine/test", &town.admin, &Value::Null).await;
    assert_eq!(tested.body["reason"], "it needs a credential for other, and none is stored");
    assert_eq!(*at_elsewhere.lock().unwrap(), [""; 0]);
    town.server.stop().await;
}

/// A server with a session for each connection. Counts the sessions that their clients ended.
async fn with_sessions() -> (String, Arc<Mutex<usize>>) {
    let ended = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&ended);
    let answer = move |method: Method, body: Bytes| {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let result = match request["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "f", "version": "1"}}),
            Some("tools/list") => json!({"tools": [{"name": "look", "inputSchema": {"type": "object"}}]}),
            _ => Value::Null,
        };
        *counted.lock().unwrap() += usize::from(method == Method::DELETE);
        let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        std::future::ready(match (method, result.is_null()) {
            (Method::GET, _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            (_, true) => StatusCode::ACCEPTED.into_response(),
            (_, false) => ([("mcp-session-id", "one")], axum::Json(answer)).into_response(),
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (address, ended)
}

#[tokio::test]
async fn a_server_that_is_removed_on_one_replica_is_left_by_the_other() {
    let town = town().await;
    let (address, ended) = with_sessions().await;
    let other = prepare(config(&town.server.db, &[])).await.unwrap();
    let app = other.app.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(other.serve(listener, std::future::pending()));
    let body = json!({"name": "mine", "url": address, "allowPrivate": true, "lifecycle": "initialize"});
    assert_eq!(town.ask("POST", "/api/servers", &town.admin, &body).await.status, 201);
    let owner = Owner { user: UserId::parse("anna").unwrap(), profile: profile("personal") };
    let tools = app.bridges().tools(&owner, "mine").await.expect("a server").expect("its tools");
    assert_eq!((tools.len(), *ended.lock().unwrap()), (1, 0));
    assert_eq!(town.ask("DELETE", "/api/servers/mine", &town.admin, &Value::Null).await.status, 204);
    soon("the other replica leaves", async || *ended.lock().unwrap() == 1).await;
    assert!(app.bridges().tools(&owner, "mine").await.is_none());
    town.server.stop().await;
}
