//! Turns a request into what the client crate sends to Ollama's own chat.

use std::sync::Arc;

use adjutant_core::message::{Part, Role, joined_text};
use adjutant_core::model::{ModelRequest, PromptMessage};
use genai::chat::{
    ChatFrameSink, ChatMessage, ChatOptions, ChatRequest, ContentPart, MessageContent, ReasoningEffort, ToolCall,
    ToolResponse,
};

use crate::settings::Thinking;
use crate::wire::{self, Reader, WireIds, filled, object};

pub(crate) fn chat(request: &ModelRequest, reader: &Reader<'_>) -> ChatRequest {
    let mut ids = WireIds::default();
    let messages = request.messages.iter().flat_map(|message| chat_messages(message, request, reader, &mut ids));
    let chat = ChatRequest::from_messages(messages.collect());
    if request.tools.is_empty() { chat } else { chat.with_tools(wire::tools(request)) }
}

/// The sink sees each line of the answer as it was sent.
pub(crate) fn options(request: &ModelRequest, thinking: Thinking, sink: Arc<dyn ChatFrameSink>) -> ChatOptions {
    let mut options = ChatOptions::default().with_max_tokens(request.max_output_tokens).with_raw_frame_sink_arc(sink);
    // Asked for, models that cannot think refuse; unasked, those that can do.
    options = match thinking {
        Thinking::Unasked => options,
        Thinking::Low => options.with_reasoning_effort(ReasoningEffort::Low),
        Thinking::Medium => options.with_reasoning_effort(ReasoningEffort::Medium),
        Thinking::High => options.with_reasoning_effort(ReasoningEffort::High),
    };
    match request.temperature {
        Some(temperature) => options.with_temperature(temperature),
        None => options,
    }
}

/// One message of this format holds one result: those of one answer become as many messages.
fn chat_messages(
    message: &PromptMessage,
    request: &ModelRequest,
    reader: &Reader<'_>,
    ids: &mut WireIds,
) -> Vec<ChatMessage> {
    match message.role {
        Role::System => filled(joined_text(&message.parts)).map(ChatMessage::system).into_iter().collect(),
        Role::User => {
            let is_text = |part: &ContentPart| matches!(part, ContentPart::Text(_));
            let (texts, mut content): (Vec<ContentPart>, Vec<ContentPart>) =
                wire::user_content(message, request, reader).into_iter().partition(is_text);
            // The format has one text per message: the client crate would leave nothing between several.
            content.extend(MessageContent::from_parts(texts).into_joined_texts().map(ContentPart::Text));
            vec![ChatMessage::user(MessageContent::from_parts(content))]
        }
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
            if parts.is_empty() { Vec::new() } else { vec![ChatMessage::assistant(MessageContent::from_parts(parts))] }
        }
        Role::Tool => {
            let result = |part: &Part| match part {
                Part::ToolResult(result) => {
                    let id = ids.find(result.call_id, &result.provider_id);
                    let response = ContentPart::ToolResponse(ToolResponse::new(id, result.content.as_str()));
                    Some(ChatMessage::tool(MessageContent::from_parts(vec![response])))
                }
                _ => None,
            };
            message.parts.iter().filter_map(result).collect()
        }
    }
}
