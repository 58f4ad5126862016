//! Turns a request into what the client crate sends as an Anthropic message. What stays the same from
//! call to call is marked for the provider's cache: tools, system prompt, and all up to the newest message.

use std::sync::Arc;

use adjutant_core::message::{Part, Role, ThinkingPart, joined_text};
use adjutant_core::model::{ModelRequest, PromptMessage};
use genai::chat::{
    CacheControl, ChatFrameSink, ChatMessage, ChatOptions, ChatRequest, ContentPart, CustomPart, MessageContent,
    ReasoningEffort, ToolCall, ToolResponse,
};
use serde_json::json;

use crate::settings::Thinking;
use crate::wire::{self, Reader, WireIds, filled, object};

/// The version of the format, which its every request names.
pub(crate) const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// What a model may think beyond its answer, by how much is asked for; the client crate's own numbers.
const LOW: u32 = 1_024;
const MEDIUM: u32 = 8_000;
const HIGH: u32 = 24_000;

pub(crate) fn chat(request: &ModelRequest, reader: &Reader<'_>) -> ChatRequest {
    let mut ids = WireIds::plain();
    let mut messages: Vec<ChatMessage> = Vec::new();
    let mut after_results = false;
    for message in &request.messages {
        let Some(next) = chat_message(message, request, reader, &mut ids) else { continue };
        let is_result = message.role == Role::Tool;
        // All results of an answer's calls belong into one message.
        match messages.last_mut().filter(|_| is_result && after_results) {
            Some(last) => last.content.extend(next.content),
            None => messages.push(next),
        }
        after_results = is_result;
    }
    for role in [genai::chat::ChatRole::System] {
        if let Some(place) = messages.iter().rposition(|message| message.role == role) {
            let marked = messages.remove(place).with_options(CacheControl::Ephemeral);
            messages.insert(place, marked);
        }
    }
    if let Some(last) = messages.pop() {
        let marked =
            if last.role == genai::chat::ChatRole::System { last } else { last.with_options(CacheControl::Ephemeral) };
        messages.push(marked);
    }
    let chat = ChatRequest::from_messages(messages);
    if request.tools.is_empty() {
        return chat;
    }
    let mut tools = wire::tools(request);
    if let Some(last) = tools.pop() {
        tools.push(last.with_cache_control(CacheControl::Ephemeral));
    }
    chat.with_tools(tools)
}

/// The sink sees each event of the answer as it was sent.
pub(crate) fn options(
    request: &ModelRequest,
    reader: &Reader<'_>,
    thinking: Thinking,
    sink: Arc<dyn ChatFrameSink>,
) -> ChatOptions {
    let thinking = if may_think(request, reader) { thinking } else { Thinking::Unasked };
    let (effort, budget) = match thinking {
        Thinking::Unasked => (ReasoningEffort::Zero, 0),
        Thinking::Low => (ReasoningEffort::Low, LOW),
        Thinking::Medium => (ReasoningEffort::Medium, MEDIUM),
        Thinking::High => (ReasoningEffort::High, HIGH),
    };
    let options = ChatOptions::default()
        // What is thought counts as output.
        .with_max_tokens(request.max_output_tokens.saturating_add(budget))
        .with_reasoning_effort(effort)
        // Asks for the thinking in words.
        .with_capture_reasoning_content(true)
        .with_extra_body(json!({"model": reader.model}))
        .with_raw_frame_sink_arc(sink);
    match request.temperature {
        // A thinking model takes none.
        Some(temperature) if thinking == Thinking::Unasked => options.with_temperature(temperature.clamp(0.0, 1.0)),
        _ => options,
    }
}

/// An answer whose calls' results go out now must begin with its thinking, or the provider refuses the
/// request: where another model wrote it, there is none.
fn may_think(request: &ModelRequest, reader: &Reader<'_>) -> bool {
    let calling = |message: &&PromptMessage| message.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let turn = request.messages.iter().rev().take_while(|message| message.role != Role::User);
    turn.filter(calling).all(|answer| wire::own_thinking(answer, reader).any(is_proven))
}

/// Only what is signed or sealed is taken back.
fn is_proven(thought: &ThinkingPart) -> bool {
    thought.signature.is_some() || thought.redacted.is_some()
}

fn chat_message(
    message: &PromptMessage,
    request: &ModelRequest,
    reader: &Reader<'_>,
    ids: &mut WireIds,
) -> Option<ChatMessage> {
    match message.role {
        Role::System => filled(joined_text(&message.parts)).map(ChatMessage::system),
        Role::User => {
            let mut content = wire::user_content(message, request, reader);
            // An empty text is refused.
            content.retain(|part| !matches!(part, ContentPart::Text(text) if text.trim().is_empty()));
            (!content.is_empty()).then(|| ChatMessage::user(MessageContent::from_parts(content)))
        }
        Role::Assistant => {
            let mut parts: Vec<ContentPart> = Vec::new();
            // The provider refuses an answer that ends in white space.
            let text = joined_text(&message.parts).trim_end().to_owned();
            parts.extend(filled(text).map(ContentPart::Text));
            parts.extend(message.parts.iter().filter_map(|part| match part {
                Part::ToolCall(call) => Some(ContentPart::ToolCall(ToolCall {
                    call_id: ids.give(call.id, &call.provider_id),
                    fn_name: call.name.clone(),
                    fn_arguments: object(&call.arguments),
                    thought_signatures: None,
                })),
                _ => None,
            }));
            if parts.is_empty() {
                return None;
            }
            let thoughts = wire::own_thinking(message, reader).filter(|thought| is_proven(thought)).map(thought_block);
            Some(ChatMessage::assistant(MessageContent::from_parts(thoughts.chain(parts).collect::<Vec<_>>())))
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

/// Exactly as it came, in its place: the client crate passes such a part on as it is.
fn thought_block(thought: &ThinkingPart) -> ContentPart {
    let data = match &thought.redacted {
        Some(data) => json!({"type": "redacted_thinking", "data": data}),
        None => json!({"type": "thinking", "thinking": thought.text, "signature": thought.signature}),
    };
    ContentPart::Custom(CustomPart { model_iden: None, data })
}
