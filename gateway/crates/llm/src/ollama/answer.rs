//! What the lines of an Ollama chat mean. The line that says `done` is the terminal marker.

use adjutant_core::model::{StopReason, Usage};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Draft, parse};
use crate::calls::FunctionDelta;
use crate::failure::{self, Failure};

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    prompt_eval_cached_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: FunctionDelta,
}

pub(crate) fn read(draft: &mut Draft, data: &str) -> Result<(), Failure> {
    if data.trim().is_empty() {
        return Ok(());
    }
    let line: Line = parse(data, "a line is none of a chat")?;
    if let Some(error) = line.error {
        return Err(failure::in_stream(&error, &draft.redactor));
    }
    draft.set_model(line.model);
    if let Some(message) = line.message {
        draft.add_thinking(None, &message.thinking.unwrap_or_default())?;
        draft.add_text(&message.content.unwrap_or_default())?;
        for call in message.tool_calls.unwrap_or_default() {
            draft.add_whole_call(call.id, call.function)?;
        }
    }
    if line.done == Some(true) {
        draft.usage = Usage {
            input_tokens: line.prompt_eval_count.unwrap_or(0),
            output_tokens: line.eval_count.unwrap_or(0),
            cached_input_tokens: line.prompt_eval_cached_count.unwrap_or(0).min(line.prompt_eval_count.unwrap_or(0)),
            cache_write_tokens: 0,
        };
        draft.stop =
            Some(if line.done_reason.as_deref() == Some("length") { StopReason::Length } else { StopReason::Finished });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
