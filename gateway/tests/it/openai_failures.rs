//! What goes wrong at the OpenAI door, always in OpenAI's shape: with a status when it is known at
//! once, as the last event of a stream when it is not.

use adjutant_core::limits;
use adjutant_testkit::provider::{Piece, Reply};
use serde_json::{Value, json};

use crate::openai_support::{Door, Said, chat, streamed, user, with};
use crate::server::{KEY, TestServer};

async fn said(request: reqwest::RequestBuilder) -> Said {
    Said::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn no_key_no_route_and_no_such_method_have_openais_shape() {
    let server = TestServer::start().await;
    for request in
        [server.request("GET", "/v1/models"), server.request("POST", "/v1/chat/completions").bearer_auth("x")]
    {
        said(request).await.is_error(401, "invalid_api_key", "no valid key");
    }
    said(server.request("GET", "/v1/nothing").bearer_auth(KEY)).await.is_error(404, "not_found", "no route");
    said(server.request("DELETE", "/v1/models").bearer_auth(KEY)).await.is_error(
        405,
        "method_not_allowed",
        "no method",
    );
    let request =
        server.request("POST", "/v1/chat/completions").bearer_auth(KEY).header("origin", "https://evil.example");
    said(request.json(&chat(&[user("hi")]))).await.is_error(403, "origin_not_allowed", "a foreign page");
    let request = server.request("GET", "/v1/models").bearer_auth(KEY).header("x-profile", "No Profile");
    said(request).await.is_error(400, "invalid_profile", "no profile");
    server.stop().await;
}

#[tokio::test]
async fn without_a_model_every_request_says_how_to_set_one_up() {
    let server = TestServer::start().await;
    for body in [chat(&[user("hi")]), streamed(&chat(&[user("hi")]))] {
        let said = said(server.request("POST", "/v1/chat/completions").bearer_auth(KEY).json(&body)).await;
        said.is_error(503, "model_not_configured", "no model");
        assert_eq!(said.header("x-should-retry"), "false");
        assert!(said.body["error"]["message"].as_str().unwrap().contains("LLM_MODEL"));
    }
    assert_eq!(server.get("/v1/models", KEY).await.status, 200);
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_field_that_is_wrong() {
    let door = Door::new(|_| Reply::text("never")).await;
    let many = vec![user("x"); limits::OPENAI_MESSAGES + 1];
    let tools: Vec<Value> = (0..=limits::CALLER_TOOLS).map(|n| crate::openai_support::tool(&format!("t{n}"))).collect();
    let sound = json!([{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]);
    let hello = || chat(&[user("hi")]);
    for (body, param, code) in [
        (chat(&[]), "messages", "invalid_value"),
        (chat(&many), "messages", "invalid_value"),
        (chat(&[user(" \u{a0} ")]), "messages[0].content", "invalid_value"),
        (chat(&[json!({"role": "user", "content": 7})]), "messages[0].content", "invalid_value"),
        (chat(&[json!({"role": "nobody", "content": "x"})]), "messages[0].role", "invalid_value"),
        (chat(&[json!({"role": "user", "content": sound})]), "messages[0].content[0].type", "unsupported_value"),
        (json!({"messages": [user("hi")]}), "model", "invalid_value"),
        (with(hello(), &json!({"n": 2})), "n", "unsupported_value"),
        (with(hello(), &json!({"tools": tools})), "tools", "invalid_value"),
        (with(hello(), &json!({"stream": 1})), "stream", "invalid_value"),
        (json!([]), ".", "invalid_value"),
    ] {
        let refused = door.ask(&body).await;
        refused.is_error(400, code, param);
        assert_eq!(refused.body["error"]["param"], param);
        assert_eq!(refused.body["error"]["type"], "invalid_request_error");
    }
    for streams in [false, true] {
        let unknown = with(json!({"model": "gpt-5", "messages": [user("hi")]}), &json!({"stream": streams}));
        door.ask(&unknown).await.is_error(404, "model_not_found", "an unknown model");
    }
    assert!(door.provider.turns().is_empty());
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let door = Door::new(|_| Reply::text("never")).await;
    let post = || door.server.request("POST", "/v1/chat/completions").bearer_auth(KEY);
    let json_type = ("content-type", "application/json");
    for bytes in
        [&b""[..], b"{", b"\xff\xfe", b"{\"model\":\"cos\",\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}"]
    {
        let refused = said(post().header(json_type.0, json_type.1).body(bytes.to_vec())).await;
        refused.is_error(400, "invalid_value", &String::from_utf8_lossy(bytes));
    }
    let deep = format!("{{\"model\":\"cos\",\"messages\":{}", "[".repeat(1_000_000));
    said(post().header(json_type.0, json_type.1).body(deep)).await.is_error(400, "invalid_value", "deep");
    said(post().body("{}")).await.is_error(415, "unsupported_media_type", "no type");
    let huge = post().header(json_type.0, json_type.1).body(vec![b' '; limits::OPENAI_BODY_BYTES + 1]);
    said(huge).await.is_error(413, "body_too_large", "a huge body");
}

#[tokio::test]
async fn a_model_that_refuses_at_once_gives_a_status_in_both_forms() {
    let refusal =
        json!({"error": {"message": "the context is too long", "code": "context_length_exceeded"}}).to_string();
    let door = Door::new(move |turn| match turn.last_user().as_str() {
        "key" => Reply::Status(401, "{}".to_owned()),
        _ => Reply::Status(400, refusal.clone()),
    })
    .await;
    for (text, status, code, repeats) in
        [("long", 400, "model_refused", ""), ("key", 502, "model_unauthorized", "false")]
    {
        for body in [chat(&[user(text)]), streamed(&chat(&[user(text)]))] {
            let failed = door.ask(&body).await;
            failed.is_error(status, code, text);
            assert_eq!((failed.header("x-should-retry"), door.state(failed.run()).await), (repeats, "failed"));
            assert!(!failed.thread().is_empty());
        }
    }
}

#[tokio::test]
async fn a_model_that_breaks_off_ends_the_stream_with_an_error_and_no_done() {
    let door = Door::new(|_| Reply::Stream(vec![Piece::Text("half a".to_owned()), Piece::Cut])).await;
    let stream = door.ask(&streamed(&chat(&[user("hi")]))).await;
    assert_eq!((stream.status, stream.text().as_str()), (200, "half a"));
    assert_eq!((stream.code(), stream.done, stream.finish().as_str()), ("model_truncated", false, ""));
    assert_eq!(stream.body["error"]["type"], "server_error");
    door.ask(&chat(&[user("hi")])).await.is_error(502, "model_truncated", "whole");
}

#[tokio::test]
async fn a_run_that_a_person_cancels_is_an_error_for_its_caller() {
    let hold = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let door = Door::new(move |_| {
        Reply::Stream(vec![Piece::Text("so".to_owned()), Piece::Hold(std::sync::Arc::clone(&hold))])
    })
    .await;
    let response = door.send(&streamed(&chat(&[user("hi")])), &[], KEY).await;
    let run = response.headers()["x-run-id"].to_str().unwrap().parse().unwrap();
    door.server.app.engine().cancel(&door.owner(), run).await.unwrap();
    let said = Said::read(response).await;
    assert_eq!((said.text().as_str(), said.code(), said.done), ("so", "run_cancelled", false));
}

#[tokio::test]
async fn a_server_that_stops_tells_its_streams() {
    let hold = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let door = Door::new(move |_| {
        Reply::Stream(vec![Piece::Text("so".to_owned()), Piece::Hold(std::sync::Arc::clone(&hold))])
    })
    .await;
    let response = door.send(&streamed(&chat(&[user("hi")])), &[], KEY).await;
    let (said, _door) = tokio::join!(Said::read(response), door.restart());
    assert_eq!((said.code(), said.done), ("server_stopping", false));
}
