//! From the messages of a request to those of a thread. Roles and calls are checked as OpenAI does:
//! a tool message answers a call that stands before it, and the last message asks for an answer.

use std::collections::HashMap;

use adjutant_core::ids::ToolCallId;
use adjutant_core::limits;
use adjutant_core::message::{
    ForeignText, InvalidMessage, OutcomeKind, Part, Role, ToolCallPart, ToolResultPart, is_deep, value_without_nul,
    without_nul,
};
use adjutant_engine::runs::submission::Draft;
use serde_json::Value;

use super::content;
use super::failure::Failure;
use super::request::{ChatMessage, ToolCall};
use crate::http::files::pieces::Piece;

/// An id or a name in a history that another service may have written.
const WORD_LONGEST: usize = 256;

/// One message of the request, read and checked by itself.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) struct Entry {
    pub(in crate::http) body: Body,
    /// Where it stands in the request.
    index: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) enum Body {
    System(String),
    User(Vec<Piece>),
    Assistant { text: String, calls: Vec<Called> },
    Tool { id: String, text: String },
}

/// A call as the history has it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) struct Called {
    id: String,
    name: String,
    arguments: Value,
}

/// Reads and checks each message, and that the last one can be answered.
pub(in crate::http) fn read(messages: Vec<ChatMessage>) -> Result<Vec<Entry>, Failure> {
    let entries = messages.into_iter().enumerate().map(|(index, message)| read_one(index, message));
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
    match entries.last() {
        None => Err(Failure::invalid("messages", "messages is empty: there is nothing to answer")),
        Some(last) if last.is_blank() => Err(last.refuse("content", "the last message is empty")),
        Some(Entry { body: Body::Tool { .. } | Body::User(_), .. }) => Ok(entries),
        Some(last) => Err(last.refuse("role", "the last message is one of the user or of a tool")),
    }
}

impl Entry {
    /// A message of the user that says nothing and brings nothing.
    pub(in crate::http) fn is_blank(&self) -> bool {
        let is_blank = |piece: &Piece| piece.text().is_some_and(|text| text.trim().is_empty());
        matches!(&self.body, Body::User(pieces) if pieces.iter().all(is_blank))
    }

    fn refuse(&self, field: &str, message: &'static str) -> Failure {
        Failure::invalid(format!("messages[{}].{field}", self.index), message)
    }
}

/// The results at the end of the request: what tools of the caller answered.
pub(in crate::http) fn trailing_results(entries: &[Entry]) -> Vec<(&str, &str)> {
    let trailing = entries.iter().rev().map_while(|entry| match &entry.body {
        Body::Tool { id, text } => Some((id.as_str(), text.as_str())),
        Body::System(_) | Body::User(_) | Body::Assistant { .. } => None,
    });
    let mut results: Vec<_> = trailing.collect();
    results.reverse();
    results
}

