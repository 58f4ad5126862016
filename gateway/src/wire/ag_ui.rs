//! The part of AG-UI 1.0 that Adjutant speaks: events and messages as the protocol's schemas declare them, without any
//! field of our own.

use std::borrow::Cow;

use adjutant_core::ids::{FileId, MessageId, RunId, ThreadId, ToolCallId};
use adjutant_core::message::OutcomeKind;
use serde::{Serialize, Serializer};
use serde_json::Value;

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum AgUi<'a> {
    RunStarted {
        thread_id: ThreadId,
        run_id: RunId,
        input: RunInput<'a>,
    },
    RunFinished {
        thread_id: ThreadId,
        run_id: RunId,
        outcome: RunOutcome,
        usage: [TokenUsage<'a>; 1],
    },
    RunError {
        message: &'a str,
        code: &'a str,
        usage: [TokenUsage<'a>; 1],
    },
    TextMessageStart {
        message_id: MessageId,
        role: &'static str,
    },
    TextMessageContent {
        message_id: MessageId,
        delta: Cow<'a, str>,
    },
    TextMessageEnd {
        message_id: MessageId,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<EndMetadata>,
    },
    ReasoningStart {
        message_id: ReasoningId,
    },
    ReasoningMessageStart {
        message_id: ReasoningId,
        role: &'static str,
    },
    ReasoningMessageContent {
        message_id: ReasoningId,
        delta: Cow<'a, str>,
    },
    ReasoningMessageEnd {
        message_id: ReasoningId,
    },
    ReasoningEnd {
        message_id: ReasoningId,
    },
    ToolCallStart {
        tool_call_id: ToolCallId,
        tool_call_name: &'a str,
        parent_message_id: MessageId,
    },
    ToolCallArgs {
        tool_call_id: ToolCallId,
        delta: String,
    },
    ToolCallEnd {
        tool_call_id: ToolCallId,
    },
    ToolCallResult {
        message_id: MessageId,
        tool_call_id: ToolCallId,
        content: &'a str,
        metadata: ResultMetadata,
    },
    Custom {
        name: &'static str,
        value: Value,
    },
}

impl AgUi<'_> {
    /// A piece of a text, which stands at an offset.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::TextMessageContent { .. } | Self::ReasoningMessageContent { .. })
    }
}

/// What was thought before an answer is a message of its own, called after it.
#[derive(Debug, Clone, Copy)]
pub struct ReasoningId(pub MessageId);

impl Serialize for ReasoningId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-thinking", self.0))
    }
}

/// The message is not whole: the model's stream was cut or cancelled.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EndMetadata {
    pub partial: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct ResultMetadata {
    pub outcome: OutcomeKind,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RunOutcome {
    Success,
    Cancelled,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub cached_input_tokens: u64,
}

/// What a run was started with. The protocol wants the two empty lists.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunInput<'a> {
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub messages: Vec<InputMessage<'a>>,
    pub tools: [(); 0],
    pub context: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_props: Option<Forwarded>,
}

/// The place where the protocol leaves room for what only one server knows.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Forwarded {
    /// The run brings no message: it answers this one once more.
    pub answers: MessageId,
}

#[derive(Debug, Clone, Serialize)]
pub struct InputMessage<'a> {
    pub id: MessageId,
    #[serde(flatten)]
    pub body: InputBody<'a>,
    #[serde(skip_serializing_if = "InputMetadata::is_empty")]
    pub metadata: InputMetadata<'a>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum InputBody<'a> {
    System {
        content: String,
    },
    User {
        content: InputContent<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<InputCall<'a>>,
    },
    Tool {
        tool_call_id: ToolCallId,
        content: &'a str,
    },
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum InputContent<'a> {
    Text(&'a str),
    Parts(Vec<InputPart<'a>>),
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum InputPart<'a> {
    Text { text: &'a str },
    Image { source: FileSource<'a>, metadata: FileMetadata<'a> },
    Document { source: FileSource<'a>, metadata: FileMetadata<'a> },
}

/// A file that is here; its bytes are at `/api/files/{id}/content`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "file")]
pub struct FileSource<'a> {
    pub value: FileId,
    pub provider: &'static str,
    pub mime_type: &'a str,
}

#[derive(Debug, Clone, Serialize)]
pub struct FileMetadata<'a> {
    pub name: &'a str,
    pub size: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename = "function")]
pub struct InputCall<'a> {
    pub id: ToolCallId,
    pub function: InputFunction<'a>,
}

#[derive(Debug, Clone, Serialize)]
pub struct InputFunction<'a> {
    pub name: &'a str,
    pub arguments: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<MessageId>,
    /// A copied answer that was cut off or cancelled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl InputMetadata<'_> {
    fn is_empty(&self) -> bool {
        self.client_message_id.is_none() && self.parent_id.is_none() && !self.partial
    }
}
