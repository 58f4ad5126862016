//! Two servers on one database: what one does, listeners of the other hear; either may cancel.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adjutant::app::App;
use adjutant::boot::serve::prepare;
use adjutant_core::ids::RunId;
use adjutant_core::message::{Part, Role as MessageRole};
use adjutant_core::scope::{Origin, Role, Scope, UserId};
use adjutant_engine::events::event::{Event, EventBody, FinishedOutcome, Live};
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_engine::runs::control::ControlError;
use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};
use adjutant_store::approvals::Decision;
use adjutant_store::threads::Kind;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Piece, Provider, Reply};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::server::{KEY, TestServer, answer, config, profile, soon};
use crate::ws_support::{Client, Folder, ends_run, is_custom};

const CEILING: Duration = Duration::from_secs(10);

fn owner() -> Scope {
    Scope::new(UserId::parse("owner").unwrap(), profile("personal"), Role::Admin, Origin::WebSocket)
}

fn hello() -> Submission {
    Submission {
        run_id: RunId::new(),
        thread: Target::New(Kind::Listed),
        parent: None,
        messages: vec![Draft { role: MessageRole::User, parts: vec![Part::text("hello")] }],
        client_message_id: None,
        request: RunRequest::default(),
    }
}

/// A second server beside the first.
pub(crate) async fn beside(first: &TestServer, settings: &[(&str, &str)]) -> App {
    beside_at(first, settings).await.0
}

/// The same, and where it listens.
pub(crate) async fn beside_at(first: &TestServer, settings: &[(&str, &str)]) -> (App, SocketAddr) {
    let ready = prepare(config(&first.db, settings)).await.unwrap();
    let app = ready.app.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(ready.serve(listener, pending()));
    (app, address)
}

/// Waits until the second server hears what the first commits, which it tells once it has heard of the second.
pub(crate) async fn heard(first: &App, second: &App) {
    let scope = owner();
    let mut live = second.engine().hub().subscribe(&scope.owner(), Interest::VisibleThreads);
    soon("the servers know of each other", async || {
        first.engine().submit(&scope, hello()).await.unwrap();
        timeout(Duration::from_millis(200), live.next()).await.is_ok()
    })
    .await;
}

async fn durable(live: &mut Subscription) -> Vec<Event> {
    loop {
        match timeout(CEILING, live.next()).await.expect("an event comes").expect("still listening") {
            Live::Durable { events, .. } => return events.to_vec(),
            Live::Delta(_) | Live::Thinking(_) | Live::Progress(_) => {}
        }
    }
}

#[tokio::test]
async fn a_run_of_one_server_is_heard_and_cancelled_at_the_other() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let provider = Provider::start(move |_| Reply::Stream(vec![Piece::Hold(gate.clone())])).await;
    let base_url = provider.base_url();
    let model = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "scripted"), ("OPENAI_BASE_URL", base_url.as_str())];
    let first = TestServer::start_with(&model).await;
    let second = beside(&first, &model).await;
    let scope = owner();

    heard(&first.app, &second).await;
    let mut live = second.engine().hub().subscribe(&scope.owner(), Interest::VisibleThreads);
    let accepted = first.app.engine().submit(&scope, hello()).await.unwrap();
    loop {
        let events = durable(&mut live).await;
        let Some(started) = events.iter().find(|event| event.run_id == Some(accepted.run_id)) else { continue };
        assert_eq!(started.seq, accepted.seq);
        assert_eq!(started.messages[0].id, accepted.message_id);
        break;
    }
    second.engine().cancel(&scope.owner(), accepted.run_id).await.unwrap();
    loop {
        let events = durable(&mut live).await;
        let ended = |event: &&Event| event.run_id == Some(accepted.run_id) && event.body.ends_run();
        let Some(end) = events.iter().find(ended) else { continue };
        assert!(matches!(end.body, EventBody::RunFinished { outcome: FinishedOutcome::Cancelled, .. }), "{end:?}");
        break;
    }
    hold.add_permits(1_000);
    second.supervisor().stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_question_of_one_server_is_answered_at_the_other_and_both_hear_the_end() {
    let tools = EffectServer::start().await;
    let provider = Provider::start(|turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "before"})),
        1 => Reply::call("effects__effect", &json!({"key": "milk"})),
        _ => Reply::text("done"),
    })
    .await;
    let folder = Folder::new();
    let mcp = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
    std::fs::write(folder.mcp(), mcp.to_string()).unwrap();
    let (base_url, mcp) = (provider.base_url(), folder.mcp());
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ADJUTANT_MCP_CONFIG", mcp.as_str()),
    ];
    let first = TestServer::start_with(&settings).await;
    let second = beside(&first, &settings).await;
    let mut client = Client::open(first.address, KEY).await;
    client.say(None, "one", "buy").await;
    let waits = |frame: &Value| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "waiting";
    let frames = client.until(waits).await;
    let asked = frames.iter().find(|frame| is_custom(frame, "approval.requested")).unwrap();
    let approval = asked["event"]["value"]["approvalId"].as_str().unwrap().parse().unwrap();
    second.engine().decide(&owner().owner(), approval, Decision::Once, None).await.unwrap();
    let frames = client.until(ends_run).await;
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success");
    assert_eq!(tools.effects(), [("milk".to_owned(), 1)].into());
    let again = first.app.engine().decide(&owner().owner(), approval, Decision::Deny, None).await;
    assert!(matches!(again, Err(ControlError::AlreadyDecided)), "{again:?}");
    second.supervisor().stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_at_one_server_ends_at_the_other() {
    let first = TestServer::start().await;
    let second = beside(&first, &[]).await;
    let key = first.key("anna", "personal", Role::Personal).await;
    let digest = adjutant::auth::presented::Credential::Key(adjutant::auth::key::digest(&key.secret));
    assert!(second.keys().identify(&digest).await.unwrap().is_some());
    let told = second.keys().until_revoked(&key.id);
    first.revoke(&key).await;
    timeout(Duration::from_secs(1), told).await.expect("within a second");
    assert!(second.keys().identify(&digest).await.unwrap().is_none());
    assert_eq!(answer(first.request("GET", "/api/threads").bearer_auth(KEY)).await.status, 200);
    second.supervisor().stop().await;
    first.stop().await;
}
