//! AG-UI over server-sent events: the protocol's own client and schemas, and what happens between requests.

use std::process::Stdio;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::peers::{CEILING, peer, peers, root};
use crate::server::{KEY, TestServer, answer, soon};
use crate::ws_ag_ui::judge;
use crate::ws_support::House;

fn script(turn: &Turn) -> Reply {
    let call = |name: &str| Reply::call(name, &json!({"key": "k"}));
    let said = turn.last_user();
    match (said.as_str(), turn.round()) {
        ("hello", _) => Reply::Stream(vec![Piece::Text("Hello ".to_owned()), Piece::Text("there.".to_owned())]),
        ("what did I say?", _) => {
            let all = turn.body.to_string();
            assert!(all.contains("hello") && all.contains("- the page: settings"), "{all}");
            assert_eq!(all.matches("- the page: settings").count(), 1, "told once: {all}");
            Reply::text("You said: hello. You are at: settings.")
        }
        // What it read makes the tool with effects ask.
        ("do it", 0) => call("effects__look"),
        ("do it", 1) => call("effects__effect"),
        ("do it", _) if turn.results().concat().contains("the person denied") => Reply::text("It was not done."),
        ("do it", _) => Reply::text("It is done."),
        ("paint it", 0) => Reply::call("pick_colour", &json!({})),
        ("paint it", _) => Reply::text("It is green now."),
        ("fail", _) => Reply::Status(401, "{}".to_owned()),
        ("break off", _) => Reply::Stream(vec![Piece::Text("Well, ".to_owned()), Piece::Cut]),
        (other, _) => panic!("{other}"),
    }
}

pub(crate) fn input(thread: &str, messages: &Value) -> Value {
    json!({"threadId": thread, "runId": "run-1", "messages": messages, "tools": [], "context": [], "state": {},
        "forwardedProps": {}})
}

pub(crate) fn user(id: &str, text: &str) -> Value {
    json!({"id": id, "role": "user", "content": text})
}

/// All events of one response.
pub(crate) async fn run(server: &TestServer, input: &Value) -> Vec<Value> {
    let request = server.request("POST", "/api/agui").bearer_auth(KEY).header("accept", "text/event-stream");
    let response = request.json(input).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    events(&response.text().await.unwrap())
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

pub(crate) fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).filter(|kind| *kind != "CUSTOM").collect()
}

pub(crate) fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter(|event| event["type"] == "TEXT_MESSAGE_CONTENT")
        .map(|event| event["delta"].as_str().unwrap())
        .collect()
}

pub(crate) fn interrupt(events: &[Value]) -> &Value {
    let end = events.last().unwrap();
    assert_eq!((&end["type"], &end["outcome"]["type"]), (&json!("RUN_FINISHED"), &json!("interrupt")), "{end}");
    &end["outcome"]["interrupts"][0]
}

pub(crate) async fn runs(house: &House) -> i64 {
    sqlx::query_scalar("select count(*) from runs").fetch_one(&house.server.db.admin()).await.unwrap()
}

