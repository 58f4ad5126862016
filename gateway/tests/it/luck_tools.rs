//! MCP servers that hang, crash or flood, behind the real server: the run goes on and says what became of the call.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adjutant_core::limits;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::luck_database::Outage;
use super::server::{KEY, TestServer, soon};
use super::ws_support::{Client, Folder, PATIENCE, ends_run, is};

const TOOLS: [&str; 7] = ["hang", "held", "crash", "flood", "long", "nul", "fine"];

/// Calls of `held` come here, and go on when the test says so.
#[derive(Clone)]
struct Gate {
    arrived: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        Self { arrived: Arc::default(), open: Arc::new(Semaphore::new(0)) }
    }
}

/// A server with the tools above; `mute` and `listless` fall silent at the greeting and at the listing.
async fn unlucky(mute: bool, listless: bool) -> String {
    gated(mute, listless, Gate::closed()).await
}

async fn gated(mute: bool, listless: bool, gate: Gate) -> String {
    let answer = async move |State(gate): State<Gate>, body: String| -> Response {
        let Ok(request) = serde_json::from_str::<Value>(&body) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let id = request["id"].clone();
        if id.is_null() {
            return StatusCode::ACCEPTED.into_response();
        }
        let result = match request["method"].as_str().unwrap() {
            "initialize" if mute => return silent(),
            "initialize" => json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "unlucky", "version": "1"},
            }),
            "tools/list" if listless => return silent(),
            "tools/list" => {
                let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
                json!({"tools": TOOLS.iter().map(tool).collect::<Vec<_>>()})
            }
            "tools/call" => {
                let text = match request["params"]["name"].as_str().unwrap() {
                    "hang" => return silent(),
                    "held" => {
                        gate.arrived.fetch_add(1, Ordering::SeqCst);
                        gate.open.acquire().await.unwrap().forget();
                        "done".to_owned()
                    }
                    "crash" => return crashed(),
                    "flood" => "x".repeat(17 * 1024 * 1024),
                    "long" => "é".repeat(limits::TOOL_RESULT_BYTES),
                    "nul" => "a\u{0}b".to_owned(),
                    _ => "fine".to_owned(),
                };
                json!({"content": [{"type": "text", "text": text}]})
            }
            _ => json!({}),
        };
        axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/mcp", post(answer)).with_state(gate);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/mcp")
}

/// A head and nothing more.
fn silent() -> Response {
    let body = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
    ([("content-type", "application/json")], body).into_response()
}

/// The connection breaks in the middle of the answer.
fn crashed() -> Response {
    let body = stream::iter([Ok("{\"jsonrpc\""), Err(std::io::Error::other("crashed"))]);
    ([("content-type", "application/json")], Body::from_stream(body)).into_response()
}

/// The model calls the tool that the user names, and then says what came of it.
fn obedient(turn: &Turn) -> Reply {
    match turn.round() {
        0 => Reply::call(&format!("unlucky__{}", turn.last_user()), &json!({})),
        _ => Reply::text("so it is"),
    }
}

struct House {
    server: TestServer,
    provider: Provider,
    _folder: Folder,
}

async fn house(servers: Value) -> House {
    let provider = Provider::start(obedient).await;
    let folder = Folder::new();
    std::fs::write(folder.mcp(), json!({"mcpServers": servers}).to_string()).unwrap();
    let (base_url, mcp) = (provider.base_url(), folder.mcp());
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ADJUTANT_MCP_CONFIG", mcp.as_str()),
    ];
    House { server: TestServer::start_with(&settings).await, provider, _folder: folder }
}

fn at(url: &str) -> Value {
    json!({"type": "http", "url": url, "lifecycle": "initialize"})
}

