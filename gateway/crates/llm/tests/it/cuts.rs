//! Streams that break: cut, garbled, silent, endless.

use adjutant_core::model::{ModelErrorKind, StopReason};
use serde_json::json;

use crate::fake::{Fake, Step, chunked_head, done, event, finish, in_chunk, says, send, stream_head, text, tool_call};
use crate::support::{Told, alone, client, impatient, settings, tell};

async fn told(steps: Vec<Step>) -> Told {
    let fake = Fake::start(vec![steps]).await;
    tell(&client(&fake), "hello").await
}

#[tokio::test]
async fn a_stream_that_simply_stops_is_truncated_and_keeps_what_came() {
    let told = told(vec![stream_head(), event(&text("half")), Step::Close]).await;
    assert_eq!((told.kind(), told.relayed.as_str()), (ModelErrorKind::Truncated, "half"));
}

#[tokio::test]
async fn a_stream_cut_inside_its_http_framing_is_truncated() {
    let told = told(vec![chunked_head(), in_chunk(&format!("data: {}\n\n", text("half"))), Step::Close]).await;
    assert_eq!((told.kind(), told.relayed.as_str()), (ModelErrorKind::Truncated, "half"));
}

#[tokio::test]
async fn a_stream_that_is_reset_is_truncated() {
    let told = told(vec![chunked_head(), in_chunk(&format!("data: {}\n\n", text("half"))), Step::Reset]).await;
    assert_eq!(told.kind(), ModelErrorKind::Truncated);
}

#[tokio::test]
async fn a_stream_cut_inside_an_event_or_a_letter_is_truncated() {
    let whole = format!("data: {}\n\n", text("zwölf"));
    let inside_letter = whole.find('ö').unwrap() + 1;
    for end in [9, whole.len() - 5, inside_letter] {
        let told = told(vec![stream_head(), send(&whole.as_bytes()[..end]), Step::Close]).await;
        assert_eq!(told.kind(), ModelErrorKind::Truncated, "{end}");
    }
}

#[tokio::test]
async fn an_empty_stream_is_truncated() {
    assert_eq!(told(vec![stream_head(), Step::Close]).await.kind(), ModelErrorKind::Truncated);
}

#[tokio::test]
async fn a_done_behind_a_stream_without_finish_reason_does_not_make_it_whole() {
    let told = told(vec![stream_head(), event(&text("half")), done(), Step::Close]).await;
    assert_eq!(told.kind(), ModelErrorKind::Truncated);
}

#[tokio::test]
async fn a_finish_reason_makes_an_answer_whole_without_a_done() {
    let events = [event(&text("all")), event(&finish("stop"))].to_vec();
    let clean = told([vec![stream_head()], events.clone(), vec![Step::Close]].concat()).await;
    assert_eq!(clean.answer().text, "all");
    let framed = format!("data: {}\n\ndata: {}\n\n", text("all"), finish("stop"));
    let cut = told(vec![chunked_head(), in_chunk(&framed), Step::Close]).await;
    assert_eq!(cut.answer().stop, StopReason::Finished);
}