#[tokio::test]
async fn the_protocols_own_client_runs_resumes_and_answers() {
    let house = House::new(script).await;
    let client = Command::new(peer("bin/node"))
        .arg(root().join("tests/peers/ag_ui_client.mjs"))
        .env("ADJUTANT_PEERS_DIR", peers())
        .env("AGENT_URL", house.server.url("/api/agui"))
        .env("API_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let verdict = timeout(CEILING, client.wait_with_output()).await.expect("the client ends").unwrap();
    let (said, complained) = (String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr));
    assert!(verdict.status.success(), "{said}\n{complained}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 4, "{said}");
    assert_eq!(house.tools.effects(), [("k".to_owned(), 1)].into());
    house.server.stop().await;
}

#[tokio::test]
async fn every_event_is_ag_ui_under_the_clients_names() {
    let house = House::new(script).await;
    let server = &house.server;
    let mut all = Vec::new();
    for (thread, said) in [("t", "hello"), ("t2", "do it"), ("t3", "paint it"), ("t4", "fail"), ("t5", "break off")] {
        let mut input = input(thread, &json!([user(thread, said)]));
        input["tools"] = json!([{"name": "pick_colour", "description": "asks"}]);
        let told = run(server, &input).await;
        let first = &told[0];
        assert_eq!(
            (&first["type"], &first["threadId"], &first["runId"]),
            (&json!("RUN_STARTED"), &json!(thread), &json!("run-1"))
        );
        all.extend(told);
    }
    assert_eq!(
        kinds(&all[..6]),
        [
            "RUN_STARTED",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "RUN_FINISHED"
        ]
    );
    assert!(all.iter().any(|event| event["type"] == "RUN_ERROR" && event["code"] == "model_unauthorized"));
    assert!(all.iter().any(|event| event["outcome"]["pendingToolCallIds"].is_array()));
    let lines: Vec<String> = all.iter().map(Value::to_string).collect();
    judge(&lines.join("\n")).await;
}

#[tokio::test]
async fn the_same_messages_again_are_one_run() {
    let house = House::new(script).await;
    let asked = input("any name", &json!([user("1", "hello")]));
    let first = run(&house.server, &asked).await;
    let again = run(&house.server, &asked).await;
    assert_eq!(text(&again), "Hello there.");
    assert_eq!(first[0]["metadata"], again[0]["metadata"]);
    assert_eq!(runs(&house).await, 1);
    // The same message id in another thread is another message.
    run(&house.server, &input("another name", &json!([user("1", "hello")]))).await;
    assert_eq!(runs(&house).await, 2);
    house.server.stop().await;
}

#[tokio::test]
async fn a_resume_that_is_sent_twice_decides_once_and_tells_the_rest_again() {
    let house = House::new(script).await;
    let asked = input("t", &json!([user("1", "do it")]));
    let told = run(&house.server, &asked).await;
    let id = interrupt(&told)["id"].clone();
    let waiting = input("t", &json!([user("1", "do it"), user("2", "hello")]));
    let refused = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&waiting);
    answer(refused).await.is_problem(409, "thread_waiting", "a message while it waits");
    assert_eq!(interrupt(&run(&house.server, &asked).await)["id"], id, "the same messages say the same");
    let mut resume = input("t", &json!([user("1", "do it")]));
    resume["resume"] = json!([{"interruptId": id, "status": "resolved", "payload": {"approved": true}}]);
    for _ in 0..2 {
        let told = run(&house.server, &resume).await;
        assert_eq!(text(&told), "It is done.");
        assert_eq!(told.last().unwrap()["outcome"]["type"], "success");
    }
    assert_eq!(house.tools.effects(), [("k".to_owned(), 1)].into());
    let unknown = adjutant_core::ids::ApprovalId::new().to_string();
    for (thread, id, status, code) in [
        ("t", unknown.as_str(), 409, "no_such_interrupt"),
        ("nowhere", unknown.as_str(), 404, "thread_not_found"),
        ("t", "int-1", 400, "invalid_value"),
    ] {
        let mut resume = input(thread, &json!([]));
        resume["resume"] = json!([{"interruptId": id, "status": "cancelled"}]);
        let request = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&resume);
        answer(request).await.is_problem(status, code, id);
    }
    house.server.stop().await;
}

#[tokio::test]
async fn closing_the_connection_ends_nothing() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let hold = std::sync::Arc::clone(&gate);
    let house = House::new(move |_| {
        Reply::Stream(vec![
            Piece::Text("Hello ".to_owned()),
            Piece::Hold(hold.clone()),
            Piece::Text("there.".to_owned()),
        ])
    })
    .await;
    let asked = input("t", &json!([user("1", "hello")]));
    let request = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&asked);
    let mut response = request.send().await.unwrap();
    let run = response.headers()["x-run-id"].to_str().unwrap().to_owned();
    while !String::from_utf8_lossy(&response.chunk().await.unwrap().unwrap()).contains("Hello ") {}
    drop(response);
    gate.add_permits(1);
    let path = format!("/api/runs/{run}");
    soon("the run ends well", || async { house.server.get(&path, KEY).await.body["state"] == "succeeded" }).await;
    assert_eq!(text(&self::run(&house.server, &asked).await), "Hello there.");
    house.server.stop().await;
}

