//! What the events of an Anthropic message stream mean. A message is whole when its reason to stop
//! and the event `message_stop` have both come.

use adjutant_core::model::{StopReason, Usage};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Draft, parse};
use crate::calls::{CallDelta, FunctionDelta};
use crate::failure::{self, Failure};

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Debug, Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
}

/// Of the input, what was neither read from the cache nor written to it is counted apart.
#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default, rename = "input_tokens")]
    plain: Option<u64>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    written: Option<u64>,
    #[serde(default, rename = "cache_read_input_tokens")]
    cached: Option<u64>,
    #[serde(default, rename = "output_tokens")]
    output: Option<u64>,
}

pub(crate) fn read(draft: &mut Draft, data: &str) -> Result<(), Failure> {
    let event: Event = parse(data, "an event is none of a message")?;
    match event.kind.as_str() {
        "message_start" => {
            if let Some(message) = event.message {
                draft.set_model(message.model);
                count(draft, message.usage.as_ref());
            }
        }
        "content_block_start" => {
            if let Some(block) = event.content_block {
                begin_block(draft, event.index, block)?;
            }
        }
        "content_block_delta" => {
            if let Some(delta) = event.delta {
                extend_block(draft, event.index, delta)?;
            }
        }
        "message_delta" => {
            count(draft, event.usage.as_ref());
            if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                draft.stop = Some(match reason.as_str() {
                    "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
                    "refusal" => StopReason::Filtered,
                    _ => StopReason::Finished,
                });
            }
        }
        "message_stop" => draft.is_ended = true,
        "error" => {
            let error = event.error.unwrap_or_default();
            return Err(failure::in_stream(&error, &draft.redactor));
        }
        // The list of events may grow, the format says; a ping is one that means nothing.
        _ => {}
    }
    Ok(())
}

fn begin_block(draft: &mut Draft, index: Option<u64>, block: Block) -> Result<(), Failure> {
    match block.kind.as_str() {
        "text" => draft.add_text(&block.text.unwrap_or_default()),
        "thinking" => {
            draft.add_thinking(index, &block.thinking.unwrap_or_default())?;
            draft.add_signature(index, &block.signature.unwrap_or_default())
        }
        "redacted_thinking" => draft.add_redacted(index, block.data.unwrap_or_default()),
        "tool_use" => {
            // The input comes in pieces; some servers put all of it here.
            let input = block.input.filter(|input| input.as_object().is_some_and(|fields| !fields.is_empty()));
            let function = Some(FunctionDelta { name: block.name, arguments: input });
            draft.add_call(CallDelta { index, id: block.id, function })
        }
        _ => Ok(()),
    }
}

fn extend_block(draft: &mut Draft, index: Option<u64>, delta: Delta) -> Result<(), Failure> {
    if let Some(text) = delta.text {
        draft.add_text(&text)?;
    }
    if let Some(thinking) = delta.thinking {
        draft.add_thinking(index, &thinking)?;
    }
    if let Some(signature) = delta.signature {
        draft.add_signature(index, &signature)?;
    }
    match delta.partial_json {
        Some(piece) if !piece.is_empty() => {
            let function = Some(FunctionDelta { name: None, arguments: Some(Value::String(piece)) });
            draft.add_call(CallDelta { index, id: None, function })
        }
        _ => Ok(()),
    }
}

/// Counts come at the beginning and, growing or for the first time, at the end.
fn count(draft: &mut Draft, counts: Option<&Counts>) {
    let Some(counts) = counts else { return };
    let before = draft.usage;
    let plain_before = before.input_tokens - before.cached_input_tokens - before.cache_write_tokens;
    let of = |count: Option<u64>, before: u64| count.unwrap_or(0).max(before);
    let plain = of(counts.plain, plain_before);
    let cached = of(counts.cached, before.cached_input_tokens);
    let written = of(counts.written, before.cache_write_tokens);
    draft.usage = Usage {
        input_tokens: plain.saturating_add(cached).saturating_add(written),
        output_tokens: of(counts.output, before.output_tokens),
        cached_input_tokens: cached,
        cache_write_tokens: written,
    };
}

#[cfg(test)]
mod tests;
