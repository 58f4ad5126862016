//! Turns a request into what the client crate sends. Ids of tool calls go back as the provider gave
//! them, unless they cannot serve as ids.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use adjutant_core::ids::ToolCallId;
use adjutant_core::message::{Part, Role, joined_text};
use adjutant_core::model::{ModelRequest, PromptMessage};
use genai::chat::{
    ChatFrameSink, ChatMessage, ChatOptions, ChatRequest, ContentPart, MessageContent, ReasoningEffort, Tool, ToolCall,
    ToolResponse,
};
use serde_json::{Map, Value, json};

pub(crate) fn chat(request: &ModelRequest) -> ChatRequest {
    let mut ids = WireIds::default();
    let messages = request.messages.iter().filter_map(|message| chat_message(message, &mut ids)).collect();
    let chat = ChatRequest::from_messages(messages);
    if request.tools.is_empty() {
        return chat;
    }
    chat.with_tools(request.tools.iter().map(|tool| {
        Tool::new(tool.name.as_str()).with_description(tool.description.as_str()).with_schema(tool.input_schema.clone())
    }))
}

/// The sink sees each event of the answer as it was sent.
pub(crate) fn options(request: &ModelRequest, model: &str, sink: Arc<dyn ChatFrameSink>) -> ChatOptions {
    let options = ChatOptions::default()
        .with_max_tokens(request.max_output_tokens)
        // Asks for `stream_options.include_usage`; the counts are read from the event itself.
        .with_capture_usage(true)
        // Without an effort of its own the crate takes one from the model's name: `x-high` would be
        // sent as `x`. A budget is what it leaves out of this wire format.
        .with_reasoning_effort(ReasoningEffort::Budget(0))
        // A name with `::` would lose what stands before it.
        .with_extra_body(json!({"model": model}))
        .with_raw_frame_sink_arc(sink);
    match request.temperature {
        Some(temperature) => options.with_temperature(temperature),
        None => options,
    }
}

/// `None` for a message without anything that its role can carry.
fn chat_message(message: &PromptMessage, ids: &mut WireIds) -> Option<ChatMessage> {
    match message.role {
        Role::System => filled(joined_text(&message.parts)).map(ChatMessage::system),
        Role::User => Some(ChatMessage::user(joined_text(&message.parts))),
        Role::Assistant => {
            let mut parts: Vec<ContentPart> =
                filled(joined_text(&message.parts)).map(ContentPart::Text).into_iter().collect();
            parts.extend(message.parts.iter().filter_map(|part| match part {
                Part::ToolCall(call) => Some(ContentPart::ToolCall(ToolCall {
                    call_id: ids.give(call.id, &call.provider_id),
                    fn_name: call.name.clone(),
                    fn_arguments: object(&call.arguments),
                    thought_signatures: None,
                })),
                _ => None,
            }));
            (!parts.is_empty()).then(|| ChatMessage::assistant(MessageContent::from_parts(parts)))
        }
        Role::Tool => {
            let results = message.parts.iter().filter_map(|part| match part {
                Part::ToolResult(result) => Some(ContentPart::ToolResponse(ToolResponse::new(
                    ids.find(result.call_id, &result.provider_id),
                    result.content.as_str(),
                ))),
                _ => None,
            });
            let results: Vec<ContentPart> = results.collect();
            (!results.is_empty()).then(|| ChatMessage::tool(MessageContent::from_parts(results)))
        }
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Providers read the arguments of earlier calls again and fail on anything but an object.
fn object(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null => Value::Object(Map::new()),
        other => json!({"invalid_arguments": other}),
    }
}

/// The ids of tool calls within one prompt. A provider's id may be empty, or the same for two calls;
/// then the call's own id takes its place, for the call and for its result.
#[derive(Default)]
struct WireIds {
    used: HashSet<String>,
    by_call: HashMap<ToolCallId, String>,
}

impl WireIds {
    fn give(&mut self, call: ToolCallId, provider_id: &str) -> String {
        let fits = !provider_id.is_empty() && !self.used.contains(provider_id);
        let id = if fits { provider_id.to_owned() } else { format!("call_{}", call.as_uuid().simple()) };
        self.used.insert(id.clone());
        self.by_call.insert(call, id.clone());
        id
    }

    fn find(&self, call: ToolCallId, provider_id: &str) -> String {
        self.by_call.get(&call).map_or(provider_id, String::as_str).to_owned()
    }
}
