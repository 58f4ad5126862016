//! Threads and messages: a thread is a tree of messages, whose head names the active branch.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ids::{FileId, MessageId, RunId, ThreadId, ToolCallId};
use crate::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MessageRole)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant, Self::Tool].into_iter().find(|role| role.as_str() == text)
    }
}

/// One piece of a message's content. This is also the stored form (`messages.content`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Text { text: String },
    ToolCall(ToolCallPart),
    ToolResult(ToolResultPart),
    File(FilePart),
    Thinking(ThinkingPart),
}

impl Part {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// What a model thought before it answered. It goes back only to the provider that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThinkingPart {
    /// Empty where the provider keeps it to itself.
    pub text: String,
    /// The provider's proof that the text is its own; it must come back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The provider's sealed form of a thought that it does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// Who wrote it, as the client of models marks its own. Empty: nobody takes it back.
    pub provider: String,
}

/// The model's request to run a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCallPart {
    pub id: ToolCallId,
    /// The id that the model's provider gave; it must come back to it unchanged.
    pub provider_id: String,
    /// The namespaced name, as offered to the model.
    pub name: String,
    pub arguments: Value,
}

/// The one result of a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultPart {
    pub call_id: ToolCallId,
    pub provider_id: String,
    pub name: String,
    pub outcome: OutcomeKind,
    pub content: ForeignText,
    /// The reply was longer than the limit and is cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A file that a person attached. Its bytes are stored beside the messages; what is said of it here was
/// read from its content when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilePart {
    pub file_id: FileId,
    pub name: String,
    pub media_type: String,
    /// In bytes.
    pub size: u64,
}

impl FilePart {
    /// What a client says of a file: only which one. The rest is filled in from the stored file.
    pub fn named(file_id: FileId) -> Self {
        Self { file_id, name: String::new(), media_type: String::new(), size: 0 }
    }

    /// Whether it enters a prompt as text.
    pub fn is_text(&self) -> bool {
        self.media_type.starts_with("text/") || self.media_type == "application/json"
    }

    pub fn is_image(&self) -> bool {
        self.media_type.starts_with("image/")
    }
}

/// What became of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Succeeded,
    /// The tool answered that it failed, or nothing was ever sent to it.
    Failed,
    /// A person or the policy said no; nothing was sent.
    Denied,
    /// It may have happened: the server died, timed out or was cut off after the request left.
    Unknown,
}

impl OutcomeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }
}

/// Text that neither the user nor the server wrote: data, never instructions. The prompt builder
/// fences it; nothing else turns it into part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ForeignText(String);

impl ForeignText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The raw text, for showing it to a person or storing it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub parent_id: Option<MessageId>,
    pub run_id: Option<RunId>,
    pub role: Role,
    pub parts: Vec<Part>,
    pub client_message_id: Option<String>,
    /// The number of the event that announced it; gapless per thread over all events.
    pub seq: i64,
    pub created_at: DateTime<Utc>,
    /// The model's stream was cut or cancelled: the text is what had arrived.
    pub partial: bool,
    pub made: Made,
}

/// How a message was made, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The model that wrote the answer, as `provider/model`.
    pub model: Option<String>,
    /// From the start of a tool's call to its end. `None`: nothing was started.
    pub took_ms: Option<u64>,
    /// From the first thought to the first word of the answer.
    pub thought_ms: Option<u64>,
}

impl Message {
    pub fn files(&self) -> impl Iterator<Item = &FilePart> {
        self.parts.iter().filter_map(|part| match part {
            Part::File(file) => Some(file),
            _ => None,
        })
    }

    /// All text parts joined.
    pub fn text(&self) -> String {
        joined_text(&self.parts)
    }

    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCallPart> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    pub fn thinking(&self) -> impl Iterator<Item = &ThinkingPart> {
        self.parts.iter().filter_map(|part| match part {
            Part::Thinking(thinking) => Some(thinking),
            _ => None,
        })
    }
}

/// All text parts joined.
pub fn joined_text(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        if let Part::Text { text: piece } = part {
            text.push_str(piece);
        }
    }
    text
}

/// Why a message from outside was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    #[error("the message is empty")]
    Empty,
    #[error("the message is longer than {} bytes", limits::MESSAGE_BYTES)]
    TooLong,
    #[error("a message has at most {} files", limits::MESSAGE_FILES)]
    TooManyFiles,
    #[error("a client message id is 1 to {} characters without control characters", limits::CLIENT_MESSAGE_ID_CHARS)]
    ClientMessageId,
}

/// Checks the parts of a user's message and drops NUL characters, which JSON documents in the
/// database cannot hold: the one rule for NUL in text that comes from outside. A file needs no text beside it.
pub fn accept_user_parts(parts: Vec<Part>) -> Result<Vec<Part>, InvalidMessage> {
    let (mut length, mut files) = (0, 0);
    let mut accepted = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Part::Text { text } => {
                length += text.len();
                accepted.push(Part::text(without_nul(text)));
            }
            Part::File(_) => {
                files += 1;
                accepted.push(part);
            }
            _ => {}
        }
    }
    if length > limits::MESSAGE_BYTES {
        return Err(InvalidMessage::TooLong);
    }
    if files > limits::MESSAGE_FILES {
        return Err(InvalidMessage::TooManyFiles);
    }
    if files == 0 && joined_text(&accepted).trim().is_empty() {
        return Err(InvalidMessage::Empty);
    }
    Ok(accepted)
}

pub fn accept_client_message_id(id: &str) -> Result<(), InvalidMessage> {
    let fits = (1..=limits::CLIENT_MESSAGE_ID_CHARS).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(InvalidMessage::ClientMessageId) }
}

/// Replaces NUL by the Unicode replacement character.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// The same rule for every string and key inside a JSON value.
pub fn value_without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(value_without_nul).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (without_nul(key), value_without_nul(value))).collect())
        }
        other => other,
    }
}

/// Whether a value from outside has more than [`limits::JSON_DEPTH`] levels. One that is stored could
/// not be read back.
pub fn is_deep(value: &Value) -> bool {
    is_deeper_than(value, limits::JSON_DEPTH)
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(entries) => entries.iter().any(|entry| is_deeper_than(entry, levels - 1)),
        Value::Object(fields) => fields.values().any(|entry| is_deeper_than(entry, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_wherever_it_hides() {
        let value = serde_json::json!({"a\u{0}": ["x\u{0}y", {"b": "\u{0}"}], "n": 1});
        let clean = serde_json::json!({"a\u{fffd}": ["x\u{fffd}y", {"b": "\u{fffd}"}], "n": 1});
        assert_eq!(value_without_nul(value), clean);
    }

    #[test]
    fn levels_are_counted() {
        let wrap = |value: Value, level: usize| {
            if level.is_multiple_of(2) { serde_json::json!([value]) } else { serde_json::json!({"a": value}) }
        };
        let nested = |levels: usize| (0..levels).fold(Value::Null, wrap);
        assert!(!is_deep(&nested(limits::JSON_DEPTH)));
        assert!(is_deep(&nested(limits::JSON_DEPTH + 1)));
    }

    #[test]
    fn empty_and_oversize_messages_are_refused() {
        assert_eq!(accept_user_parts(vec![Part::text(" \n")]), Err(InvalidMessage::Empty));
        assert_eq!(accept_user_parts(vec![]), Err(InvalidMessage::Empty));
        let long = "x".repeat(limits::MESSAGE_BYTES + 1);
        assert_eq!(accept_user_parts(vec![Part::text(long)]), Err(InvalidMessage::TooLong));
    }
}
