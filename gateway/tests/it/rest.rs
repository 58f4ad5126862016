//! Threads, messages and runs over REST: pages, one run in full, what a person does to a run, and that
//! an id is no right.

use std::sync::Arc;
use std::time::Duration;

use adjutant::http::router::{Auth, ROUTES, Route};
use adjutant::problem::code_and_sentence;
use adjutant_core::credential::Service;
use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::message::{Part, Role as MessageRole};
use adjutant_core::scope::{Origin, Role, Scope, UserId};
use adjutant_engine::events::event::Live;
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_engine::runs::submission::{Accepted, Draft, RunRequest, Submission, SubmitError, Target};
use adjutant_store::threads::Kind;
use adjutant_testkit::provider::{Piece, Provider, Reply};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::matrix;
use crate::server::{Answer, KEY, TestServer, answer, profile};

fn scope(user: &str) -> Scope {
    Scope::new(UserId::parse(user).unwrap(), profile("personal"), Role::Personal, Origin::WebSocket)
}

fn submission(thread: Target, text: &str) -> Submission {
    Submission {
        run_id: RunId::new(),
        thread,
        parent: None,
        messages: vec![Draft { role: MessageRole::User, parts: vec![Part::text(text)] }],
        client_message_id: Some(format!("client-{text}")),
        request: RunRequest::default(),
    }
}

/// Submits and waits for the end of the run.
async fn say(server: &TestServer, user: &str, thread: Target, text: &str) -> Accepted {
    let scope = scope(user);
    let submission = submission(thread, text);
    let mut live = server.app.engine().hub().subscribe(&scope.owner(), Interest::Run(submission.run_id));
    let accepted = server.app.engine().submit(&scope, submission).await.unwrap();
    ended(&mut live, accepted.run_id).await;
    accepted
}

async fn ended(live: &mut Subscription, run: RunId) {
    let ended = async {
        loop {
            let Live::Durable { events, .. } = live.next().await.expect("still listening") else { continue };
            if events.iter().any(|event| event.run_id == Some(run) && event.body.ends_run()) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(10), ended).await.expect("the run ends");
}

async fn with_model() -> (TestServer, Provider) {
    let provider = Provider::start(|turn| Reply::text(&format!("echo {}", turn.last_user()))).await;
    (with(&provider).await, provider)
}

async fn with(provider: &Provider) -> TestServer {
    let base_url = provider.base_url();
    let model = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "scripted"), ("OPENAI_BASE_URL", base_url.as_str())];
    TestServer::start_with(&model).await
}

#[tokio::test]
async fn threads_come_newest_first_and_page_by_page() {
    let (server, _provider) = with_model().await;
    let mut expected = Vec::new();
    for number in 0..5 {
        let said = say(
            &server,
            "owner",
            Target::New(if number == 2 { Kind::Hidden } else { Kind::Listed }),
            &format!("t{number}"),
        )
        .await;
        if number != 2 {
            expected.insert(0, said.thread_id.to_string());
        }
    }
    let mut found = Vec::new();
    let mut path = "/api/threads?limit=2".to_owned();
    loop {
        let page = server.get(&path, KEY).await;
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/api/threads?limit=2&before={next}");
    }
    assert_eq!(found, expected);
    server.stop().await;
}

