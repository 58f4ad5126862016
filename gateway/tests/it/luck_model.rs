//! A model that is down, limits, garbles, hangs or writes what cannot be kept: each run ends with its code, and the
//! server goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use adjutant::config::Config;
use adjutant_testkit::db::TestDb;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::{StreamExt, stream};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::server::{KEY, TestServer, config};
use super::ws_support::{Client, ends_run, is, text_of};

type Script = dyn Fn(&str, usize) -> Response + Send + Sync;

/// A model whose responses are written by the test, byte by byte: `script` gets the newest message of the user and
/// how many answers followed it. Returns its base URL.
pub(crate) async fn model(script: impl Fn(&str, usize) -> Response + Send + Sync + 'static) -> String {
    async fn complete(State(script): State<Arc<Script>>, Json(body): Json<Value>) -> Response {
        let messages = body["messages"].as_array().unwrap();
        let newest = messages.iter().rposition(|message| message["role"] == "user").unwrap();
        let answers = messages[newest..].iter().filter(|message| message["role"] == "assistant").count();
        let said = match &messages[newest]["content"] {
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            text => text.as_str().unwrap_or_default().to_owned(),
        };
        // Behind it stands when it was sent.
        let said = said.split("\n\n[sent ").next().unwrap_or_default();
        script(said, answers)
    }
    let script: Arc<Script> = Arc::new(script);
    let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(script);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/v1")
}

/// A stream of exactly these events, and its end.
pub(crate) fn events(events: &[Value]) -> Response {
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    streamed(Body::from(events.concat()))
}

fn streamed(body: Body) -> Response {
    ([("content-type", "text/event-stream")], body).into_response()
}

pub(crate) fn delta(delta: &Value) -> Value {
    json!({"model": "m", "choices": [{"index": 0, "delta": delta}]})
}

pub(crate) fn end(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    delta(&json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}))
}

pub(crate) fn text(text: &str) -> Response {
    events(&[delta(&json!({"content": text})), end("stop")])
}

/// A body that begins like this and never ends.
fn hangs(beginning: &'static str) -> Response {
    let beginning = stream::iter([Ok::<_, Infallible>(Bytes::from_static(beginning.as_bytes()))]);
    streamed(Body::from_stream(beginning.chain(stream::pending())))
}

/// As operators have it, with waits that fit into a test.
fn impatient(db: &TestDb, base_url: &str) -> Config {
    let mut config =
        config(db, &[("LLM_PROVIDER", "openai"), ("LLM_MODEL", "scripted"), ("OPENAI_BASE_URL", base_url)]);
    let timeouts = &mut config.model.operator.providers[0].timeouts;
    timeouts.first_byte = Duration::from_millis(300);
    timeouts.idle = Duration::from_millis(300);
    timeouts.backoff = Duration::from_millis(1);
    timeouts.backoff_max = Duration::from_millis(1);
    config
}

async fn server(base_url: &str) -> TestServer {
    let db = TestDb::new().await;
    let config = impatient(&db, base_url);
    TestServer::start_config(db, config).await
}

/// The frames of a run of its own.
async fn run(server: &TestServer, text: &str) -> Vec<Value> {
    let mut client = Client::open(server.address, KEY).await;
    client.say(None, &format!("{text}-1"), text).await;
    client.until(ends_run).await
}

fn ended_with(frames: &[Value]) -> &str {
    let event = &frames.last().unwrap()["event"];
    event["code"].as_str().unwrap_or_else(|| event["outcome"]["type"].as_str().unwrap())
}