#[tokio::test]
async fn what_is_no_input_is_refused() {
    let house = House::new(script).await;
    let good = || input("t", &json!([user("1", "hello")]));
    let with = |field: &str, value: Value| {
        let mut input = good();
        input[field] = value;
        input
    };
    for bad in [
        json!([]),
        json!({"threadId": "t", "runId": "r"}),
        with("threadId", json!(7)),
        with("threadId", json!("")),
        with("threadId", json!("x".repeat(201))),
        with("runId", json!("a\u{0}b")),
        with("messages", json!([])),
        with("messages", json!([{"id": "1", "role": "user", "content": {"a": 1}}])),
        with("messages", json!([{"id": "1", "role": "user", "content": [{"type": "image", "source": {}}]}])),
        with("messages", json!([{"id": "1", "role": "robot", "content": "hi"}])),
        with("messages", json!([{"id": "1", "role": "assistant", "content": "hi"}])),
        with("tools", json!([{"name": "no name", "description": ""}])),
        with("context", json!([{"description": "d"}])),
        with("resume", json!([{"interruptId": "x", "status": "maybe"}])),
    ] {
        let request = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&bad);
        let answer = answer(request).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    assert_eq!(runs(&house).await, 0);
    house.server.stop().await;
}

#[tokio::test]
async fn what_is_no_request_has_its_code_and_nobody_gets_in_without_a_key() {
    let house = House::new(script).await;
    let good = input("t", &json!([user("1", "hello")]));
    let bare = || house.server.request("POST", "/api/agui");
    answer(bare().json(&good)).await.is_problem(401, "unauthorized", "no key");
    answer(bare().bearer_auth("wrong").json(&good)).await.is_problem(401, "unauthorized", "a wrong key");
    answer(bare().body("{")).await.is_problem(401, "unauthorized", "no key and no sense");
    let post = |body: Vec<u8>| answer(bare().bearer_auth(KEY).header("content-type", "application/json").body(body));
    let text = good.to_string();
    let cut = text.as_bytes()[..text.len() - 2].to_vec();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes();
    let latin = [text.as_bytes(), b"\xff"].concat();
    let long = vec![b' '; adjutant_core::limits::OPENAI_BODY_BYTES + 1];
    let wrong = |field: &str, value: Value| {
        let mut input = good.clone();
        input[field] = value;
        input.to_string().into_bytes()
    };
    for (body, status, code) in [
        (Vec::new(), 400, "invalid_json"),
        (cut, 400, "invalid_json"),
        (deep, 400, "invalid_body"),
        (latin, 400, "invalid_utf8"),
        (long, 413, "body_too_large"),
        (wrong("messages", json!("hello")), 400, "invalid_body"),
        (wrong("messages", json!([{"role": "user", "content": "no id"}])), 400, "invalid_body"),
        (wrong("tools", json!({})), 400, "invalid_body"),
        (wrong("resume", json!([{"interruptId": 7, "status": "cancelled"}])), 400, "invalid_body"),
        (wrong("threadId", json!("a\u{7}b")), 400, "invalid_value"),
        (wrong("runId", json!("a\nb")), 400, "invalid_value"),
        (wrong("forwardedProps", json!({"mode": "\u{0}"})), 400, "unsupported_mode"),
    ] {
        let about = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        post(body).await.is_problem(status, code, &about);
    }
    let plain = bare().bearer_auth(KEY).header("content-type", "text/plain").body(text);
    answer(plain).await.is_problem(415, "unsupported_media_type", "plain text");
    assert_eq!(runs(&house).await, 0);
    // What a person wrote may hold anything; NUL alone is replaced, and an application's own properties are not read.
    let mut odd = input("t", &json!([user("\u{0}\u{7}", "hello")]));
    odd["forwardedProps"] = json!(["any", {"mode": 1}]);
    odd["state"] = json!(7);
    assert_eq!(self::text(&run(&house.server, &odd).await), "Hello there.");
    house.server.stop().await;
}