#[tokio::test]
async fn messages_have_their_fields_and_pages_lead_back_to_the_first() {
    let (server, provider) = with_model().await;
    let first = say(&server, "owner", Target::New(Kind::Listed), "one").await;
    let thread = first.thread_id;
    for text in ["two", "three"] {
        say(&server, "owner", Target::Existing(thread), text).await;
    }
    let all = server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body;
    assert_eq!(all["next"], Value::Null);
    let items = all["items"].as_array().unwrap();
    let texts: Vec<&str> = items.iter().map(|item| item["content"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one", "echo one", "two", "echo two", "three", "echo three"]);
    assert_eq!(
        items[0],
        json!({
            "id": first.message_id, "clientMessageId": "client-one", "threadId": thread, "parentId": null,
            "siblingIds": [first.message_id], "runId": first.run_id, "role": "user", "content": [{"type": "text", "text": "one"}], "seq": first.seq,
            "partial": false, "model": null, "createdAt": items[0]["createdAt"],
        })
    );
    for pair in items.windows(2) {
        assert_eq!(pair[1]["parentId"], pair[0]["id"]);
    }
    let mut paged: Vec<Value> = Vec::new();
    let mut path = format!("/api/threads/{thread}/messages?limit=4");
    loop {
        let page = server.get(&path, KEY).await.body;
        paged.splice(0..0, page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/threads/{thread}/messages?limit=4&before={next}");
    }
    assert_eq!(&paged, items);
    let before_two = items[2]["seq"].as_i64().unwrap();
    let earlier = server.get(&format!("/api/threads/{thread}/messages?before={before_two}"), KEY).await.body;
    assert_eq!(earlier["items"].as_array().unwrap().len(), 2);
    assert_eq!(provider.faults(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_run_is_shown_with_its_steps() {
    let (server, _provider) = with_model().await;
    let said = say(&server, "owner", Target::New(Kind::Listed), "hello").await;
    let run = server.get(&format!("/api/runs/{}", said.run_id), KEY).await.body;
    for (field, expected) in [
        ("id", json!(said.run_id)),
        ("threadId", json!(said.thread_id)),
        ("messageId", json!(said.message_id)),
        ("state", json!("succeeded")),
        ("agent", json!("cos")),
        ("origin", json!("web_socket")),
        ("error", Value::Null),
        ("crashes", json!(0)),
    ] {
        assert_eq!(run[field], expected, "{field} of {run}");
    }
    let steps = run["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{run}");
    assert_eq!((&steps[0]["type"], &steps[0]["error"]), (&json!("model_call"), &Value::Null));
    server.stop().await;
}

#[tokio::test]
async fn cancelling_is_accepted_and_a_run_that_is_not_quarantined_cannot_be_decided() {
    let (server, _provider) = with_model().await;
    let said = say(&server, "owner", Target::New(Kind::Listed), "hello").await;
    let post = |verb: &str| server.request("POST", &format!("/api/runs/{}/{verb}", said.run_id)).bearer_auth(KEY);
    let cancelled = answer(post("cancel")).await;
    assert_eq!((cancelled.status, &cancelled.body), (202, &json!({"runId": said.run_id})));
    for verb in ["retry", "discard"] {
        answer(post(verb)).await.is_problem(409, "run_not_quarantined", verb);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_quarantined_run_can_be_tried_again_or_discarded() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let provider = Provider::start(move |_| Reply::Stream(vec![Piece::Hold(gate.clone()), Piece::Text("done".into())]));
    let server = with(&provider.await).await;
    let (scope, engine) = (scope("owner"), server.app.engine());
    let busy = engine.submit(&scope, submission(Target::New(Kind::Listed), "busy")).await.unwrap();
    for (verb, state) in [("discard", "discarded"), ("retry", "succeeded")] {
        let queued = engine.submit(&scope, submission(Target::Existing(busy.thread_id), verb)).await.unwrap();
        sqlx::query("update runs set state = 'quarantined' where id = $1")
            .bind(queued.run_id.as_uuid())
            .execute(&server.db.admin())
            .await
            .unwrap();
        let mut live = engine.hub().subscribe(&scope.owner(), Interest::Run(queued.run_id));
        let path = format!("/api/runs/{}", queued.run_id);
        let changed = answer(server.request("POST", &format!("{path}/{verb}")).bearer_auth(KEY)).await;
        assert_eq!((changed.status, changed.body), (202, json!({"runId": queued.run_id})), "{verb}");
        if verb == "retry" {
            hold.add_permits(100);
        }
        ended(&mut live, queued.run_id).await;
        let run = server.get(&path, KEY).await.body;
        assert_eq!(run["state"], state, "{run}");
    }
    server.stop().await;
}

/// Generated from the table, so that a new route is covered or red.
#[tokio::test]
async fn a_foreign_id_answers_like_an_unknown_one_on_every_route() {
    let (server, _provider) = with_model().await;
    let anna = say(&server, "anna", Target::New(Kind::Listed), "private").await;
    let work = server.key("anna", "work", Role::Personal).await.secret;
    let hers = server.key("anna", "personal", Role::Personal).await.secret;
    let session = answer(server.request("POST", "/api/session").bearer_auth(&hers)).await;
    let device = session.body["device"]["id"].as_str().unwrap().to_owned();
    let her_key = server.get("/api/me", &hers).await.body["keyId"].as_str().unwrap().to_owned();
    for route in ROUTES.iter().filter(|route| route.path.contains("{id}")) {
        let unknown = if route.path.starts_with("/api/threads") {
            (anna.thread_id.to_string(), ThreadId::new().to_string())
        } else if route.path.starts_with("/api/devices") {
            (device.clone(), "d0d0d0d0d0".to_owned())
        } else if route.path.starts_with("/api/keys") {
            (her_key.clone(), "d0d0d0d0d0".to_owned())
        } else if route.path.starts_with("/api/runs") {
            (anna.run_id.to_string(), RunId::new().to_string())
        } else if route.path == "/api/credentials/{service}" && route.method == "DELETE" {
            ("garmin".to_owned(), "unheard-of".to_owned())
        } else if route.path.starts_with("/api/approvals") || route.path.starts_with("/api/questions") {
            // The matrix has one of each to be reached for.
            continue;
        } else if route.path == "/api/credentials/{service}" || route.path.starts_with("/v1/models") {
            continue;
        } else if route.path.starts_with("/api/servers/{name}") || route.path.starts_with("/api/files/") {
            // Some of them need a body, or something to ask for: `matrix` asks them all.
            continue;
        } else {
            panic!("{} is not covered", route.path)
        };
        for key in [KEY, &work] {
            let raw = async |id: &str| {
                let path = route.path.replace("{id}", id).replace("{service}", id);
                let body = matrix::body(route.method.as_str(), route.path, anna.message_id)
                    .map(|body| body.to_string())
                    .unwrap_or_default();
                let request = format!(
                    "{} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nx-request-id: same\r\n\
                     connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    route.method,
                    body.len(),
                );
                without_date(server.raw(request.as_bytes()).await)
            };
            let (foreign, absent) = (raw(&unknown.0).await, raw(&unknown.1).await);
            assert_eq!(foreign, absent, "{} {}", route.method, route.path);
            assert!(foreign.starts_with("HTTP/1.1 404"), "{} {}: {foreign}", route.method, route.path);
        }
    }
    let own = server.get("/api/threads", &work).await.body;
    assert_eq!(own["items"], json!([]), "the other profile of the same user");
    server.stop().await;
}

fn without_date(answer: Vec<u8>) -> String {
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_route_with_a_key_refuses_without_one_and_every_bad_id_has_its_code() {
    let server = TestServer::start().await;
    for door in ["/api/agui", "/api/messages", "/api/v1/ask"] {
        let is_asked = |route: &Route| route.path == door && route.auth != Auth::None;
        assert!(ROUTES.iter().any(is_asked), "{door} is among them");
    }
    for route in ROUTES.iter().filter(|route| route.auth != Auth::None && !route.path.starts_with("/v1")) {
        let path = |id: &str| route.path.replace("{id}", id).replace("{service}", id);
        let id = ThreadId::new().to_string();
        let bare = server.request(route.method.as_str(), &path(&id)).header("accept", "application/json");
        let refused = answer(bare).await;
        refused.is_problem(401, "unauthorized", route.path);
        if route.path.contains("{id}") {
            for bad in ["x", "0", "%00", "%ff", "..%2f", "123e4567-e89b-12d3-a456-42661417400", &"9".repeat(2_000)] {
                if route.path.contains("{service}") && Service::parse(bad).is_ok() {
                    continue;
                }
                let request = server.request(route.method.as_str(), &path(bad)).bearer_auth(KEY);
                answer(request).await.is_problem(400, "invalid_id", &path(bad));
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_queries_have_their_codes() {
    let server = TestServer::start().await;
    let id = ThreadId::new();
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=101", "invalid_limit"),
        ("limit=-1", "invalid_limit"),
        ("limit=x", "invalid_limit"),
        ("limit=99999999999999999999", "invalid_limit"),
        ("before=x", "invalid_cursor"),
        ("before=%00", "invalid_cursor"),
        ("before=%ff%fe", "invalid_cursor"),
        ("before=99999999999999999999", "invalid_cursor"),
        ("before=1_x", "invalid_cursor"),
    ] {
        for path in ["/api/threads".to_owned(), format!("/api/threads/{id}/messages")] {
            let path = format!("{path}?{query}");
            server.get(&path, KEY).await.is_problem(400, code, &path);
        }
    }
    assert_eq!(server.get("/api/threads?unknown=1&limit=1&before=", KEY).await.status, 200);
    server.stop().await;
}

const JSON: &str = "application/json";

#[tokio::test]
async fn bad_bodies_have_their_codes_wherever_a_body_may_come() {
    let server = TestServer::start().await;
    let path = format!("/api/runs/{}/cancel", RunId::new());
    let deep = "[".repeat(100_000);
    let post = || server.request("POST", &path).bearer_auth(KEY);
    let with = |content_type: &'static str, body: &[u8]| {
        let request = post().body(body.to_vec());
        if content_type.is_empty() { request } else { request.header("content-type", content_type) }
    };
    let large = vec![b' '; 2 * 1024 * 1024];
    for (request, status, code) in [
        (with("", b"{}"), 415, "unsupported_media_type"),
        (with("text/plain", b"{}"), 415, "unsupported_media_type"),
        (with(JSON, b"{}").header("content-encoding", "gzip"), 415, "unsupported_media_type"),
        (with(JSON, b"{"), 400, "invalid_json"),
        (with(JSON, b"{\"a\": \"\x00\"}"), 400, "invalid_json"),
        (with(JSON, b"{\"a\": \"\xff\"}"), 400, "invalid_utf8"),
        (with(JSON, b"[]"), 400, "invalid_body"),
        (with(JSON, deep.as_bytes()), 400, "invalid_body"),
        (with(JSON, &large), 413, "body_too_large"),
        (with(JSON, b"{}"), 404, "not_found"),
        (post(), 404, "not_found"),
    ] {
        answer(request).await.is_problem(status, code, code);
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_model_every_message_is_told_how_to_set_one_up() {
    let server = TestServer::start().await;
    let refused = server.app.engine().submit(&scope("owner"), submission(Target::New(Kind::Listed), "hi")).await;
    let error = refused.expect_err("there is no model");
    assert!(matches!(error, SubmitError::ModelNotConfigured));
    let (code, sentence) = code_and_sentence(&error);
    assert_eq!(code, "model_not_configured");
    for name in ["LLM_PROVIDER", "LLM_MODEL", "OPENAI_API_KEY"] {
        assert!(sentence.contains(name), "{sentence}");
    }
    let threads: Answer = server.get("/api/threads", KEY).await;
    assert_eq!(threads.body["items"], json!([]), "nothing was stored");
    server.stop().await;
}
