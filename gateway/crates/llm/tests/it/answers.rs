//! Whole answers: how their text, calls and counts arrive, and what a call costs in connections.

use std::sync::Arc;

use adjutant_core::model::{LlmClient, ModelAnswer, ModelCall, PaidBy, StopReason, Usage};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::fake::{Fake, Step, chunked_head, done, event, finish, in_chunk, says, send, stream_head, text, tool_call};
use crate::support::{ask, client, delta, impatient, read, soon, tell};

#[tokio::test]
async fn text_is_relayed_as_it_comes() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = || Step::Await(gate.clone());
    let steps =
        vec![stream_head(), event(&text("one ")), wait(), event(&text("two")), wait(), event(&finish("stop")), done()];
    let fake = Fake::start(vec![[steps, vec![Step::Close]].concat()]).await;
    let mut stream = client(&fake).stream(ask("count"));
    assert_eq!(delta(&mut stream).await, "one ");
    gate.add_permits(1);
    assert_eq!(delta(&mut stream).await, "two");
    gate.add_permits(1);
    assert_eq!(read(stream).await.end.unwrap().text, "one two");
}

#[tokio::test]
async fn parallel_tool_calls_text_and_counts_make_one_answer() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 64}});
    let fake = Fake::start(vec![vec![
        stream_head(),
        event(&text("A moment.")),
        event(&tool_call(
            &json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
        )),
        event(&tool_call(
            &json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"y\""}}),
        )),
        event(&tool_call(&json!({"index": 0, "function": {"arguments": "{\"x\":1}"}}))),
        event(&tool_call(&json!({"index": 1, "function": {"arguments": ":[2]}"}}))),
        event(&finish("tool_calls")),
        event(&json!({"choices": [], "usage": usage})),
        done(),
        Step::Close,
    ]])
    .await;
    let call = |id: &str, name: &str, arguments| ModelCall {
        provider_id: id.to_owned(),
        name: name.to_owned(),
        arguments: Ok(arguments),
    };
    let expected = ModelAnswer {
        text: "A moment.".to_owned(),
        thinking: vec![],
        calls: vec![call("a", "f", json!({"x": 1})), call("b", "g", json!({"y": [2]}))],
        usage: Usage { input_tokens: 100, output_tokens: 20, cached_input_tokens: 64, cache_write_tokens: 0 },
        stop: StopReason::Finished,
        model: "m-1".to_owned(),
        provider: "openai".to_owned(),
        paid_by: PaidBy::Operator,
        cost: None,
        passed_over: vec![],
    };
    assert_eq!(tell(&client(&fake), "use both").await.answer(), expected);
}

#[tokio::test]
async fn an_answer_without_counts_counts_nothing() {
    let fake = Fake::start(vec![says("hi")]).await;
    assert_eq!(tell(&client(&fake), "hello").await.answer().usage, Usage::default());
}

#[tokio::test]
async fn the_reason_to_stop_is_told() {
    for (reason, stop) in
        [("stop", StopReason::Finished), ("length", StopReason::Length), ("content_filter", StopReason::Filtered)]
    {
        let steps = vec![stream_head(), event(&text("hi")), event(&finish(reason)), done(), Step::Close];
        let fake = Fake::start(vec![steps]).await;
        assert_eq!(tell(&client(&fake), "hello").await.answer().stop, stop);
    }
}

#[tokio::test]
async fn letters_and_lines_may_be_split_anywhere() {
    let whole = format!(
        "data: {}\r\n\r\n: comment\r\n\r\ndata: {}\r\n\r\ndata: [DONE]\r\n\r\n",
        text("für 🐈"),
        finish("stop")
    );
    let pieces = whole.as_bytes().chunks(1).map(|byte| send([b"1\r\n", byte, b"\r\n"].concat()));
    let steps = [vec![chunked_head()], pieces.collect(), vec![send("0\r\n\r\n")]].concat();
    let fake = Fake::start(vec![steps]).await;
    assert_eq!(tell(&client(&fake), "hello").await.answer().text, "für 🐈");
}

#[tokio::test(flavor = "multi_thread")]
async fn later_calls_use_warm_connections() {
    let whole = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", text("hi"), finish("stop"));
    let Step::Send(body) = in_chunk(&whole) else { unreachable!() };
    let fake = Fake::start(vec![vec![chunked_head(), send([&body[..], b"0\r\n\r\n"].concat())]]).await;
    let client = client(&fake);
    for _ in 0..40 {
        tell(&client, "hello").await.answer();
    }
    // A call may come before the last one's connection is back, so not all are the same.
    let connections = fake.asked().iter().map(|asked| asked.connection).max();
    assert!(connections < Some(10), "{connections:?}");
}

#[tokio::test]
async fn dropping_the_stream_ends_the_request_at_once() {
    let fake = Fake::start(vec![vec![stream_head(), event(&text("hi")), Step::Hang]]).await;
    let mut stream = client(&fake).stream(ask("hello"));
    assert_eq!(delta(&mut stream).await, "hi");
    drop(stream);
    fake.client_left().await;
}

#[tokio::test]
async fn dropping_the_stream_before_any_answer_ends_the_request_at_once() {
    let arrived = Arc::new(Semaphore::new(0));
    let fake = Fake::start(vec![vec![Step::Await(arrived.clone()), Step::Hang]]).await;
    let mut stream = client(&fake).stream(ask("hello"));
    arrived.add_permits(1);
    tokio::select! {
        _ = stream.next() => panic!("there is no answer"),
        () = soon(async { while fake.count() == 0 { tokio::task::yield_now().await } }) => {}
    }
    drop(stream);
    fake.client_left().await;
}

#[tokio::test]
async fn a_stream_that_is_never_read_asks_nothing() {
    let fake = Fake::start(vec![says("hi")]).await;
    let client = impatient(&fake, 1);
    drop(client.stream(ask("hello")));
    tell(&client, "hello").await.answer();
    assert_eq!(fake.count(), 1);
}