#[tokio::test]
async fn a_call_cut_off_never_becomes_an_answer() {
    let begun = tool_call(&json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"text\":\"ha"}}));
    for end in [vec![Step::Close], vec![done(), Step::Close], vec![event(&finish("length")), done(), Step::Close]] {
        let told = told([vec![stream_head(), event(&begun)], end].concat()).await;
        assert_eq!(told.kind(), ModelErrorKind::Truncated);
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_are_told_and_absent_ones_are_an_empty_object() {
    let call = |index: u32, function: serde_json::Value| {
        event(&tool_call(&json!({"index": index, "id": format!("c{index}"), "function": function})))
    };
    let told = told(vec![
        stream_head(),
        call(0, json!({"name": "f", "arguments": "{not json}"})),
        call(1, json!({"name": "g"})),
        call(2, json!({"name": "h", "arguments": ""})),
        event(&finish("tool_calls")),
        done(),
        Step::Close,
    ])
    .await;
    let arguments: Vec<_> = told.answer().calls.into_iter().map(|call| call.arguments).collect();
    assert_eq!(arguments, [Err("{not json}".to_owned()), Ok(json!({})), Ok(json!({}))]);
}

#[tokio::test]
async fn an_event_that_is_no_chunk_makes_the_answer_garbled() {
    for data in ["{\"choices\": oops}", "hello", "42", "{\"choices\":\"none\"}"] {
        let event_text = send(format!("data: {data}\n\n"));
        let told =
            told(vec![stream_head(), event(&text("half")), event_text, event(&finish("stop")), done(), Step::Close])
                .await;
        assert_eq!((told.kind(), told.relayed.as_str()), (ModelErrorKind::Garbled, "half"), "{data}");
    }
}

#[tokio::test]
async fn a_page_of_html_instead_of_a_stream_is_garbled() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>\n\n<p>Welcome</p>\n\n</html>";
    assert_eq!(told(vec![send(page), Step::Close]).await.kind(), ModelErrorKind::Garbled);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_make_the_answer_garbled() {
    let told =
        told(vec![stream_head(), send(&b"data: {\"choices\": \"\xff\xfe\"}\n\n"[..]), done(), Step::Close]).await;
    assert_eq!(told.kind(), ModelErrorKind::Garbled);
}

#[tokio::test]
async fn an_error_inside_the_stream_ends_the_answer() {
    let error = json!({"error": {"message": "upstream died", "type": "server_error"}});
    let fake = Fake::start(vec![vec![stream_head(), event(&text("half")), event(&error), done(), Step::Close]]).await;
    let told = tell(&client(&fake), "hello").await;
    assert_eq!((told.kind(), told.relayed.as_str(), fake.count()), (ModelErrorKind::Unavailable, "half", 1));
}

#[tokio::test]
async fn an_error_before_the_first_delta_is_tried_again() {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]});
    let error = json!({"error": {"message": "slow down", "code": 429}});
    let fake = Fake::start(vec![vec![stream_head(), event(&role), event(&error), Step::Close], says("hi")]).await;
    assert_eq!(tell(&client(&fake), "hello").await.answer().text, "hi");
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn a_silent_provider_is_given_up_and_asked_again() {
    let fake = Fake::start(vec![vec![Step::Hang], vec![stream_head(), Step::Hang], says("hi")]).await;
    assert_eq!(tell(&impatient(&fake, 3), "hello").await.answer().text, "hi");
    assert_eq!(fake.count(), 3);
    let fake = Fake::start(vec![vec![Step::Hang]]).await;
    assert_eq!(tell(&impatient(&fake, 2), "hello").await.kind(), ModelErrorKind::TimedOut);
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up_and_not_asked_again() {
    let fake = Fake::start(vec![vec![stream_head(), event(&text("half")), Step::Hang], says("never")]).await;
    let told = tell(&impatient(&fake, 3), "hello").await;
    assert_eq!((told.kind(), told.relayed.as_str(), fake.count()), (ModelErrorKind::TimedOut, "half", 1));
    fake.client_left().await;
}

#[tokio::test]
async fn an_event_without_end_is_given_up() {
    let steps = vec![stream_head(), event(&text("half")), Step::Flood(vec![b'x'; 16 * 1024])];
    let fake = Fake::start(vec![steps]).await;
    assert_eq!(tell(&impatient(&fake, 1), "hello").await.kind(), ModelErrorKind::TimedOut);
    fake.client_left().await;
}

#[tokio::test]
async fn an_error_page_without_end_is_given_up() {
    let head = send("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    let fake = Fake::start(vec![vec![head, Step::Flood(vec![b'x'; 1024])]]).await;
    assert_eq!(tell(&impatient(&fake, 1), "hello").await.kind(), ModelErrorKind::TimedOut);
    fake.client_left().await;
}

#[tokio::test]
async fn a_text_without_end_is_garbled() {
    let bytes = format!("data: {}\n\n", text(&"x".repeat(32 * 1024)));
    let fake = Fake::start(vec![vec![stream_head(), Step::Flood(bytes.into_bytes())]]).await;
    let client = alone(settings(&fake.base_url()));
    assert_eq!(tell(&client, "hello").await.kind(), ModelErrorKind::Garbled);
    fake.client_left().await;
}
