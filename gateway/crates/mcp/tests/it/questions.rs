//! What a server says and asks while a call is under way, in both generations of the protocol.

use std::sync::Arc;

use adjutant_core::message::ForeignText;
use adjutant_core::question::{Answer, CallDoor, CallEvent, FieldKind};
use adjutant_core::tool::{ToolReply, ToolSource};
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::channel::mpsc::Receiver;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, broadcast};

use crate::fake::{Fake, Seen, events, ready};
use crate::support::{CEILING, parsed, patient, request, scope};

fn asking(server: &Value, asks: bool) -> Arc<Bridges> {
    Bridges::new(parsed(&json!({"a": server})), None, Options { limits: patient(), asks, ..Options::default() })
}

fn event(message: &Value) -> Bytes {
    Bytes::from(format!("data: {message}\n\n"))
}

/// An answer that is these events.
fn streamed(stream: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response {
    events(Body::from_stream(stream.map(Ok::<_, std::io::Error>)))
}

fn form(message: &str) -> Value {
    json!({"mode": "form", "message": message, "requestedSchema": {"type": "object", "required": ["size"],
        "properties": {"size": {"type": "string", "enum": ["s", "l"]}}}})
}

fn said(seen: &Seen, text: &str) -> Value {
    let result = json!({"content": [{"type": "text", "text": text}]});
    json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result})
}

/// Asks in every call, with an id that all calls share but for their number, and ends the call with the answer.
async fn asks_in_calls() -> Fake {
    let (answers, _) = broadcast::channel::<Value>(64);
    let number = Arc::new(Mutex::new(0));
    Fake::start(move |seen| match seen.what.as_str() {
        // A response of ours.
        "POST" => {
            let _ = answers.send(seen.body.clone());
            Some(ready(StatusCode::ACCEPTED.into_response()))
        }
        "tools/call" => {
            let (seen, number, mut heard) = (seen.clone(), Arc::clone(&number), answers.subscribe());
            Some(Box::pin(async move {
                let mut number = number.lock().await;
                *number += 1;
                let id = *number;
                let message = format!("{}?", seen.body["params"]["arguments"]["who"].as_str().unwrap_or_default());
                let question =
                    json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": form(&message)});
                let answered = async move {
                    loop {
                        let answer = heard.recv().await.expect("an answer");
                        if answer["id"] == id {
                            return event(&said(&seen, &answer["result"].to_string()));
                        }
                    }
                };
                let stream = futures::stream::iter([event(&question)]).chain(futures::stream::once(answered));
                streamed(stream)
            }))
        }
        _ => None,
    })
    .await
}

/// Answers every question with the size, when it is the one that was expected.
async fn person(mut heard: Receiver<CallEvent>, expected: &str, size: &str) {
    while let Some(event) = heard.next().await {
        let CallEvent::Asks(question, answer) = event else { continue };
        assert_eq!(question.message.as_str(), format!("{expected}?"), "whose question is this?");
        assert!(matches!(question.fields[0].kind, FieldKind::Choice { multiple: false, .. }));
        let values: Map<String, Value> = [("size".to_owned(), json!(size))].into_iter().collect();
        let _ = answer.send(Answer::Accept(values));
    }
}

async fn asked(bridges: &Bridges, who: &str, door: CallDoor) -> ToolReply {
    let request = adjutant_core::tool::ToolRequest { door, ..request("a", "count", json!({"who": who})) };
    bridges.call(&scope("anna"), request).await.expect("a reply")
}

