//! Streamable HTTP servers that redirect, forget sessions, break off and flood.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adjutant_core::tool::{ToolError, ToolReply};
use adjutant_mcp::options::Limits;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures::StreamExt;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use crate::fake::{Fake, events, plain, ready, with_calls};
use crate::support::{bridges, call, list, names, patient, scope, text};

async fn count(fake: &Fake, limits: Limits) -> Result<ToolReply, ToolError> {
    let bridges = bridges(&json!({"a": fake.server()}), limits);
    let result = call(&bridges, "anna", "a", "count", json!({})).await;
    bridges.shutdown().await;
    result
}

#[tokio::test]
async fn configured_headers_reach_their_server_and_no_other() {
    let canary = Fake::start(plain).await;
    let target = canary.url.clone();
    let fake =
        with_calls(move |_| (StatusCode::TEMPORARY_REDIRECT, [("location", target.clone())]).into_response()).await;
    let mut server = fake.server();
    server["headers"] = json!({"X-Key": "hunter2"});
    let bridges = bridges(&json!({"a": server, "b": canary.server()}), patient());
    assert_eq!(list(&bridges, "anna").await.tools.len(), 4);
    let redirected = call(&bridges, "anna", "a", "count", json!({})).await;
    let reason = "the MCP server \"a\" is not available: it answered with a redirect (HTTP 307), which is not followed";
    assert_eq!(redirected, Err(ToolError::Unavailable(reason.to_owned())));
    assert_eq!(text(&bridges, "anna", "b", "count", json!({})).await, "1", "only our own call arrived");
    for what in ["initialize", "tools/list", "tools/call"] {
        assert_eq!(fake.next(what).await.header("x-key"), "hunter2");
        assert_eq!(canary.next(what).await.header("x-key"), "");
    }
    bridges.shutdown().await;
}

#[tokio::test]
async fn each_user_has_a_session_of_their_own() {
    let fake = Fake::start(plain).await;
    let bridges = bridges(&json!({"a": fake.server()}), patient());
    let anna = text(&bridges, "anna", "a", "whoami", json!({})).await;
    let ben = text(&bridges, "ben", "a", "whoami", json!({})).await;
    assert_ne!(anna, ben);
    assert_eq!(text(&bridges, "anna", "a", "whoami", json!({})).await, anna);
    bridges.shutdown().await;
    let ended =
        [fake.next("DELETE").await, fake.next("DELETE").await].map(|seen| seen.header("mcp-session-id").to_owned());
    assert_eq!(HashSet::from(ended), HashSet::from([anna, ben]));
}

