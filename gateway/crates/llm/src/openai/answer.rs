//! Reads the events of one stream into an answer. It sees each event as it was sent, because the
//! client crate's own reading loses what must not be lost: whether the answer is whole, calls without
//! an index, arguments that are no string, and which model answered.

use adjutant_core::limits;
use adjutant_core::message::without_nul;
use adjutant_core::model::{ModelAnswer, PaidBy, StopReason, Usage};
use serde_json::Value;

use crate::failure::{self, Failure};
use crate::openai::calls::Calls;
use crate::openai::chunk::{Choice, Chunk};
use crate::redact::Redactor;

const END: &str = "[DONE]";
const MODEL_NAME_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Reader {
    redactor: Redactor,
    text: String,
    /// Bytes of `text` that were taken.
    taken: usize,
    calls: Calls,
    stop: Option<StopReason>,
    usage: Usage,
    model: Option<String>,
    read: usize,
    /// Something came that is no event, like a page of HTML or a comment.
    noise: bool,
    events: bool,
}

impl Reader {
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self { redactor, ..Self::default() }
    }

    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &str) -> Result<(), Failure> {
        if data.is_empty() {
            self.noise = true;
            return Ok(());
        }
        self.read = self.read.saturating_add(data.len());
        if data.len() > limits::MODEL_EVENT_BYTES || self.read > limits::MODEL_STREAM_BYTES {
            return Err(Failure::garbled("it is too long"));
        }
        self.events = true;
        // The last event of a cut stream may be any beginning of one.
        if END.starts_with(data) {
            return Ok(());
        }
        let chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(error) if error.is_eof() => return Err(Failure::truncated()),
            Err(_) => return Err(Failure::garbled("an event is no chat completion chunk")),
        };
        self.take_in(chunk)
    }

    fn take_in(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if let Some(error) = chunk.error {
            return Err(failure::in_stream(&error, &self.redactor));
        }
        if self.model.is_none() {
            self.model = chunk.model.filter(|model| !model.is_empty()).map(kept);
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(usage) {
            self.usage = usage;
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) == 0 {
                self.take_choice(choice)?;
            }
        }
        Ok(())
    }

    fn take_choice(&mut self, choice: Choice) -> Result<(), Failure> {
        if let Some(delta) = choice.delta {
            self.text.push_str(&delta.content.0);
            self.text.push_str(&delta.refusal.0);
            if self.text.len() > limits::ANSWER_BYTES {
                return Err(Failure::garbled("its text is too long"));
            }
            for call in delta.tool_calls.unwrap_or_default() {
                self.calls.add(call)?;
            }
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("length" | "max_tokens") => self.stop = Some(StopReason::Length),
            Some("content_filter") => self.stop = Some(StopReason::Filtered),
            // What some gateways say when the provider behind them failed.
            Some("error" | "insufficient_system_resource") => {
                return Err(failure::in_stream(&Value::Null, &self.redactor));
            }
            Some(_) => self.stop = Some(StopReason::Finished),
        }
        Ok(())
    }

    /// The text that came since the last time.
    pub(crate) fn take_text(&mut self) -> Option<String> {
        let fresh = self.text.get(self.taken..).filter(|fresh| !fresh.is_empty())?.to_owned();
        self.taken = self.text.len();
        Some(fresh)
    }

    /// The model has begun to answer: a second try would say something twice.
    pub(crate) fn has_begun(&self) -> bool {
        !self.text.is_empty() || !self.calls.is_empty()
    }

    /// The model has said that this is all.
    pub(crate) fn is_whole(&self) -> bool {
        self.stop.is_some()
    }

    /// The answer, when the stream is over. The model's own finish reason is the terminal marker: a
    /// gateway may send `[DONE]` behind a stream that was cut, and may leave it out behind a whole one.
    pub(crate) fn finish(self, asked: &str) -> Result<ModelAnswer, Failure> {
        let Some(stop) = self.stop else {
            let no_stream = self.noise && !self.events;
            return Err(if no_stream { Failure::garbled("it is no event stream") } else { Failure::truncated() });
        };
        Ok(ModelAnswer {
            text: self.text,
            calls: self.calls.finish(stop)?,
            usage: self.usage,
            stop,
            model: self.model.unwrap_or_else(|| asked.to_owned()),
            thinking: Vec::new(),
            provider: "openai".to_owned(),
            paid_by: PaidBy::Operator,
            cost: None,
            passed_over: Vec::new(),
        })
    }
}

/// A model's name as it can be kept: providers write into it what they like.
fn kept(mut model: String) -> String {
    model.truncate(model.floor_char_boundary(MODEL_NAME_BYTES));
    without_nul(model)
}

/// `None` for a usage that counts nothing, as some providers send with every event.
fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| value.pointer(name).and_then(Value::as_u64).unwrap_or(0);
    let input_tokens = count("/prompt_tokens");
    let cached = count("/prompt_tokens_details/cached_tokens").max(count("/prompt_cache_hit_tokens"));
    let usage = Usage {
        input_tokens,
        output_tokens: count("/completion_tokens"),
        cached_input_tokens: cached.min(input_tokens),
        cache_write_tokens: 0,
    };
    (usage != Usage::default()).then_some(usage)
}

#[cfg(test)]
mod tests;