#[tokio::test]
async fn each_call_gets_its_own_question_and_its_own_answer() {
    let fake = asks_in_calls().await;
    let mut server = fake.server();
    server["lifecycle"] = json!("initialize");
    let bridges = asking(&server, true);
    let calls = (0..20).map(|number| {
        let bridges = &bridges;
        async move {
            let (door, heard) = CallDoor::open();
            let who = format!("call {number}");
            let size = if number % 2 == 0 { "s" } else { "l" };
            let (reply, ()) = futures::future::join(asked(bridges, &who, door), person(heard, &who, size)).await;
            let answer: Value = serde_json::from_str(reply.content.as_str()).expect("JSON");
            assert_eq!(answer, json!({"action": "accept", "content": {"size": size}}));
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(fake.next("initialize").await.body["params"]["capabilities"], json!({"elicitation": {"form": {}}}));
    bridges.shutdown().await;
}

#[tokio::test]
async fn who_answers_nothing_announces_nothing_and_cancels() {
    let fake = asks_in_calls().await;
    let mut server = fake.server();
    server["lifecycle"] = json!("initialize");
    let bridges = asking(&server, false);
    let reply = asked(&bridges, "nobody", CallDoor::closed()).await;
    assert_eq!(reply.content.as_str(), r#"{"action":"cancel"}"#);
    assert_eq!(fake.next("initialize").await.body["params"]["capabilities"], json!({}));
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_form_that_is_none_is_declined_unseen() {
    for params in [
        json!({"message": "x", "requestedSchema": {"type": "object", "properties": {"a": {"type": "object"}}}}),
        json!({"message": "x", "requestedSchema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}}),
        json!({"mode": "url", "message": "x", "url": "https://example.com", "elicitationId": "1"}),
        json!({"message": "x".repeat(100_000), "requestedSchema": {"type": "object", "properties": {}}}),
        json!({"nothing": true}),
    ] {
        let (answers, _) = broadcast::channel::<Value>(4);
        let fake = Fake::start(move |seen| match seen.what.as_str() {
            "POST" => {
                let _ = answers.send(seen.body.clone());
                Some(ready(StatusCode::ACCEPTED.into_response()))
            }
            "tools/call" => {
                let (seen, mut heard) = (seen.clone(), answers.subscribe());
                let question = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": params});
                let answered = async move {
                    let answer = heard.recv().await.expect("an answer");
                    event(&said(&seen, answer["result"]["action"].as_str().unwrap_or("an error")))
                };
                let stream = futures::stream::iter([event(&question)]).chain(futures::stream::once(answered));
                Some(ready(streamed(stream)))
            }
            _ => None,
        })
        .await;
        let mut server = fake.server();
        server["lifecycle"] = json!("initialize");
        let bridges = asking(&server, true);
        let (door, mut heard) = CallDoor::open();
        assert_eq!(asked(&bridges, "x", door).await.content.as_str(), "decline");
        assert!(heard.next().await.is_none(), "a person was asked");
        bridges.shutdown().await;
    }
}

/// A server of the stateless generation whose call goes as `answer` says.
async fn stateless(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen| match seen.what.as_str() {
        "server/discover" => Some(ready(seen.result(&json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "ttlMs": 0, "cacheScope": "private"
        })))),
        "tools/call" => Some(ready(answer(seen))),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_stateless_server_is_asked_again_with_the_answer() {
    let fake = stateless(|seen| {
        let params = &seen.body["params"];
        if params["inputResponses"].is_null() {
            let question = json!({"method": "elicitation/create", "params": form("later?")});
            return seen.result(&json!({"resultType": "input_required", "inputRequests": {"k": question},
                "requestState": "opaque"}));
        }
        let text = json!([params["inputResponses"], params["requestState"]]).to_string();
        seen.result(&json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}))
    })
    .await;
    let bridges = asking(&fake.server(), true);
    let (door, heard) = CallDoor::open();
    let (reply, ()) = futures::future::join(asked(&bridges, "x", door), person(heard, "later", "l")).await;
    let answer: Value = serde_json::from_str(reply.content.as_str()).expect("JSON");
    assert_eq!(answer, json!([{"k": {"action": "accept", "content": {"size": "l"}}}, "opaque"]));
    let capabilities = |seen: &Seen| seen.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone();
    assert_eq!(capabilities(&fake.next("tools/call").await), json!({"elicitation": {"form": {}}}));
    fake.next("tools/call").await;
    // A caller who answers nothing says so in the same session.
    let reply = asked(&bridges, "x", CallDoor::closed()).await;
    assert!(reply.content.as_str().contains("cancel"), "{reply:?}");
    assert_eq!(capabilities(&fake.next("tools/call").await), json!({}));
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_server_that_never_has_enough_is_given_up() {
    let fake = stateless(|seen| {
        let question = json!({"method": "elicitation/create", "params": form("more?")});
        seen.result(&json!({"resultType": "input_required", "inputRequests": {"k": question}}))
    })
    .await;
    let bridges = asking(&fake.server(), true);
    let (door, heard) = CallDoor::open();
    let (reply, ()) = futures::future::join(asked(&bridges, "x", door), person(heard, "more", "s")).await;
    assert!(reply.is_error && reply.content.as_str().contains("too often"), "{reply:?}");
    let roots = stateless(|seen| {
        seen.result(&json!({"resultType": "input_required", "inputRequests": {"k": {"method": "roots/list"}}}))
    })
    .await;
    let bridges = asking(&roots.server(), true);
    let reply = asked(&bridges, "x", CallDoor::closed()).await;
    assert!(reply.is_error && reply.content.as_str().contains("not offered here"), "{reply:?}");
    bridges.shutdown().await;
}

#[tokio::test]
async fn progress_reaches_the_call_that_makes_it() {
    let fake = Fake::start(|seen| {
        (seen.what == "tools/call").then(|| {
            let token = seen.body["params"]["_meta"]["progressToken"].clone();
            let who = seen.body["params"]["arguments"]["who"].clone();
            let progress = |done: f64| {
                let params = json!({"progressToken": token, "progress": done, "total": 2, "message": who});
                event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
            };
            // The answer comes a little later, so that the progress is not overtaken by it.
            let last = event(&said(seen, "done"));
            let last = futures::stream::once(async move {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                last
            });
            ready(streamed(futures::stream::iter([progress(1.0), progress(2.0)]).chain(last)))
        })
    })
    .await;
    let bridges = asking(&fake.server(), true);
    let calls = ["one", "two"].map(|who| {
        let bridges = &bridges;
        async move {
            let (door, mut heard) = CallDoor::open();
            assert_eq!(asked(bridges, who, door).await.content.as_str(), "done");
            let mut steps = Vec::new();
            while let Some(event) = heard.next().await {
                let CallEvent::Progress { progress, total, message } = event else { panic!("a question") };
                assert_eq!((total, message.as_ref().map(ForeignText::as_str)), (Some(2.0), Some(who)));
                steps.push(progress);
            }
            steps.sort_by(f64::total_cmp);
            assert_eq!(steps, [1.0, 2.0]);
        }
    });
    futures::future::join_all(calls).await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_at_its_server() {
    let fake = Fake::start(|seen| {
        (seen.what == "tools/call")
            .then(|| -> futures::future::BoxFuture<'static, Response> { Box::pin(std::future::pending()) })
    })
    .await;
    let bridges = asking(&fake.server(), true);
    let id = {
        let call = Box::pin(asked(&bridges, "x", CallDoor::closed()));
        let arrived = Box::pin(fake.next("tools/call"));
        let futures::future::Either::Right((seen, _)) = futures::future::select(call, arrived).await else {
            panic!("an answer")
        };
        seen.body["id"].clone()
    };
    let cancelled = fake.next("notifications/cancelled").await;
    assert_eq!(cancelled.body["params"]["requestId"], id);
    tokio::time::timeout(CEILING, bridges.shutdown()).await.expect("the end");
}

#[tokio::test]
async fn a_server_hears_that_its_call_is_cancelled_before_its_question_is() {
    let (answers, _) = broadcast::channel::<Value>(4);
    let overtaken = Arc::new(Mutex::new(None));
    let told = Arc::clone(&overtaken);
    let fake = Fake::start(move |seen| match seen.what.as_str() {
        "POST" => {
            let _ = answers.send(seen.body.clone());
            Some(ready(StatusCode::ACCEPTED.into_response()))
        }
        "tools/call" => {
            let question = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": form("x?")});
            let question = futures::stream::iter([event(&question)]);
            Some(ready(streamed(question.chain(futures::stream::pending()))))
        }
        // Takes its time: whatever does not wait for it comes first.
        "notifications/cancelled" => {
            let (mut heard, told) = (answers.subscribe(), Arc::clone(&told));
            Some(Box::pin(async move {
                let patience = std::time::Duration::from_millis(300);
                *told.lock().await = Some(tokio::time::timeout(patience, heard.recv()).await.is_ok());
                StatusCode::ACCEPTED.into_response()
            }))
        }
        _ => None,
    })
    .await;
    let mut server = fake.server();
    server["lifecycle"] = json!("initialize");
    let bridges = asking(&server, true);
    let (door, mut heard) = CallDoor::open();
    {
        let call = Box::pin(asked(&bridges, "x", door));
        let question = Box::pin(heard.next());
        let futures::future::Either::Right((Some(CallEvent::Asks(..)), _)) =
            futures::future::select(call, question).await
        else {
            panic!("an answer")
        };
    }
    let answer = fake.next("POST").await;
    assert_eq!((&answer.body["id"], &answer.body["result"]["action"]), (&json!("q"), &json!("cancel")));
    assert_eq!(*overtaken.lock().await, Some(false));
    bridges.shutdown().await;
}