#[tokio::test]
async fn a_model_that_fails_ends_the_run_with_the_code_of_its_fault_and_the_next_run_is_answered() {
    let base_url = model(|said, _| match said {
        "limited" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "86400")], "{}").into_response(),
        "broken" => (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
        "page" => ([("content-type", "text/html")], "<html>welcome</html>").into_response(),
        "garbage" => streamed(Body::from("data: {\"choices\": 7}\n\n")),
        "cut" => events(&[delta(&json!({"content": "half"}))]),
        "mute" => hangs(""),
        "stuck" => hangs("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n"),
        "endless" => text(&"x".repeat(adjutant_core::limits::ANSWER_BYTES + 1)),
        _ => text("well"),
    })
    .await;
    let server = server(&base_url).await;
    for (fault, code, kept) in [
        ("limited", "model_rate_limited", ""),
        ("broken", "model_unavailable", ""),
        ("page", "model_garbled", ""),
        ("garbage", "model_garbled", ""),
        ("endless", "model_garbled", ""),
        ("cut", "model_truncated", "half"),
        ("mute", "model_timed_out", ""),
        ("stuck", "model_timed_out", "half"),
    ] {
        let frames = run(&server, fault).await;
        assert_eq!((ended_with(&frames), text_of(&frames).as_str()), (code, kept), "{fault}");
        let partial = frames.iter().any(|frame| frame["event"]["metadata"]["partial"] == true);
        assert_eq!(partial, !kept.is_empty(), "{fault}: what came is kept and labelled");
    }
    let frames = run(&server, "hello").await;
    assert_eq!((ended_with(&frames), text_of(&frames).as_str()), ("success", "well"));
    assert_eq!(server.get("/readyz", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_is_not_there_is_a_failed_run_and_no_failed_server() {
    let server = server("http://127.0.0.1:1/v1").await;
    assert_eq!(ended_with(&run(&server, "hello").await), "model_unavailable");
    assert_eq!(server.get("/readyz", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn whatever_a_model_writes_is_kept_or_refused_and_quarantines_nothing() {
    let huge = u64::MAX;
    let base_url = model(move |said, round| match (said, round) {
        (_, 1..) => text("on we go"),
        ("name", _) => events(&[call("a", "a\u{0}b", "{}"), end("tool_calls")]),
        ("id", _) => events(&[call("a\u{0}b", "nothing", "{}"), end("tool_calls")]),
        ("arguments", _) => events(&[call("a", "nothing", r#"{"\u0000": "\u0000"}"#), end("tool_calls")]),
        ("surrogate", _) => events(&[call("a", "nothing", r#"{"a": "\ud800"}"#), end("tool_calls")]),
        ("number", _) => events(&[call("a", "nothing", r#"{"a": 1e999}"#), end("tool_calls")]),
        ("long id", _) => events(&[call(&"i".repeat(200_000), "nothing", "{}"), end("tool_calls")]),
        ("long name", _) => events(&[call("a", &"n".repeat(200_000), "{}"), end("tool_calls")]),
        ("model", _) => {
            let mut first = delta(&json!({"content": "on we go"}));
            first["model"] = json!("m\u{0}");
            events(&[first, end("stop")])
        }
        ("usage", _) => {
            let usage = json!({"choices": [], "usage": {"prompt_tokens": huge, "completion_tokens": huge}});
            events(&[delta(&json!({"content": "on we go"})), end("stop"), usage])
        }
        ("refusal", _) => {
            let refusal = json!({"error": {"message": "no\u{0}pe"}}).to_string();
            (StatusCode::BAD_REQUEST, refusal).into_response()
        }
        _ => text("on\u{0}we go"),
    })
    .await;
    let server = server(&base_url).await;
    for (said, code) in [
        ("name", "success"),
        ("id", "success"),
        ("arguments", "success"),
        ("surrogate", "success"),
        ("number", "success"),
        ("long id", "success"),
        ("long name", "success"),
        ("model", "success"),
        ("usage", "success"),
        ("refusal", "model_refused"),
        ("text", "success"),
    ] {
        let mut client = Client::open(server.address, KEY).await;
        client.say(None, &format!("{said}-1"), said).await;
        let settled = |frame: &Value| ends_run(frame) || frame["event"]["value"]["state"] == "quarantined";
        let frames = client.until(settled).await;
        assert!(ends_run(frames.last().unwrap()), "{said}: {:#?}", frames.last());
        assert_eq!(ended_with(&frames), code, "{said}");
        let path = format!("/api/runs/{}", frames.last().unwrap()["runId"].as_str().unwrap());
        assert_eq!(server.get(&path, KEY).await.body["crashes"], 0, "{said}");
        assert_eq!(frames.iter().filter(|frame| is(frame, "RUN_STARTED")).count(), 1, "{said}");
    }
    server.stop().await;
}