#[tokio::test]
async fn a_tool_that_crashes_floods_or_says_odd_things_is_told_and_the_run_goes_on() {
    let house = house(json!({"unlucky": at(&unlucky(false, false).await)})).await;
    let mut client = Client::open(house.server.address, KEY).await;
    for (tool, outcome) in
        [("crash", "unknown"), ("flood", "unknown"), ("long", "succeeded"), ("nul", "succeeded"), ("fine", "succeeded")]
    {
        client.say(None, tool, tool).await;
        let frames = client.until(ends_run).await;
        let result = &frames.iter().find(|frame| is(frame, "TOOL_CALL_RESULT")).unwrap()["event"];
        let content = result["content"].as_str().unwrap();
        assert_eq!(result["metadata"]["outcome"], outcome, "{tool}: {content:.200}");
        assert_eq!(result["metadata"]["truncated"] == true, tool == "long", "{tool}");
        assert!(content.len() <= limits::TOOL_RESULT_BYTES, "{tool}");
        assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success", "{tool}");
        if tool == "nul" {
            assert_eq!(content, "a\u{fffd}b");
        }
    }
    assert_eq!(house.provider.faults(), Vec::<String>::new());
    house.server.stop().await;
}

#[tokio::test]
async fn a_run_whose_tool_hangs_is_cancelled_within_a_second_and_its_call_is_unknown() {
    let house = house(json!({"unlucky": at(&unlucky(false, false).await)})).await;
    let mut client = Client::open(house.server.address, KEY).await;
    client.say(None, "one", "hang").await;
    let frames = client.until(|frame| is(frame, "TOOL_CALL_END")).await;
    let run = frames.last().unwrap()["runId"].clone();
    client.send(json!({"type": "run.cancel", "runId": run})).await;
    let frames = timeout(Duration::from_secs(1), client.until(ends_run)).await.expect("within a second");
    let result = frames.iter().find(|frame| is(frame, "TOOL_CALL_RESULT")).unwrap();
    assert_eq!(result["event"]["metadata"]["outcome"], "unknown");
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "cancelled");
    house.server.stop().await;
}

#[tokio::test]
async fn servers_that_hang_at_the_greeting_or_the_listing_delay_the_first_run_a_moment_and_no_other() {
    let servers = json!({
        "mute": at(&unlucky(true, false).await),
        "listless": at(&unlucky(false, true).await),
        "unlucky": at(&unlucky(false, false).await),
    });
    let house = house(servers).await;
    let mut client = Client::open(house.server.address, KEY).await;
    let began = Instant::now();
    client.say(None, "one", "fine").await;
    let frames = client.until(ends_run).await;
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success");
    for turn in house.provider.turns() {
        assert_eq!(turn.tool_names().len(), TOOLS.len(), "{:?}", turn.tool_names());
    }
    // Nobody waits for them a second time.
    let began = Instant::now();
    client.say(None, "two", "fine").await;
    client.until(ends_run).await;
    assert!(began.elapsed() < limits::MCP_CONNECT_GRACE, "{:?}", began.elapsed());
    house.server.stop().await;
}

#[tokio::test]
async fn a_call_whose_result_meets_no_database_is_unknown_and_not_made_again() {
    let gate = Gate::closed();
    let house = house(json!({"unlucky": at(&gated(false, false, gate.clone()).await)})).await;
    let mut client = Client::open(house.server.address, KEY).await;
    client.say(None, "one", "held").await;
    client.until(|frame| is(frame, "TOOL_CALL_END")).await;
    soon("the call arrived", async || gate.arrived.load(Ordering::SeqCst) == 1).await;
    let outage = Outage::of(&house.server).await;
    outage.begin().await;
    gate.open.add_permits(1);
    soon("the worker gives up", async || house.server.app.engine().active_runs() == 0).await;
    outage.end().await;
    let frames = client.until(ends_run).await;
    let result = frames.iter().find(|frame| is(frame, "TOOL_CALL_RESULT")).unwrap();
    assert_eq!(result["event"]["metadata"]["outcome"], "unknown");
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success");
    assert_eq!(gate.arrived.load(Ordering::SeqCst), 1);
    house.server.stop().await;
}
