//! What the events of a chat completion stream mean. The model's own finish reason is the terminal
//! marker: a gateway may send `[DONE]` behind a stream that was cut, and may leave it out behind a
//! whole one.

use adjutant_core::model::{StopReason, Usage};
use serde_json::Value;

use crate::answer::{Draft, parse};
use crate::failure::{self, Failure};
use crate::openai::chunk::{Choice, Chunk};

const END: &str = "[DONE]";

pub(crate) fn read(draft: &mut Draft, data: &str) -> Result<(), Failure> {
    // The last event of a cut stream may be any beginning of one.
    if END.starts_with(data) {
        return Ok(());
    }
    let chunk: Chunk = parse(data, "an event is no chat completion chunk")?;
    if let Some(error) = chunk.error {
        return Err(failure::in_stream(&error, &draft.redactor));
    }
    draft.set_model(chunk.model);
    if let Some(usage) = chunk.usage.as_ref().and_then(usage) {
        draft.usage = usage;
    }
    for choice in chunk.choices.unwrap_or_default() {
        if choice.index.unwrap_or(0) == 0 {
            take_choice(draft, choice)?;
        }
    }
    Ok(())
}

fn take_choice(draft: &mut Draft, choice: Choice) -> Result<(), Failure> {
    if let Some(delta) = choice.delta {
        let thinking = if delta.reasoning_content.0.is_empty() { delta.reasoning } else { delta.reasoning_content };
        draft.add_thinking(None, &thinking.0)?;
        draft.add_text(&delta.content.0)?;
        draft.add_text(&delta.refusal.0)?;
        for call in delta.tool_calls.unwrap_or_default() {
            draft.add_call(call)?;
        }
    }
    match choice.finish_reason.as_deref() {
        None | Some("") => {}
        Some("length" | "max_tokens") => draft.stop = Some(StopReason::Length),
        Some("content_filter") => draft.stop = Some(StopReason::Filtered),
        // What some gateways say when the provider behind them failed.
        Some("error" | "insufficient_system_resource") => {
            return Err(failure::in_stream(&Value::Null, &draft.redactor));
        }
        Some(_) => draft.stop = Some(StopReason::Finished),
    }
    Ok(())
}

/// `None` for a usage that counts nothing, as some providers send with every event.
fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| value.pointer(name).and_then(Value::as_u64).unwrap_or(0);
    let input_tokens = count("/prompt_tokens");
    let cached = count("/prompt_tokens_details/cached_tokens").max(count("/prompt_cache_hit_tokens"));
    let written = count("/prompt_tokens_details/cache_write_tokens");
    let cached_input_tokens = cached.min(input_tokens);
    let usage = Usage {
        input_tokens,
        output_tokens: count("/completion_tokens"),
        cached_input_tokens,
        cache_write_tokens: written.min(input_tokens - cached_input_tokens),
    };
    (usage != Usage::default()).then_some(usage)
}

#[cfg(test)]
mod tests;