#[tokio::test]
async fn a_call_that_meets_a_forgotten_session_runs_once_in_a_new_one() {
    let fake = Fake::start(plain).await;
    let bridges = bridges(&json!({"a": fake.server()}), patient());
    assert_eq!(text(&bridges, "anna", "a", "whoami", json!({})).await, "session-1");
    fake.forgotten.lock().await.insert("session-1".to_owned());
    assert_eq!(text(&bridges, "anna", "a", "whoami", json!({})).await, "session-2");
    assert_eq!(fake.executed.load(Ordering::SeqCst), 2);
    // The tools were read again: whoever forgets sessions may have been replaced.
    fake.next("tools/list").await;
    fake.next("tools/list").await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_call_under_way_when_the_session_is_forgotten_is_lost_and_not_sent_again() {
    // `whoami` begins an answer that never ends; `count` then finds the session forgotten.
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let fake = Fake::start(move |seen| {
        (seen.tool() == "whoami").then(|| {
            counted.fetch_add(1, Ordering::SeqCst);
            let silence = futures::stream::pending::<Result<Bytes, std::io::Error>>();
            let begun = futures::stream::iter([Ok(Bytes::from(": begun\n\n"))]).chain(silence);
            ready(events(Body::from_stream(begun)))
        })
    })
    .await;
    let bridges = bridges(&json!({"a": fake.server()}), patient());
    list(&bridges, "anna").await;
    let under_way = call(&bridges, "anna", "a", "whoami", json!({}));
    let then = async {
        fake.next("tools/call").await;
        // One more round trip, so that the head of the first answer has been read.
        text(&bridges, "anna", "a", "count", json!({})).await;
        fake.forgotten.lock().await.insert("session-1".to_owned());
        text(&bridges, "anna", "a", "count", json!({})).await
    };
    let (lost, counted) = futures::future::join(under_way, then).await;
    assert_eq!(counted, "2");
    let reason = "the MCP server \"a\" gave no result: the connection was lost before the answer came";
    assert_eq!(lost, Err(ToolError::Lost(reason.to_owned())));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_server_that_went_away_is_unavailable_and_comes_back() {
    let fake = Fake::start(plain).await;
    let limits = Limits { first_backoff: Duration::from_millis(1), ..patient() };
    let bridges = bridges(&json!({"a": fake.server()}), limits);
    assert_eq!(text(&bridges, "anna", "a", "count", json!({})).await, "1");
    let address = fake.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
    fake.end().await;
    let gone = call(&bridges, "anna", "a", "count", json!({})).await;
    let reason = "the MCP server \"a\" is not available: it could not be reached";
    assert_eq!(gone, Err(ToolError::Unavailable(reason.to_owned())));
    let catalogue = list(&bridges, "anna").await;
    assert_eq!((catalogue.tools.len(), catalogue.troubles.len()), (0, 1));
    let listener = TcpListener::bind(&address).await.expect("the same port");
    let back = Fake::on(listener, Arc::new(plain));
    assert_eq!(text(&bridges, "anna", "a", "count", json!({})).await, "1");
    bridges.shutdown().await;
    drop(back);
}

#[tokio::test]
async fn what_a_status_says_of_the_call_is_kept() {
    let cases = [
        (
            StatusCode::UNAUTHORIZED,
            Err(ToolError::Unavailable(String::new())),
            "it refused the configured credentials (HTTP 401)",
        ),
        (StatusCode::TOO_MANY_REQUESTS, Err(ToolError::Unavailable(String::new())), "it asked to slow down (HTTP 429)"),
        (StatusCode::BAD_REQUEST, Err(ToolError::Refused(String::new())), "it answered with HTTP 400"),
        (StatusCode::INTERNAL_SERVER_ERROR, Err(ToolError::Lost(String::new())), "it answered with HTTP 500"),
        (StatusCode::BAD_GATEWAY, Err(ToolError::Lost(String::new())), "it answered with HTTP 502"),
    ];
    for (status, expected, reason) in cases {
        let fake = with_calls(move |_| (status, "hunter2").into_response()).await;
        let result: Result<ToolReply, _> = count(&fake, patient()).await;
        let said = result.as_ref().map_or_else(ToString::to_string, |reply| reply.content.as_str().to_owned());
        assert!(said.ends_with(reason), "{status}: {said}");
        let kind = result.map_err(|error| std::mem::discriminant(&error));
        let expected: Result<ToolReply, ToolError> = expected;
        assert_eq!(kind, expected.map_err(|error| std::mem::discriminant(&error)), "{status}");
    }
}

#[tokio::test]
async fn answers_that_break_off_hang_or_flood_are_lost() {
    let cut = with_calls(|_| events(Body::from(": nothing more\n\n"))).await;
    let garbage = with_calls(|_| ([("content-type", "application/json")], "<html>").into_response()).await;
    let page = with_calls(|_| ([("content-type", "text/html")], "<html>").into_response()).await;
    let event = with_calls(|_| events(Body::from("x".repeat(5 * 1024 * 1024)))).await;
    // A correct answer but for its size.
    let json = with_calls(|seen| {
        let text = "x".repeat(5 * 1024 * 1024);
        seen.result(&json!({"content": [{"type": "text", "text": text}]}))
    })
    .await;
    for fake in [cut, garbage, page, event, json] {
        let result = count(&fake, patient()).await;
        assert!(matches!(result, Err(ToolError::Lost(_))), "{result:?}");
    }
    let hung =
        Fake::start(|seen| if seen.what == "tools/call" { Some(Box::pin(std::future::pending())) } else { None }).await;
    let mut server = hung.server();
    server["timeout"] = json!(0.2);
    let bridges = bridges(&json!({"a": server}), patient());
    let result = call(&bridges, "anna", "a", "count", json!({})).await;
    assert_eq!(result, Err(ToolError::Lost("the MCP server \"a\" gave no result: no answer within 200ms".to_owned())));
    hung.next("notifications/cancelled").await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_large_result_is_cut_and_marked() {
    let fake =
        with_calls(|seen| seen.result(&json!({"content": [{"type": "text", "text": "ä".repeat(1024 * 1024)}]}))).await;
    let reply = count(&fake, Limits { result_bytes: 1001, ..patient() }).await.expect("a reply");
    assert_eq!((reply.content.as_str().len(), reply.truncated), (1000, true));
}

#[tokio::test]
async fn an_address_is_never_shown() {
    let refused = "http://user:hunter2@127.0.0.1:1/mcp?key=hunter2";
    let bridges = bridges(&json!({"a": {"url": refused}}), patient());
    let catalogue = list(&bridges, "anna").await;
    let result = call(&bridges, "anna", "a", "count", json!({})).await;
    let shown = format!("{catalogue:?} {result:?} {:?}", bridges.check(&scope("anna")).await);
    assert!(shown.contains("it could not be reached"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("127.0.0.1"), "{shown}");
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_leaves_the_others_listed() {
    let hung = Fake::start(|_| Some(Box::pin(std::future::pending()))).await;
    let well = Fake::start(plain).await;
    let limits = Limits { grace: Duration::from_secs(1), ..patient() };
    let bridges = bridges(&json!({"hung": hung.server(), "well": well.server()}), limits);
    bridges.warm(&scope("anna")).await;
    hung.next("server/discover").await;
    assert_eq!(text(&bridges, "anna", "well", "count", json!({})).await, "1");
    let catalogue = list(&bridges, "anna").await;
    assert_eq!(names(&catalogue), ["well__count", "well__whoami"]);
    assert_eq!(catalogue.troubles[0].server, "hung");
    bridges.shutdown().await;
}

#[tokio::test]
async fn the_changes_of_a_stateless_server_are_followed() {
    let (change, changes) = mpsc::unbounded_channel::<()>();
    let changes = Arc::new(Mutex::new(Some(changes)));
    let fake = Fake::start(move |seen| {
        let id = seen.body["id"].clone();
        match seen.what.as_str() {
            "server/discover" => {
                let capabilities = json!({"tools": {"listChanged": true}});
                Some(ready(seen.result(&json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities,
                    "ttlMs": 0, "cacheScope": "private"
                }))))
            }
            "subscriptions/listen" => {
                let changes = Arc::clone(&changes);
                Some(Box::pin(async move {
                    let changes = changes.lock().await.take().expect("one subscription");
                    let note = move |method: &str| {
                        let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
                        let params = json!({"_meta": meta, "notifications": {"toolsListChanged": true}});
                        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
                        Ok::<_, std::io::Error>(Bytes::from(format!("data: {message}\n\n")))
                    };
                    let first = note("notifications/subscriptions/acknowledged");
                    let rest = futures::stream::unfold(changes, |mut changes| async {
                        changes.recv().await.map(|()| ((), changes))
                    });
                    let rest = rest.map(move |()| note("notifications/tools/list_changed"));
                    events(Body::from_stream(futures::stream::iter([first]).chain(rest)))
                }))
            }
            _ => None,
        }
    })
    .await;
    let bridges = bridges(&json!({"a": fake.server()}), patient());
    list(&bridges, "anna").await;
    // The listing, the one after subscribing, the one after the change.
    fake.next("tools/list").await;
    fake.next("tools/list").await;
    change.send(()).expect("a subscription");
    fake.next("tools/list").await;
    bridges.shutdown().await;
}
