//! The shapes of answers: a whole completion and the chunks of a stream.

use adjutant_core::ids::RunId;
use adjutant_core::model;
use serde::Serialize;

use super::models;
use super::waiting::{self, CallerCall};

/// What every answer and every chunk of one response begins with.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    created: u64,
}

impl Head {
    pub(super) fn of(run: RunId) -> Self {
        // An id of version 7 begins with the time at which it was made.
        let created = run.as_uuid().get_timestamp().map_or(0, |made| made.to_unix().0);
        Self { id: format!("chatcmpl-{run}"), created }
    }

    pub(super) fn completion(&self, said: Said<'_>, finish: &'static str, usage: Usage) -> String {
        let Said { text, thought, calls } = said;
        let content = (calls.is_empty() || !text.is_empty()).then_some(text);
        let tool_calls = (!calls.is_empty()).then(|| calls.iter().map(|call| ToolCall::new(None, call)).collect());
        let reasoning_content = (!thought.is_empty()).then_some(thought);
        let message = Message { role: "assistant", content, refusal: None, reasoning_content, tool_calls };
        write(&Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: models::name(),
            choices: [Choice { index: 0, message, logprobs: None, finish_reason: finish }],
            usage,
        })
    }

    /// A chunk of the one choice.
    pub(super) fn chunk(&self, delta: Piece<'_>, finish: Option<&'static str>) -> String {
        let choice = StreamChoice { index: 0, delta, logprobs: None, finish_reason: finish };
        write(&self.stream_chunk(Some(choice), None))
    }

    /// The chunk that tells the cost, after all others.
    pub(super) fn usage_chunk(&self, usage: Usage) -> String {
        write(&self.stream_chunk(None, Some(usage)))
    }

    fn stream_chunk<'a>(&'a self, choice: Option<StreamChoice<'a>>, usage: Option<Usage>) -> Chunk<'a> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: models::name(),
            choices: choice.into_iter().collect(),
            usage,
        }
    }
}

/// What a whole answer says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) thought: &'a str,
    pub(super) calls: &'a [CallerCall],
}

fn write(body: &impl Serialize) -> String {
    // None of these types can fail to be written.
    serde_json::to_string(body).unwrap_or_default()
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'static str,
    choices: [Choice<'a>; 1],
    usage: Usage,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    /// What the model thought, where compatible servers put it; OpenAI's own tell nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'static str,
    choices: Vec<StreamChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct StreamChoice<'a> {
    index: u32,
    delta: Piece<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

/// What a chunk adds.
#[derive(Debug, Default, Serialize)]
pub(super) struct Piece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
}

impl<'a> Piece<'a> {
    pub(super) fn role() -> Self {
        Self { role: Some("assistant"), content: Some(""), ..Self::default() }
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self { content: Some(text), ..Self::default() }
    }

    pub(super) fn thought(thought: &'a str) -> Self {
        Self { reasoning_content: Some(thought), ..Self::default() }
    }

    pub(super) fn call(index: usize, call: &'a CallerCall) -> Self {
        Self { tool_calls: Some([ToolCall::new(Some(index), call)]), ..Self::default() }
    }
}

#[derive(Debug, Serialize)]
struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> ToolCall<'a> {
    fn new(index: Option<usize>, call: &'a CallerCall) -> Self {
        let function = Function { name: &call.name, arguments: &call.arguments };
        Self { index, id: waiting::shown(call.id), kind: "function", function }
    }
}

/// The cost of one response, in OpenAI's words.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

impl From<model::Usage> for Usage {
    fn from(usage: model::Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.total(),
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_input_tokens },
        }
    }
}

#[cfg(test)]
mod tests {
    use adjutant_core::ids::ToolCallId;
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn cost() -> Usage {
        model::Usage { input_tokens: 3, output_tokens: 2, cached_input_tokens: 1, cache_write_tokens: 0 }.into()
    }

    #[test]
    fn a_completion_has_openais_shape() {
        let run = RunId::new();
        let head = Head::of(run);
        let whole = value(&head.completion(Said { text: "hi", ..Said::default() }, "stop", cost()));
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1}});
        let message = json!({"role": "assistant", "content": "hi", "refusal": null});
        assert_eq!(
            whole,
            json!({"id": format!("chatcmpl-{run}"), "object": "chat.completion", "created": head.created, "model": "cos",
                "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}], "usage": usage})
        );
        assert!(head.created > 1_700_000_000);
    }

    #[test]
    fn calls_stand_in_the_message_and_in_chunks() {
        let call = CallerCall { id: ToolCallId::new(), name: "f".to_owned(), arguments: "{}".to_owned() };
        let head = Head::of(RunId::new());
        let wanted =
            json!({"id": waiting::shown(call.id), "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let calls = [call];
        let whole = value(&head.completion(Said { calls: &calls, ..Said::default() }, "tool_calls", cost()));
        assert_eq!(
            whole["choices"][0]["message"],
            json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [wanted]})
        );
        let chunk = value(&head.chunk(Piece::call(0, &calls[0]), None));
        assert_eq!(chunk["choices"][0]["delta"]["tool_calls"][0]["index"], json!(0));
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
    }

    #[test]
    fn the_chunk_of_the_cost_has_no_choices() {
        let chunk = value(&Head::of(RunId::new()).usage_chunk(cost()));
        assert_eq!((&chunk["choices"], &chunk["usage"]["total_tokens"]), (&json!([]), &json!(5)));
    }
}
