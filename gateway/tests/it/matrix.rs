//! The cross-user matrix: every route with an id and every frame with an id, asked by another user and by another
//! profile of the same user. A foreign id must answer exactly like an unknown one. The routes come from the router's
//! own table and the frames from the wire's, so a new one is red here until it is covered; the whole runs again with row security switched off.

use adjutant::http::router::{Auth, ROUTES, Route};
use adjutant::wire::client::FRAMES;
use adjutant_core::ids::{ApprovalId, FileId, MessageId, QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::message::{ForeignText, Part, Role as MessageRole};
use adjutant_core::question::Question;
use adjutant_core::run::consent::Policy;
use adjutant_core::scope::{Origin, Role, Scope, UserId};
use adjutant_engine::events::event::{EventBody, Live};
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};
use adjutant_store::threads::Kind;
use adjutant_store::{consents, policies, questions};
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Provider, Reply};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::server::{NewKey, TestServer, answer, profile};

/// What anna's personal profile has: a run that waits for consent, in a thread of its own.
struct Belongings {
    thread: ThreadId,
    message: MessageId,
    run: RunId,
    approval: ApprovalId,
    call: ToolCallId,
    device: String,
    key: String,
    file: FileId,
    /// Asked by that call.
    question: QuestionId,
}

struct Town {
    server: TestServer,
    belongings: Belongings,
    /// Who asks: a user and profile that is not the owner.
    strangers: Vec<(&'static str, NewKey)>,
}

async fn town() -> Town {
    let tools = EffectServer::start().await;
    let provider = Provider::start(|turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "a"})),
        _ => Reply::call("effects__effect", &json!({"key": "b"})),
    })
    .await;
    let folder = std::env::temp_dir().join(format!("adjutant-matrix-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("mcp.json");
    let servers = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
    std::fs::write(&config, servers.to_string()).unwrap();
    let server = TestServer::start_with(&[
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", &provider.base_url()),
        ("OPENAI_API_KEY", "sk-none"),
        ("ADJUTANT_MCP_CONFIG", config.to_str().unwrap()),
        ("CREDENTIALS_ENCRYPTION_KEY", "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    ])
    .await;
    let belongings = move_in(&server).await;
    let strangers = vec![
        ("another user", server.key("ben", "personal", Role::Admin).await),
        ("another profile", server.key("anna", "work", Role::Personal).await),
    ];
    Town { server, belongings, strangers }
}

async fn move_in(server: &TestServer) -> Belongings {
    let key = server.key("anna", "personal", Role::Personal).await;
    let credential = json!({"token": "annas-token-0123", "origin": "https://mcp.garmin.example"});
    let request = server.request("PUT", "/api/credentials/garmin").header("x-api-key", &key.secret).json(&credential);
    assert_eq!(request.send().await.unwrap().status(), 201);
    let scope = Scope::new(UserId::parse("anna").unwrap(), profile("personal"), Role::Personal, Origin::WebSocket);
    let anna = server.key("anna", "*", Role::Personal).await;
    let made = server.request("PUT", "/api/profiles/annas-own").header("x-api-key", &anna.secret);
    assert_eq!(made.json(&json!({})).send().await.unwrap().status(), 201);
    let engine = server.app.engine();
    let mut listener = engine.hub().subscribe(&scope.owner(), Interest::VisibleThreads);
    let submission = Submission {
        run_id: RunId::new(),
        thread: Target::New(Kind::Listed),
        parent: None,
        messages: vec![Draft { role: MessageRole::User, parts: vec![Part::text("anna's secret plan")] }],
        client_message_id: Some("annas-id".to_owned()),
        request: RunRequest::default(),
    };
    let accepted = engine.submit(&scope, submission).await.unwrap();
    let anna = server.key("anna", "personal", Role::Personal).await;
    let annas = json!({"name": "annas", "url": "https://mcp.example.com/"});
    let added = server.request("POST", "/api/servers").header("x-api-key", &anna.secret).json(&annas);
    assert_eq!(added.send().await.unwrap().status(), 201);
    let (approval, call) = loop {
        let live = tokio::time::timeout(std::time::Duration::from_secs(10), listener.next()).await;
        let Some(Live::Durable { events, .. }) = live.expect("the run asks") else { continue };
        let asked = events.iter().find_map(|event| match &event.body {
            EventBody::ApprovalRequested { approval_id, tool_call_id, .. } => Some((*approval_id, *tool_call_id)),
            _ => None,
        });
        if let Some(asked) = asked {
            break asked;
        }
    };
    let key = server.key("anna", "personal", Role::Personal).await;
    let session = answer(server.request("POST", "/api/session").bearer_auth(&key.secret)).await;
    let device = session.body["device"]["id"].as_str().unwrap().to_owned();
    let upload = server.request("POST", "/api/files?name=plan.txt").bearer_auth(&key.secret).body("anna's secret plan");
    let uploaded = answer(upload).await;
    let question = QuestionId::new();
    let form = Question { message: ForeignText::new("anna's secret question"), fields: Vec::new() };
    let run = accepted.run_id;
    let owner = scope.owner();
    server
        .app
        .store()
        .scoped(&owner, async |tx| {
            questions::insert(tx, question, run, call, &form).await?;
            policies::put(tx, "annas-server", None, Policy::Deny, 10).await?;
            policies::put(tx, "annas-server", Some("tool"), Policy::Deny, 10).await?;
            consents::allow(tx, "cos", "annas-server", "tool", None).await
        })
        .await
        .unwrap();
    let (thread, message) = (accepted.thread_id, accepted.message_id);
    let file = uploaded.body["id"].as_str().unwrap().parse().unwrap();
    Belongings { thread, message, run, approval, call, device, key: key.id, file, question }
}

#[tokio::test]
async fn foreign_ids_answer_like_unknown_ones_on_every_route_and_frame() {
    let town = town().await;
    every_route(&town).await;
    every_frame(&town).await;
    the_openai_door(&town).await;
    the_agui_door(&town).await;
    nothing_changed(&town).await;
}

/// The predicates of the queries alone: the application role bypasses row security meanwhile.
#[tokio::test]
async fn foreign_ids_answer_like_unknown_ones_without_row_security() {
    let town = town().await;
    let admin = town.server.db.admin();
    sqlx::raw_sql("alter role adjutant_app bypassrls").execute(&admin).await.unwrap();
    let visible: i64 =
        sqlx::query_scalar("select count(*) from threads").fetch_one(&town.server.db.bare_app()).await.unwrap();
    assert_eq!(visible, 1, "row security is off");
    every_route(&town).await;
    every_frame(&town).await;
    the_openai_door(&town).await;
    the_agui_door(&town).await;
    nothing_changed(&town).await;
    sqlx::raw_sql("alter role adjutant_app nobypassrls").execute(&admin).await.unwrap();
}

async fn every_route(town: &Town) {
    let known = &town.belongings;
    // The page is the same for everybody, whatever its address names.
    for route in ROUTES.iter().filter(|route| route.auth != Auth::None && route.path.contains('{')) {
        let (mine, nobodys) = match route.path {
            path if path.starts_with("/api/threads/") => (known.thread.to_string(), ThreadId::new().to_string()),
            path if path.starts_with("/api/devices/") => (known.device.clone(), "d0d0d0d0d0".to_owned()),
            path if path.starts_with("/api/keys/") => (known.key.clone(), "e0e0e0e0e0".to_owned()),
            path if path.starts_with("/api/runs/") => (known.run.to_string(), RunId::new().to_string()),
            // The caller's own is stored, whatever others have: `credentials` shows that theirs stays.
            "/api/credentials/{service}" if route.method == "PUT" => continue,
            "/api/credentials/{service}" => ("garmin".to_owned(), "unheard-of".to_owned()),
            path if path.starts_with("/api/approvals/") => (known.approval.to_string(), ApprovalId::new().to_string()),
            path if path.starts_with("/api/questions/") => (known.question.to_string(), QuestionId::new().to_string()),
            // A name is the caller's own profile, whatever others have: see `profiles`.
            path if path.starts_with("/api/files/") => (known.file.to_string(), FileId::new().to_string()),
            // Models belong to nobody.
            "/api/profiles/{name}" | "/v1/models/{id}" => continue,
            // Names, some of which need a body: below.
            path if path.contains("{server}") => continue,
            path if path.contains("{name}") => continue,
            other => panic!("the matrix does not cover {other}"),
        };
        for (who, key) in &town.strangers {
            let foreign = shape(town, route.method.as_str(), route.path, &mine, key).await;
            let unknown = shape(town, route.method.as_str(), route.path, &nobodys, key).await;
            assert_eq!(foreign, unknown, "{} {} for {who}", route.method, route.path);
            assert_eq!(foreign.0, 404, "{} {} for {who}", route.method, route.path);
        }
    }
    every_server_route(town).await;
    // Names are the user's own: another user's key for all profiles finds anna's as little as one that nobody has.
    let ben = town.server.key("ben", "*", Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.path.contains("{name}") && !is_servers(route)) {
        // A name that is free is one that may be made.
        if route.method == "PUT" {
            continue;
        }
        let path = route.path.replace("{name}", "{id}");
        let foreign = shape(town, route.method.as_str(), &path, "annas-own", &ben).await;
        let unknown = shape(town, route.method.as_str(), &path, "nobodys", &ben).await;
        assert_eq!(foreign, unknown, "{} {}", route.method, route.path);
        assert_eq!(foreign.0, 404, "{} {}", route.method, route.path);
    }
    // Names are no ids: taking back what somebody else has under one is like taking back what nobody has.
    for route in ROUTES.iter().filter(|route| route.path.contains("{server}") && route.method == "DELETE") {
        let named = |server: &str| route.path.replace("{server}", server).replace("{tool}", "tool");
        for (who, key) in &town.strangers {
            let foreign = shape(town, "DELETE", &named("annas-server"), "annas-server", key).await;
            let unknown = shape(town, "DELETE", &named("no-server"), "no-server", key).await;
            assert_eq!((&foreign, foreign.0), (&unknown, 404), "{} for {who}", route.path);
        }
    }
    for (who, key) in &town.strangers {
        let servers = town.server.get("/api/servers", &key.secret).await;
        let names: Vec<&Value> = servers.body["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
        assert_eq!(names, ["effects"], "{who}");
        let threads = town.server.get("/api/threads", &key.secret).await;
        assert_eq!(threads.body["items"], json!([]), "{who}");
        let credentials = town.server.get("/api/credentials", &key.secret).await;
        assert_eq!((credentials.status, &credentials.body["items"]), (200, &json!([])), "{who}");
        for list in
            ["threads", "folders", "credentials", "approvals?state=all", "questions?state=all", "policies", "consents"]
        {
            let found = town.server.get(&format!("/api/{list}"), &key.secret).await;
            assert_eq!(found.body["items"], json!([]), "{list} for {who}");
        }
    }
}

fn is_servers(route: &Route) -> bool {
    route.path.starts_with("/api/servers/{name}")
}

/// Servers are named by their owners: the name that anna gave hers means nothing to others.
async fn every_server_route(town: &Town) {
    let hash = json!({"hash": "0".repeat(64), "name": "x"});
    for route in ROUTES.iter().filter(|route| is_servers(route)) {
        for (who, key) in &town.strangers {
            let mut answers = Vec::new();
            for name in ["annas", "nobodys"] {
                let path = route.path.replace("{name}", name).replace("{tool}", "count");
                let path = if path.ends_with("/read") { format!("{path}?uri=x") } else { path };
                let request = town.server.request(route.method.as_str(), &path).header("x-api-key", &key.secret);
                let body = match (&route.method, route.path.rsplit('/').next()) {
                    (&http::Method::PATCH, _) => Some(json!({"enabled": false})),
                    (&http::Method::POST, Some("accept")) => Some(json!({"hash": hash["hash"]})),
                    (&http::Method::POST, Some("get")) => Some(json!({"name": "x"})),
                    _ => None,
                };
                let request = if let Some(body) = body { request.json(&body) } else { request };
                let response = request.send().await.unwrap();
                let status = response.status().as_u16();
                let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
                answers.push((status, response.text().await.unwrap().replace(&id, "REQUEST").replace(name, "NAME")));
            }
            assert_eq!(answers[0], answers[1], "{} {} for {who}", route.method, route.path);
            assert_eq!(answers[0].0, 404, "{} {} for {who}", route.method, route.path);
        }
    }
}

/// What a route wants to be sent, as its owner could send it.
pub(crate) fn body(method: &str, path: &str, message: MessageId) -> Option<Value> {
    match (method, path) {
        ("PATCH", "/api/threads/{id}") => Some(json!({"title": "mine now", "folder": "mine", "headId": message})),
        ("PATCH", "/api/runs/{id}") => Some(json!({"content": "mine now"})),
        ("POST", "/api/approvals/{id}") => Some(json!({"decision": "always"})),
        ("POST", "/api/questions/{id}") => Some(json!({"action": "accept"})),
        ("POST", "/api/threads/{id}/fork") => Some(json!({"messageId": message})),
        ("POST", "/api/threads/{id}/messages") => Some(json!({"editedId": message, "content": "x"})),
        ("POST", "/api/threads/{id}/retry") => Some(json!({"clientMessageId": "x", "messageId": message})),
        _ => None,
    }
}

/// Status, headers and body of an answer, without what differs for every request.
async fn shape(town: &Town, method: &str, path: &str, id: &str, key: &NewKey) -> (u16, Vec<(String, String)>, String) {
    let asked = path.replace("{id}", id).replace("{service}", id);
    let mut request = town.server.request(method, &asked).header("x-api-key", &key.secret);
    if let Some(body) = body(method, path, town.belongings.message) {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let request_id = response.headers().get("x-request-id").map(|value| value.to_str().unwrap().to_owned());
    let mut headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let body = response.text().await.unwrap();
    (status, headers, body.replace(&request_id.unwrap_or_default(), "REQUEST").replace(id, "ID"))
}

async fn every_frame(town: &Town) {
    let known = &town.belongings;
    let pairs = [
        (submit(&json!({"threadId": known.thread})), submit(&json!({"threadId": ThreadId::new()}))),
        (submit(&json!({"parentId": known.message})), submit(&json!({"parentId": MessageId::new()}))),
        (
            submit(&json!({"threadId": known.thread, "editedId": known.message})),
            submit(&json!({"threadId": ThreadId::new(), "editedId": MessageId::new()})),
        ),
        (retry(known.thread, known.message), retry(ThreadId::new(), MessageId::new())),
        (json!({"type": "run.cancel", "runId": known.run}), json!({"type": "run.cancel", "runId": RunId::new()})),
        (decide(known.approval), decide(ApprovalId::new())),
        (question_answer(known.question), question_answer(QuestionId::new())),
        (resume(known.thread), resume(ThreadId::new())),
    ];
    // A ping names nothing.
    for (kind, _) in FRAMES.iter().filter(|(kind, _)| *kind != "ping") {
        assert!(pairs.iter().any(|(foreign, _)| foreign["type"] == *kind), "the matrix does not cover {kind}");
    }
    for (who, key) in &town.strangers {
        let mut request = format!("ws://{}/ws", town.server.address).into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", key.secret.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        for (foreign, unknown) in &pairs {
            let mut answers = Vec::new();
            for frame in [foreign, unknown] {
                socket.send(Message::text(frame.to_string())).await.unwrap();
                let answer = tokio::time::timeout(std::time::Duration::from_secs(10), socket.next()).await;
                let answer = answer.unwrap_or_else(|_| panic!("no answer to {frame}")).unwrap().unwrap();
                let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
                assert_eq!(answer["type"], "error", "{who}: {frame} got {answer}");
                answers.push(anonymous(&answer, frame));
            }
            assert_eq!(answers[0], answers[1], "{who}: {foreign}");
        }
    }
}

fn submit(more: &Value) -> Value {
    let mut frame = json!({"type": "run.submit", "clientMessageId": "strangers-id", "content": "let me in"});
    frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    frame
}

fn retry(thread: ThreadId, message: MessageId) -> Value {
    json!({"type": "run.retry", "clientMessageId": "strangers-id", "threadId": thread, "messageId": message})
}

fn decide(approval: ApprovalId) -> Value {
    json!({"type": "approval.decide", "approvalId": approval, "decision": "once"})
}

fn question_answer(question: QuestionId) -> Value {
    json!({"type": "question.answer", "questionId": question, "action": "decline"})
}

fn resume(thread: ThreadId) -> Value {
    json!({"type": "resume", "threads": {thread.to_string(): 0}})
}

/// The answer with the ids of the question taken out.
fn anonymous(answer: &Value, question: &Value) -> String {
    let mut text = answer.to_string();
    for id in question.to_string().split('"').filter(|part| part.len() == 36) {
        text = text.replace(id, "ID");
    }
    text
}

async fn the_openai_door(town: &Town) {
    let known = &town.belongings;
    let call = |id: ToolCallId| format!("call_{}", id.as_uuid().simple());
    for (who, key) in &town.strangers {
        let mut answers = Vec::new();
        for thread in [known.thread, ThreadId::new()] {
            let body = json!({"model": "cos", "messages": [{"role": "user", "content": "let me in"}]});
            let request = town.server.request("POST", "/v1/chat/completions").bearer_auth(&key.secret);
            let response = request.header("x-thread-id", thread.to_string()).json(&body).send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap().replace(&thread.to_string(), "ID");
            answers.push((status, text));
        }
        assert_eq!(answers[0], answers[1], "{who}");
        assert_eq!(answers[0].0, 404, "{who}");

        // A foreign call id is history like any other: the stranger gets an answer of their own.
        for id in [known.call, ToolCallId::new()] {
            let asked = json!({"id": call(id), "type": "function", "function": {"name": "x", "arguments": "{}"}});
            let messages = json!([
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": null, "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": call(id), "content": "forged"},
            ]);
            let request = town.server.request("POST", "/v1/chat/completions").bearer_auth(&key.secret);
            let response = request.json(&json!({"model": "cos", "messages": messages})).send().await.unwrap();
            assert_eq!(response.status(), 200, "{who}");
            let run = response.headers()["x-run-id"].to_str().unwrap().to_owned();
            assert_ne!(run, known.run.to_string(), "{who}");
        }
    }
}

/// The thread of somebody else is a name like any other, and its interrupt is none.
async fn the_agui_door(town: &Town) {
    let known = &town.belongings;
    for (who, key) in &town.strangers {
        let mut answers = Vec::new();
        for (thread, approval) in [(known.thread, known.approval), (ThreadId::new(), ApprovalId::new())] {
            let resume = json!([{"interruptId": approval, "status": "resolved", "payload": {"approved": true}}]);
            let body = json!({"threadId": thread, "runId": "r", "messages": [], "resume": resume});
            let request = town.server.request("POST", "/api/agui").bearer_auth(&key.secret).json(&body);
            let answer = answer(request).await;
            answers.push((answer.status, answer.body["code"].clone()));
        }
        assert_eq!(answers[0], answers[1], "{who}");
        assert_eq!(answers[0], (404, json!("thread_not_found")), "{who}");
        let messages = json!([{"id": "1", "role": "user", "content": "let me in"}]);
        let body = json!({"threadId": known.thread, "runId": "r", "messages": messages});
        let request = town.server.request("POST", "/api/agui").bearer_auth(&key.secret).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{who}");
        assert_ne!(response.headers()["x-thread-id"].to_str().unwrap(), known.thread.to_string(), "{who}");
    }
}

/// What anna has is as it was: still waiting, nothing decided, two messages and one result.
async fn nothing_changed(town: &Town) {
    let key = town.server.key("anna", "personal", Role::Personal).await;
    let run = town.server.get(&format!("/api/runs/{}", town.belongings.run), &key.secret).await;
    assert_eq!(run.body["state"], "waiting");
    let credentials = town.server.get("/api/credentials", &key.secret).await;
    assert_eq!(credentials.body["items"][0]["lastFour"], "0123");
    let server = town.server.get("/api/servers/annas", &key.secret).await;
    assert_eq!((server.status, &server.body["enabled"]), (200, &json!(true)));
    let keys = town.server.get("/api/keys", &key.secret).await;
    assert!(keys.body["items"].as_array().unwrap().iter().any(|key| key["id"] == town.belongings.key.as_str()));
    let devices = town.server.get("/api/devices", &key.secret).await;
    assert_eq!(devices.body["items"][0]["id"], town.belongings.device.as_str());
    for (list, count) in [("approvals", 1), ("questions", 1), ("policies", 2), ("consents", 1)] {
        let found = town.server.get(&format!("/api/{list}"), &key.secret).await;
        assert_eq!(found.body["items"].as_array().map(Vec::len), Some(count), "{list}: {}", found.body);
    }
    let path = format!("/api/threads/{}/messages", town.belongings.thread);
    let messages = town.server.get(&path, &key.secret).await;
    let items = messages.body["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 4, "{items:#?}");
    assert!(!messages.body.to_string().contains("let me in") && !messages.body.to_string().contains("forged"));
}
