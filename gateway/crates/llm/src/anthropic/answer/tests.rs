use adjutant_core::limits;
use adjutant_core::message::ThinkingPart;
use adjutant_core::model::{ModelAnswer, ModelErrorKind};
use serde_json::json;

use super::*;
use crate::answer::Reader;
use crate::redact::Redactor;
use crate::settings::Provider;

fn reader() -> Reader {
    Reader::new(Provider::Anthropic, Redactor::default())
}

fn read(events: &[Value]) -> Result<ModelAnswer, Failure> {
    let mut reader = reader();
    for event in events {
        reader.read(&event.to_string())?;
    }
    reader.finish("asked", "mark")
}

fn start(index: u64, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn end(reason: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 40}}),
        json!({"type": "message_stop"}),
    ]
}

fn whole() -> Vec<Value> {
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1});
    let mut events = vec![
        json!({"type": "message_start", "message": {"model": "claude-x", "usage": usage}}),
        json!({"type": "ping"}),
        start(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "Let me "})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "see."})),
        delta(0, &json!({"type": "signature_delta", "signature": "c2ln"})),
        json!({"type": "content_block_stop", "index": 0}),
        start(1, &json!({"type": "redacted_thinking", "data": "c2VhbGVk"})),
        json!({"type": "content_block_stop", "index": 1}),
        start(2, &json!({"type": "text", "text": ""})),
        delta(2, &json!({"type": "text_delta", "text": "A moment."})),
        start(3, &json!({"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}})),
        delta(3, &json!({"type": "input_json_delta", "partial_json": ""})),
        delta(3, &json!({"type": "input_json_delta", "partial_json": "{\"x\""})),
        start(4, &json!({"type": "tool_use", "id": "toolu_b", "name": "f", "input": {}})),
        delta(3, &json!({"type": "input_json_delta", "partial_json": ":1}"})),
        json!({"type": "something_new", "index": 9}),
    ];
    events.extend(end("tool_use"));
    events
}

#[test]
fn a_whole_message_comes_together() {
    let answer = read(&whole()).expect("an answer");
    let thought = |text: &str, signature: Option<&str>, redacted: Option<&str>| ThinkingPart {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
        redacted: redacted.map(str::to_owned),
        provider: "mark".to_owned(),
    };
    assert_eq!(answer.thinking, [thought("Let me see.", Some("c2ln"), None), thought("", None, Some("c2VhbGVk"))]);
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("A moment.", "claude-x"));
    let calls: Vec<_> = answer.calls.into_iter().map(|call| (call.provider_id, call.arguments)).collect();
    assert_eq!(calls, [("toolu_a".to_owned(), Ok(json!({"x": 1}))), ("toolu_b".to_owned(), Ok(json!({})))]);
    let usage = Usage { input_tokens: 1110, output_tokens: 40, cached_input_tokens: 1000, cache_write_tokens: 100 };
    assert_eq!(answer.usage, usage);
    assert_eq!(answer.stop, StopReason::Finished);
}

#[test]
fn a_message_without_its_stop_is_truncated_wherever_it_ends() {
    let events = whole();
    for count in 0..events.len() {
        let failure = read(&events[..count]).expect_err("cut");
        assert_eq!(failure.error.kind, ModelErrorKind::Truncated, "{count}");
    }
    // The end alone is none without a reason.
    let failure = read(&[json!({"type": "message_stop"})]).expect_err("cut");
    assert_eq!(failure.error.kind, ModelErrorKind::Truncated);
}

#[test]
fn any_beginning_of_an_event_counts_as_cut_and_anything_else_as_garbled() {
    for event in whole() {
        let text = event.to_string();
        for end in 1..text.len() {
            if text.is_char_boundary(end) {
                let failure = reader().read(&text[..end]).expect_err("cut");
                assert_eq!(failure.error.kind, ModelErrorKind::Truncated);
            }
        }
    }
    for data in ["hello", "[]", "7", "{}", "{\"type\":7}", "<p>", "[DONE]"] {
        assert_eq!(reader().read(data).expect_err("garbled").error.kind, ModelErrorKind::Garbled, "{data}");
    }
}

#[test]
fn arguments_that_a_limit_cut_never_become_a_call() {
    let mut events = vec![
        start(0, &json!({"type": "tool_use", "id": "a", "name": "f", "input": {}})),
        delta(0, &json!({"type": "input_json_delta", "partial_json": "{\"text\":\"ha"})),
    ];
    events.extend(end("max_tokens"));
    assert_eq!(read(&events).expect_err("cut").error.kind, ModelErrorKind::Truncated);
    events.truncate(2);
    events.extend(end("tool_use"));
    let answer = read(&events).expect("an answer whose call is told to be wrong");
    assert!(answer.calls[0].arguments.is_err());
}

#[test]
fn reasons_to_stop_have_their_kinds() {
    let cases = [
        ("end_turn", StopReason::Finished),
        ("stop_sequence", StopReason::Finished),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::Length),
        ("refusal", StopReason::Filtered),
    ];
    for (reason, stop) in cases {
        assert_eq!(read(&end(reason)).map(|answer| answer.stop), Ok(stop), "{reason}");
    }
}

#[test]
fn an_error_in_the_stream_has_its_kind() {
    use ModelErrorKind::{RateLimited, Refused, Unauthorized, Unavailable};
    let cases = [
        ("overloaded_error", Unavailable, true),
        ("api_error", Unavailable, true),
        ("rate_limit_error", RateLimited, true),
        ("authentication_error", Unauthorized, false),
        ("permission_error", Unauthorized, false),
        ("not_found_error", Refused, false),
        ("invalid_request_error", Refused, false),
        ("request_too_large", Refused, false),
    ];
    for (kind, expected, passing) in cases {
        let event = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        let failure = read(&[event]).expect_err("an error");
        assert_eq!((failure.error.kind, failure.passing), (expected, passing), "{kind}");
    }
}

#[test]
fn thinking_without_end_is_stopped() {
    let mut reader = reader();
    let event = delta(0, &json!({"type": "thinking_delta", "thinking": "x".repeat(200 * 1024)})).to_string();
    let failure = (0..=limits::THINKING_BYTES / (200 * 1024)).find_map(|_| reader.read(&event).err());
    assert_eq!(failure.map(|failure| failure.error.kind), Some(ModelErrorKind::Garbled));
}
