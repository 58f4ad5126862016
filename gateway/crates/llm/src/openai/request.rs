//! Turns a request into what the client crate sends as a chat completion.

use std::sync::Arc;

use adjutant_core::message::{Part, Role, joined_text};
use adjutant_core::model::{ModelRequest, PromptMessage};
use genai::chat::{
    ChatFrameSink, ChatMessage, ChatOptions, ChatRequest, ContentPart, MessageContent, ReasoningEffort, ToolCall,
    ToolResponse,
};
use serde_json::json;

use crate::settings::Thinking;
use crate::wire::{self, Reader, WireIds, filled, object};

pub(crate) fn chat(request: &ModelRequest, reader: &Reader<'_>) -> ChatRequest {
    let mut ids = WireIds::default();
    // Thinking is taken back within a turn only: where it led to a call whose result now goes out.
    let turn = request.messages.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let messages = request
        .messages
        .iter()
        .enumerate()
        .filter_map(|(index, message)| chat_message(message, request, reader, index > turn, &mut ids));
    let chat = ChatRequest::from_messages(messages.collect());
    if request.tools.is_empty() { chat } else { chat.with_tools(wire::tools(request)) }
}

/// The sink sees each event of the answer as it was sent.
pub(crate) fn options(
    request: &ModelRequest,
    model: &str,
    thinking: Thinking,
    sink: Arc<dyn ChatFrameSink>,
) -> ChatOptions {
    let options = ChatOptions::default()
        .with_max_tokens(request.max_output_tokens)
        // Asks for `stream_options.include_usage`; the counts are read from the event itself.
        .with_capture_usage(true)
        // Without an effort of its own the crate takes one from the model's name: `x-high` would be
        // sent as `x`. A budget is what it leaves out of this wire format.
        .with_reasoning_effort(match thinking {
            Thinking::Unasked => ReasoningEffort::Budget(0),
            Thinking::Low => ReasoningEffort::Low,
            Thinking::Medium => ReasoningEffort::Medium,
            Thinking::High => ReasoningEffort::High,
        })
        // A name with `::` would lose what stands before it.
        .with_extra_body(json!({"model": model}))
        .with_raw_frame_sink_arc(sink);
    match request.temperature {
        Some(temperature) => options.with_temperature(temperature),
        None => options,
    }
}

/// `None` for a message without anything that its role can carry.
fn chat_message(
    message: &PromptMessage,
    request: &ModelRequest,
    reader: &Reader<'_>,
    in_turn: bool,
    ids: &mut WireIds,
) -> Option<ChatMessage> {
    match message.role {
        Role::System => filled(joined_text(&message.parts)).map(ChatMessage::system),
        Role::User => Some(ChatMessage::user(MessageContent::from_parts(wire::user_content(message, request, reader)))),
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
            if in_turn && !parts.is_empty() {
                let thoughts = wire::own_thinking(message, reader).filter(|thought| !thought.text.is_empty());
                parts.extend(thoughts.map(|thought| ContentPart::ReasoningContent(thought.text.clone())));
            }
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