/// The entries as messages of a thread. Every call gets a fresh id; its result follows it there. Those of the user have
/// no parts yet: what they are made of stands beside them, in their order.
pub(in crate::http) fn drafts(entries: Vec<Entry>) -> Result<(Vec<Draft>, Vec<Vec<Piece>>), Failure> {
    let mut open: HashMap<String, (ToolCallId, String)> = HashMap::new();
    let mut made_of = Vec::new();
    let mut drafts = Vec::with_capacity(entries.len());
    for entry in entries {
        let orphan =
            entry.refuse("tool_call_id", "this tool message answers no call of an assistant message before it");
        drafts.push(match entry.body {
            Body::System(text) => Draft { role: Role::System, parts: vec![Part::text(text)] },
            Body::User(pieces) => {
                made_of.push(pieces);
                Draft { role: Role::User, parts: Vec::new() }
            }
            Body::Assistant { text, calls } => {
                let mut parts = Vec::with_capacity(1 + calls.len());
                if !text.is_empty() {
                    parts.push(Part::text(text));
                }
                for call in calls {
                    let id = ToolCallId::new();
                    open.insert(call.id.clone(), (id, call.name.clone()));
                    let Called { id: provider_id, name, arguments } = call;
                    parts.push(Part::ToolCall(ToolCallPart { id, provider_id, name, arguments }));
                }
                Draft { role: Role::Assistant, parts }
            }
            Body::Tool { id: provider_id, text } => {
                let (call_id, name) = open.remove(&provider_id).ok_or(orphan)?;
                let content = ForeignText::new(text);
                let outcome = OutcomeKind::Succeeded;
                let result = ToolResultPart { call_id, provider_id, name, outcome, content, truncated: false };
                Draft { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
            }
        });
    }
    Ok((drafts, made_of))
}

/// A message of the user, made of these.
pub(in crate::http) fn of_user(index: usize, mut pieces: Vec<Piece>) -> Result<Entry, Failure> {
    let path = || format!("messages[{index}].content");
    let length: usize = pieces.iter().filter_map(Piece::text).map(str::len).sum();
    if length > limits::MESSAGE_BYTES {
        return Err(too_long(path()));
    }
    if pieces.iter().filter(|piece| piece.text().is_none()).count() > limits::MESSAGE_FILES {
        return Err(Failure::from(InvalidMessage::TooManyFiles).at(path()));
    }
    for piece in &mut pieces {
        if let Piece::Text(text) = piece {
            *text = without_nul(std::mem::take(text));
        }
    }
    Ok(Entry { body: Body::User(pieces), index })
}

pub(in crate::http) fn read_one(index: usize, message: ChatMessage) -> Result<Entry, Failure> {
    let path = |field: &str| format!("messages[{index}].{field}");
    let needed = || Failure::invalid(path("content"), "the message has no content");
    if message.role == "user" {
        return of_user(index, content::pieces_of(message.content.ok_or_else(needed)?, &path("content"))?);
    }
    let text = message.content.map(|content| content::text_of(content, &path("content"))).transpose()?;
    if text.as_ref().is_some_and(|text| text.len() > limits::MESSAGE_BYTES) {
        return Err(too_long(path("content")));
    }
    let calls = message.tool_calls.map(|calls| calls.0).unwrap_or_default();
    let body = match message.role.as_str() {
        "system" | "developer" => Body::System(text.ok_or_else(needed)?),
        "assistant" => {
            let calls =
                calls.into_iter().enumerate().map(|(at, call)| called(call, &path(&format!("tool_calls[{at}]"))));
            Body::Assistant { text: text.unwrap_or_default(), calls: calls.collect::<Result<_, _>>()? }
        }
        "tool" => {
            let id = message.tool_call_id.filter(|id| is_word(id));
            let id =
                id.ok_or_else(|| Failure::invalid(path("tool_call_id"), "a tool message names its tool_call_id"))?;
            Body::Tool { id: without_nul(id), text: text.ok_or_else(needed)? }
        }
        "function" => {
            return Err(Failure::unsupported(path("role"), "the role function is not supported: use the role tool"));
        }
        _ => {
            let message = "a role is one of system, developer, user, assistant and tool";
            return Err(Failure::invalid(path("role"), message));
        }
    };
    Ok(Entry { body, index })
}

fn too_long(path: String) -> Failure {
    Failure::invalid(path, format!("the message is longer than {} bytes", limits::MESSAGE_BYTES))
}

fn called(call: ToolCall, path: &str) -> Result<Called, Failure> {
    let Some(function) = call.function else {
        return Err(Failure::unsupported(format!("{path}.function"), "a tool call is one of a function"));
    };
    if !is_word(&call.id) {
        return Err(Failure::invalid(format!("{path}.id"), "the id of a tool call is 1 to 256 bytes"));
    }
    if !is_word(&function.name) {
        return Err(Failure::invalid(format!("{path}.function.name"), "the name of a function is 1 to 256 bytes"));
    }
    if function.arguments.len() > limits::TOOL_ARGUMENT_BYTES {
        let message = format!("the arguments are longer than {} bytes", limits::TOOL_ARGUMENT_BYTES);
        return Err(Failure::invalid(format!("{path}.function.arguments"), message));
    }
    let arguments = match serde_json::from_str(&function.arguments) {
        Ok(value @ Value::Object(_)) if !is_deep(&value) => value_without_nul(value),
        _ => Value::String(without_nul(function.arguments)),
    };
    Ok(Called { id: without_nul(call.id), name: without_nul(function.name), arguments })
}

fn is_word(text: &str) -> bool {
    (1..=WORD_LONGEST).contains(&text.len())
}

#[cfg(test)]
mod tests;
