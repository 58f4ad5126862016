//! Which parameters of a chat completion count.
//!
//! Honoured: `temperature`, `max_completion_tokens` or `max_tokens` (of each model call), `tools`,
//! `tool_choice` `auto` and `none` (the caller's tools are not offered; the assistant's own are its
//! affair). Refused, because the answer would not have the form that was asked for: `n` over 1,
//! `logprobs`, `stop`, a `response_format` other than text, modalities other than text, a
//! `tool_choice` that forces a call, `functions`. Ignored, because it only tunes: `seed`, `top_p`,
//! penalties, `parallel_tool_calls`, `reasoning_effort`, and every field we do not know.

use std::collections::HashSet;

use adjutant_core::limits;
use adjutant_core::message::{is_deep, value_without_nul, without_nul};
use adjutant_core::tool::{AddedBy, Hints, ToolSpec};
use adjutant_engine::runs::submission::RunRequest;
use serde_json::{Value, json};

use super::failure::Failure;
use super::request::{ChatRequest, Function, Tool, Word};

const NAME_LONGEST: usize = 64;

/// What the run is asked for beyond its messages.
pub(super) fn read(request: &mut ChatRequest) -> Result<RunRequest, Failure> {
    refuse_other_forms(request)?;
    let temperature = request.temperature;
    if temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Err(Failure::invalid("temperature", "temperature is a number from 0 to 2"));
    }
    let max_output_tokens = request.max_completion_tokens.or(request.max_tokens);
    if max_output_tokens == Some(0) {
        let name = if request.max_completion_tokens.is_some() { "max_completion_tokens" } else { "max_tokens" };
        return Err(Failure::invalid(name, format!("{name} is at least 1")));
    }
    let tools = request.tools.take().map(|tools| tools.0).unwrap_or_default();
    let caller_tools = specs(tools)?;
    let caller_tools = match request.tool_choice.take() {
        None => caller_tools,
        Some(Word::Plain(word)) if word == "auto" => caller_tools,
        Some(Word::Plain(word)) if word == "none" => Vec::new(),
        Some(_) => {
            let message = "a call to a tool cannot be forced here: tool_choice is auto or none";
            return Err(Failure::unsupported("tool_choice", message));
        }
    };
    Ok(RunRequest { caller_tools, temperature, max_output_tokens, ..RunRequest::default() })
}

fn refuse_other_forms(request: &ChatRequest) -> Result<(), Failure> {
    let other_format = request.response_format.as_ref().is_some_and(|format| format.kind != "text");
    let other_modality = request.modalities.as_ref().is_some_and(|list| list.0.iter().any(|word| word != "text"));
    let refusals = [
        (request.n.is_some_and(|n| n != 1), "n", "there is one answer: n is 1"),
        (request.logprobs == Some(true), "logprobs", "log probabilities are not known here"),
        (request.stop.as_ref().is_some_and(|stop| !stop.is_empty), "stop", "stop sequences are not supported"),
        (other_format, "response_format", "an answer is plain text: response_format is text"),
        (other_modality, "modalities", "an answer is plain text: modalities is text"),
        (request.functions.is_some(), "functions", "functions are not supported: send them as tools"),
        (request.function_call.is_some(), "function_call", "function_call is not supported: use tool_choice"),
    ];
    match refusals.into_iter().find(|(refused, ..)| *refused) {
        Some((_, param, message)) => Err(Failure::unsupported(param, message)),
        None => Ok(()),
    }
}

