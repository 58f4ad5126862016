use adjutant_core::limits;
use adjutant_core::model::{ModelAnswer, ModelErrorKind, PaidBy};
use serde_json::json;

use super::*;
use crate::answer::Reader;

fn read(events: &[Value]) -> Result<ModelAnswer, Failure> {
    let mut reader = Reader::default();
    for event in events {
        reader.read(&event.to_string())?;
    }
    reader.finish("asked", "")
}

fn call(delta: &Value) -> Value {
    json!({"choices": [{"delta": {"tool_calls": [delta]}}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": reason}]})
}

/// Names and arguments of the calls that the fragments make.
fn calls(fragments: &[Value]) -> Vec<(String, String, Result<Value, String>)> {
    let mut events: Vec<Value> = fragments.iter().map(call).collect();
    events.push(end("tool_calls"));
    let answer = read(&events).expect("an answer");
    answer.calls.into_iter().map(|call| (call.provider_id, call.name, call.arguments)).collect()
}

fn made(id: &str, name: &str, arguments: Value) -> (String, String, Result<Value, String>) {
    (id.to_owned(), name.to_owned(), Ok(arguments))
}

#[test]
fn fragments_of_parallel_calls_come_together_by_index() {
    let fragments = [
        json!({"index": 0, "id": "a", "type": "function", "function": {"name": "one", "arguments": ""}}),
        json!({"index": 1, "id": "b", "function": {"name": "two", "arguments": "{\"y\":"}}),
        json!({"index": 0, "function": {"arguments": "{\"x\""}}),
        json!({"index": 1, "function": {"name": null, "arguments": "2}"}}),
        json!({"index": 0, "id": "a", "function": {"name": "one", "arguments": ":1}"}}),
    ];
    assert_eq!(calls(&fragments), [made("a", "one", json!({"x": 1})), made("b", "two", json!({"y": 2}))]);
}

#[test]
fn calls_without_an_index_or_all_with_the_same_are_told_apart() {
    let whole =
        |index: Value, id: &str| json!({"index": index, "id": id, "function": {"name": "f", "arguments": "{}"}});
    let apart = [made("a", "f", json!({})), made("b", "f", json!({}))];
    assert_eq!(calls(&[whole(json!(0), "a"), whole(json!(0), "b")]), apart);
    assert_eq!(calls(&[whole(Value::Null, "a"), whole(Value::Null, "b")]), apart);
    let nameless = [
        json!({"function": {"name": "f", "arguments": "{\"n\":"}}),
        json!({"function": {"arguments": "1}"}}),
        json!({"function": {"name": "f", "arguments": "{}"}}),
    ];
    assert_eq!(calls(&nameless), [made("", "f", json!({"n": 1})), made("", "f", json!({}))]);
}

#[test]
fn arguments_may_be_absent_empty_null_or_an_object_instead_of_a_string() {
    let cases = [
        (json!({"name": "f"}), json!({})),
        (json!({"name": "f", "arguments": ""}), json!({})),
        (json!({"name": "f", "arguments": " \n"}), json!({})),
        (json!({"name": "f", "arguments": null}), json!({})),
        (json!({"name": "f", "arguments": "null"}), json!({})),
        (json!({"name": "f", "arguments": {"a": [1]}}), json!({"a": [1]})),
    ];
    for (function, arguments) in cases {
        assert_eq!(calls(&[json!({"index": 0, "id": "i", "function": function})]), [made("i", "f", arguments)]);
    }
}

#[test]
fn arguments_that_are_no_json_object_are_kept_as_raw_text() {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for raw in ["{\"a\": }", "[1]", "\"text\"", "7", "{\"a\":1", "{} {}", deep.as_str()] {
        let fragment = json!({"index": 0, "id": "i", "function": {"name": "f", "arguments": raw}});
        assert_eq!(calls(&[fragment]), [("i".to_owned(), "f".to_owned(), Err(raw.to_owned()))]);
    }
}

#[test]
fn arguments_over_the_limit_never_become_a_call_that_can_run() {
    let half = "x".repeat(limits::TOOL_ARGUMENT_BYTES / 2);
    let first = json!({"index": 0, "id": "i", "function": {"name": "f", "arguments": format!("{{\"a\":\"{half}")}});
    let more = json!({"index": 0, "function": {"arguments": half}});
    let last = json!({"index": 0, "function": {"arguments": "\"}"}});
    let made = calls(&[first, more, last]);
    assert!(matches!(&made[..], [(_, _, Err(raw))] if raw.len() <= limits::TOOL_ARGUMENT_BYTES));
}

#[test]
fn an_answer_stopped_by_its_limit_inside_a_call_is_truncated() {
    for (arguments, whole) in [("{\"a\":1}", true), ("{\"a\":1", false), ("", false), ("{\"a\":\"ü", false)] {
        for reason in ["length", "content_filter"] {
            let fragment = json!({"index": 0, "id": "i", "function": {"name": "f", "arguments": arguments}});
            let answer = read(&[call(&fragment), end(reason)]);
            match answer {
                Ok(answer) => assert!(whole && answer.calls.len() == 1),
                Err(failure) => assert!(!whole && failure.error.kind == ModelErrorKind::Truncated),
            }
        }
    }
}

#[test]
fn only_the_models_own_finish_reason_makes_an_answer_whole() {
    let text = json!({"choices": [{"delta": {"content": "half"}, "finish_reason": null}]});
    let mut reader = Reader::default();
    for data in [text.to_string().as_str(), "[DONE]"] {
        reader.read(data).expect("a chunk");
    }
    assert_eq!(reader.finish("m", "").map_err(|failure| failure.error.kind), Err(ModelErrorKind::Truncated));
    assert_eq!(read(&[text, end("stop")]).map(|answer| answer.text), Ok("half".to_owned()));
}

#[test]
fn any_beginning_of_an_event_counts_as_cut_and_anything_else_as_garbled() {
    let whole = r#"{"choices":[{"delta":{"content":"a\u00fc"}}]}"#;
    for end in 1..whole.len() {
        let failure = Reader::default().read(&whole[..end]).expect_err("cut");
        assert_eq!(failure.error.kind, ModelErrorKind::Truncated, "{}", &whole[..end]);
    }
    for data in ["[DON", "[", "[DONE"] {
        assert_eq!(Reader::default().read(data), Ok(()));
    }
    for data in ["hello", "{\"choices\":7}", "7", "{\"choices\":[{\"delta\":{\"content\":7}}]}", "{}}", "<p>"] {
        let failure = Reader::default().read(data).expect_err("garbled");
        assert_eq!(failure.error.kind, ModelErrorKind::Garbled, "{data}");
    }
}

#[test]
fn usage_and_model_are_read_wherever_they_come() {
    let events = [
        json!({"model": "", "choices": [], "prompt_filter_results": []}),
        json!({"model": "m-1", "choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": null}),
        json!({"model": "m-1", "choices": [{"delta": {"content": "hi"}, "finish_reason": "length"}], "usage": {}}),
        json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": null}}),
        json!({"error": null, "choices": null, "usage": {"prompt_tokens": 0}}),
    ];
    let answer = read(&events).expect("an answer");
    let usage = Usage { input_tokens: 10, output_tokens: 3, cached_input_tokens: 8, cache_write_tokens: 0 };
    let expected = ModelAnswer {
        text: "hi".to_owned(),
        calls: vec![],
        usage,
        stop: StopReason::Length,
        model: "m-1".to_owned(),
        thinking: vec![],
        provider: "openai".to_owned(),
        paid_by: PaidBy::Operator,
        cost: None,
        passed_over: vec![],
    };
    assert_eq!(answer, expected);
    assert_eq!(
        read(&[end("stop")]).map(|answer| (answer.model, answer.usage)),
        Ok(("asked".to_owned(), Usage::default()))
    );
}

#[test]
fn text_may_come_in_parts_and_as_a_refusal_and_other_choices_are_left_out() {
    let parts =
        json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let events = [
        json!({"choices": [{"index": 0, "delta": {"content": parts}}, {"index": 1, "delta": {"content": "other"}}]}),
        json!({"choices": [{"delta": {"content": null, "refusal": "c"}}]}),
        json!({"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": ""}]}),
        end("stop"),
    ];
    assert_eq!(read(&events).map(|answer| answer.text), Ok("abc".to_owned()));
}

#[test]
fn an_answer_without_end_is_stopped() {
    let mut reader = Reader::default();
    let event = json!({"choices": [{"delta": {"content": "x".repeat(200 * 1024)}}]}).to_string();
    let failure = (0..6).find_map(|_| reader.read(&event).err()).expect("a limit");
    assert_eq!(failure.error.kind, ModelErrorKind::Garbled);

    let mut reader = Reader::default();
    let failures = (0..1_000).find_map(|n| {
        let fragment = json!({"index": n, "id": n.to_string(), "function": {"name": "f"}});
        reader.read(&call(&fragment).to_string()).err()
    });
    assert_eq!(failures.map(|failure| failure.error.kind), Some(ModelErrorKind::Garbled));

    let mut reader = Reader::default();
    let huge = json!({"index": u64::MAX, "id": "i", "function": {"name": "f"}});
    assert_eq!(reader.read(&call(&huge).to_string()), Ok(()));
}
