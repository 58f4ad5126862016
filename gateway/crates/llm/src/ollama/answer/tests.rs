use adjutant_core::model::{ModelAnswer, ModelErrorKind};
use serde_json::json;

use super::*;
use crate::answer::Reader;
use crate::redact::Redactor;
use crate::settings::Provider;

fn reader() -> Reader {
    Reader::new(Provider::Ollama, Redactor::default())
}

fn read(lines: &[Value]) -> Result<ModelAnswer, Failure> {
    let mut reader = reader();
    for line in lines {
        reader.read(&line.to_string())?;
    }
    reader.finish("asked", "mark")
}

fn whole() -> Vec<Value> {
    let call = |x: u64| json!({"function": {"name": "f", "arguments": {"x": x}}});
    vec![
        json!({"model": "qwen3:8b", "message": {"role": "assistant", "content": "", "thinking": "Hm"}, "done": false}),
        json!({"message": {"content": "", "thinking": "."}, "done": false}),
        json!({"message": {"content": "Both."}, "done": false}),
        json!({"message": {"content": "", "tool_calls": [call(1), call(2)]}, "done": false}),
        json!({"message": {"content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 20,
            "prompt_eval_cached_count": 12, "eval_count": 7, "total_duration": 1}),
    ]
}

#[test]
fn a_whole_chat_comes_together() {
    let answer = read(&whole()).expect("an answer");
    assert_eq!((answer.text.as_str(), answer.thinking[0].text.as_str()), ("Both.", "Hm."));
    assert_eq!((answer.model.as_str(), answer.provider.as_str()), ("qwen3:8b", "ollama"));
    let calls: Vec<_> = answer.calls.into_iter().map(|call| (call.provider_id, call.arguments)).collect();
    assert_eq!(calls, [(String::new(), Ok(json!({"x": 1}))), (String::new(), Ok(json!({"x": 2})))]);
    let usage = Usage { input_tokens: 20, output_tokens: 7, cached_input_tokens: 12, cache_write_tokens: 0 };
    assert_eq!((answer.usage, answer.stop), (usage, StopReason::Finished));
}

#[test]
fn calls_with_equal_ids_stay_two() {
    let call = |x: u64| json!({"id": "same", "function": {"name": "f", "arguments": {"x": x}}});
    let lines = [json!({"message": {"tool_calls": [call(1), call(2)]}}), json!({"done": true, "done_reason": "stop"})];
    assert_eq!(read(&lines).expect("an answer").calls.len(), 2);
    let nameless = json!({"message": {"tool_calls": [{"function": {"arguments": {}}}]}});
    let failure = read(&[nameless, json!({"done": true})]).expect_err("no call");
    assert_eq!(failure.error.kind, ModelErrorKind::Garbled);
}

#[test]
fn a_chat_that_is_not_done_is_truncated_wherever_it_ends() {
    let lines = whole();
    for count in 0..lines.len() {
        assert_eq!(read(&lines[..count]).expect_err("cut").error.kind, ModelErrorKind::Truncated, "{count}");
    }
    for line in lines {
        let text = line.to_string();
        for end in 1..text.len() {
            let failure = reader().read(&text[..end]).expect_err("cut");
            assert_eq!(failure.error.kind, ModelErrorKind::Truncated);
        }
    }
}

#[test]
fn reasons_to_stop_and_errors_have_their_kinds() {
    let done = |reason: &str| json!({"done": true, "done_reason": reason});
    assert_eq!(read(&[done("length")]).map(|answer| answer.stop), Ok(StopReason::Length));
    assert_eq!(read(&[done("stop")]).map(|answer| answer.stop), Ok(StopReason::Finished));
    let failure = read(&[json!({"error": "an error was encountered while running the model"})]).expect_err("an error");
    assert_eq!(failure.error.kind, ModelErrorKind::Unavailable);
    for data in ["hello", "7", "<html>", "{\"message\": 7}"] {
        assert_eq!(reader().read(data).expect_err("garbled").error.kind, ModelErrorKind::Garbled, "{data}");
    }
}