/// The caller's tools as they are offered to the model.
pub(in crate::http) fn specs(tools: Vec<Tool>) -> Result<Vec<ToolSpec>, Failure> {
    let mut names = HashSet::new();
    let mut bytes = 0;
    let mut specs = Vec::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let path = format!("tools[{index}]");
        if tool.kind != "function" {
            return Err(Failure::unsupported(path + ".type", "a tool is of the type function"));
        }
        let Some(function) = tool.function else {
            return Err(Failure::invalid(path + ".function", "a tool of the type function has a function"));
        };
        bytes += function.description.as_ref().map_or(0, String::len);
        bytes += function.parameters.as_ref().map_or(0, |parameters| parameters.get().len());
        if bytes > limits::CALLER_TOOL_BYTES {
            let message = format!("the tools have more than {} bytes together", limits::CALLER_TOOL_BYTES);
            return Err(Failure::invalid("tools", message));
        }
        let spec = spec(function, &path)?;
        if !names.insert(spec.name.clone()) {
            return Err(Failure::invalid(path + ".function.name", "two tools have the same name"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

fn spec(function: Function, path: &str) -> Result<ToolSpec, Failure> {
    let name = function.name;
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    if !(1..=NAME_LONGEST).contains(&name.len()) || !name.bytes().all(plain) {
        let message = "the name of a tool is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'";
        return Err(Failure::invalid(format!("{path}.function.name"), message));
    }
    let schema = match function.parameters {
        None => json!({"type": "object", "properties": {}}),
        Some(raw) => serde_json::from_str(raw.get()).unwrap_or(Value::Null),
    };
    if !schema.is_object() || is_deep(&schema) {
        let message = "the parameters of a tool are a JSON schema: an object of at most 64 levels";
        return Err(Failure::invalid(format!("{path}.function.parameters"), message));
    }
    Ok(ToolSpec {
        tool: name.clone(),
        name,
        server: String::new(),
        description: without_nul(function.description.unwrap_or_default()),
        input_schema: value_without_nul(schema),
        hints: Hints::default(),
        added_by: AddedBy::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openai::request;

    fn read_json(more: &Value) -> Result<RunRequest, String> {
        let mut body = json!({"model": "cos", "messages": []});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut request = request::parse(body.to_string().as_bytes()).unwrap();
        read(&mut request).map_err(|failure| {
            let body: Value = serde_json::from_str(&failure.body()).unwrap();
            body["error"]["param"].as_str().unwrap().to_owned()
        })
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object"}}})
    }

    #[test]
    fn what_changes_the_form_of_the_answer_is_refused() {
        for (param, value) in [
            ("n", json!(2)),
            ("n", json!(0)),
            ("logprobs", json!(true)),
            ("stop", json!("x")),
            ("stop", json!(["x"])),
            ("response_format", json!({"type": "json_object"})),
            ("modalities", json!(["text", "audio"])),
            ("functions", json!([])),
            ("function_call", json!("auto")),
            ("tool_choice", json!("required")),
            ("tool_choice", json!({"type": "function", "function": {"name": "f"}})),
            ("temperature", json!(2.1)),
            ("max_tokens", json!(0)),
        ] {
            assert_eq!(read_json(&json!({ param: value })), Err(param.to_owned()));
        }
    }

    #[test]
    fn what_only_tunes_is_ignored() {
        let more = json!({"seed": 1, "top_p": 0.1, "stop": [], "n": 1, "logprobs": false, "user": "me",
            "response_format": {"type": "text"}, "parallel_tool_calls": false, "temperature": 0.7, "max_tokens": 5});
        let wanted = RunRequest { temperature: Some(0.7), max_output_tokens: Some(5), ..RunRequest::default() };
        assert_eq!(read_json(&more), Ok(wanted));
    }

    #[test]
    fn the_callers_tools_are_taken_as_they_are() {
        let read = read_json(&json!({"tools": [tool("a"), {"type": "function", "function": {"name": "b"}}]})).unwrap();
        assert_eq!(read.caller_tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(read.caller_tools[1].input_schema, json!({"type": "object", "properties": {}}));
        let none = read_json(&json!({"tools": [tool("a")], "tool_choice": "none"})).unwrap();
        assert!(none.caller_tools.is_empty());
    }

    #[test]
    fn tools_that_cannot_be_offered_are_refused() {
        let huge = "x".repeat(limits::CALLER_TOOL_BYTES);
        for (tools, param) in [
            (json!([tool("a"), tool("a")]), "tools[1].function.name"),
            (json!([tool("a b")]), "tools[0].function.name"),
            (json!([tool(&"x".repeat(65))]), "tools[0].function.name"),
            (json!([{"type": "custom", "custom": {"name": "c"}}]), "tools[0].type"),
            (json!([{"type": "function"}]), "tools[0].function"),
            (json!([{"type": "function", "function": {"name": "a", "parameters": 7}}]), "tools[0].function.parameters"),
            (json!([{"type": "function", "function": {"name": "a", "description": huge, "parameters": {}}}]), "tools"),
        ] {
            assert_eq!(read_json(&json!({"tools": tools})), Err(param.to_owned()), "{param}");
        }
    }
}
