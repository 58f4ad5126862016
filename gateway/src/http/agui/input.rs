//! The protocol's `RunAgentInput` as far as we read it. Unknown fields are skipped, lists are bounded while they are
//! read. `state` and `forwardedProps` are the application's own and go nowhere, but for one word of ours in the latter.

use adjutant_core::limits;
use adjutant_engine::runs::submission::Mode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::content;
use crate::http::openai::failure::Failure;
use crate::http::openai::history::{self, Entry};
use crate::http::openai::options;
use crate::http::openai::request::{Bounded, ChatMessage, Function, Tool, ToolCall};
use crate::http::openai::waiting;
use crate::problem::Problem;

/// What an AG-UI client sends
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunAgentInput {
    /// The client's name for the thread: any text, or the id of one of yours.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) thread_id: String,
    #[schema(min_length = 1, max_length = 200)]
    pub(super) run_id: String,
    /// The whole history; what the thread has already is known by its ids.
    #[schema(value_type = Vec<AgMessage>)]
    pub(super) messages: Bounded<AgMessage, { limits::OPENAI_MESSAGES }>,
    /// Tools that the client runs.
    #[schema(value_type = Option<Vec<AgTool>>)]
    pub(super) tools: Option<Bounded<AgTool, { limits::CALLER_TOOLS }>>,
    /// What the application wants the assistant to know.
    #[schema(value_type = Option<Vec<AgContext>>)]
    pub(super) context: Option<Bounded<AgContext, { limits::CLIENT_CONTEXT }>>,
    /// Answers to the interrupts that the run before ended with.
    #[schema(value_type = Option<Vec<ResumeEntry>>)]
    pub(super) resume: Option<Bounded<ResumeEntry, { limits::RESUMED }>>,
    /// `mode` says what becomes of the message while a run is going in the thread: `queue` (it waits for its turn) or `steer`
    /// (it joins that run). The rest is the application's own.
    #[schema(value_type = Option<Object>)]
    forwarded_props: Option<Value>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgMessage {
    pub(super) id: String,
    /// `developer`, `system`, `user`, `assistant`, `tool`; `activity` and `reasoning` are skipped.
    pub(super) role: String,
    /// Text or parts: of the type `text`, and in messages of the user `image`, `audio`, `video` and `document` with a `source`
    /// of the type `data` (base64) or `file` (the id of one of your files).
    #[schema(value_type = Option<Object>)]
    content: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Option<Bounded<ToolCall, { limits::CALLER_TOOLS }>>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AgTool {
    name: String,
    description: Option<String>,
    /// A JSON schema.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AgContext {
    pub(super) description: String,
    pub(super) value: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResumeEntry {
    pub(super) interrupt_id: String,
    /// `resolved` or `cancelled`.
    pub(super) status: ResumeStatus,
    #[schema(value_type = Option<Object>)]
    pub(super) payload: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResumeStatus {
    Resolved,
    Cancelled,
}

/// Reads a body and checks what can be checked by itself.
pub(super) fn read(body: &[u8]) -> Result<RunAgentInput, Problem> {
    let input: RunAgentInput = crate::http::body::parse(body)?;
    for (name, id) in [("threadId", &input.thread_id), ("runId", &input.run_id)] {
        let fits = (1..=limits::CLIENT_THREAD_ID_CHARS).contains(&id.chars().count());
        if !fits || id.chars().any(char::is_control) {
            let detail =
                format!("{name} is 1 to {} characters without control characters", limits::CLIENT_THREAD_ID_CHARS);
            return Err(Problem::bad_request("invalid_value", detail));
        }
    }
    let given = input.context.iter().flat_map(|context| &context.0);
    let bytes: usize = given.map(|piece| piece.description.len() + piece.value.len()).sum();
    if bytes > limits::CLIENT_CONTEXT_BYTES {
        let detail = format!("context is longer than {} bytes", limits::CLIENT_CONTEXT_BYTES);
        return Err(Problem::bad_request("invalid_value", detail));
    }
    Ok(input)
}

impl RunAgentInput {
    /// What becomes of the message while a run is going.
    pub(super) fn mode(&self) -> Result<Mode, Problem> {
        match self.forwarded_props.as_ref().map(|props| &props["mode"]) {
            None | Some(Value::Null) => Ok(Mode::default()),
            Some(word) => word.as_str().and_then(Mode::parse).ok_or_else(|| {
                Problem::bad_request("unsupported_mode", "forwardedProps.mode is neither queue nor steer")
            }),
        }
    }

    /// The tools of the client, as they are offered to the model.
    pub(super) fn take_tools(&mut self) -> Result<Vec<adjutant_core::tool::ToolSpec>, Failure> {
        let tools = self.tools.take().map(|tools| tools.0).unwrap_or_default();
        let tools = tools.into_iter().map(|AgTool { name, description, parameters }| {
            let parameters = parameters.filter(|raw| raw.get() != "null");
            Tool { kind: "function".to_owned(), function: Some(Function { name, description, parameters }) }
        });
        options::specs(tools.collect())
    }

    /// What the application wants known, as one text.
    pub(super) fn context_text(&self) -> Option<String> {
        let pieces: Vec<String> = self
            .context
            .iter()
            .flat_map(|context| &context.0)
            .map(|piece| format!("- {}: {}", piece.description.trim(), piece.value.trim()))
            .collect();
        (!pieces.is_empty()).then(|| format!("{CONTEXT_HEADING}\n{}", pieces.join("\n")))
    }
}

pub(super) const CONTEXT_HEADING: &str = "From the application in which the person writes:";

impl AgMessage {
    /// The message as history. `None`: it is no part of the conversation.
    pub(super) fn into_entry(self, index: usize) -> Result<Option<Entry>, Failure> {
        if matches!(self.role.as_str(), "activity" | "reasoning") {
            return Ok(None);
        }
        let path = format!("messages[{index}].content");
        let content = match self.content {
            None => None,
            Some(given) if self.role == "user" => {
                return history::of_user(index, content::of_person(given, &path)?).map(Some);
            }
            Some(given) => Some(content::of_others(given, &path)?),
        };
        // Our own ids of calls come back as they were sent; history knows them by the form of the OpenAI door.
        let tool_call_id = self.tool_call_id.map(|id| id.parse().map_or(id, waiting::shown));
        let message = ChatMessage { role: self.role, content, tool_calls: self.tool_calls, tool_call_id };
        history::read_one(index, message).map(Some)
    }
}
