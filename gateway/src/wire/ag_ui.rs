//! The part of AG-UI 1.0 that Adjutant speaks: events and messages as the protocol's schemas declare them, without any
//! field of our own.

use std::borrow::Cow;

use adjutant_core::ids::{FileId, MessageId, RunId, ThreadId, ToolCallId};
use adjutant_core::message::OutcomeKind;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::custom::Custom;

/// An event of AG-UI
// `rename_all` stands on the variants: the schema does not know `rename_all_fields`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = AgUiEvent)]
pub enum AgUi<'a> {
    #[serde(rename_all = "camelCase")]
    RunStarted {
        thread_id: ThreadId,
        run_id: RunId,
        input: RunInput<'a>,
    },
    #[serde(rename_all = "camelCase")]
    RunFinished {
        thread_id: ThreadId,
        run_id: RunId,
        outcome: RunOutcome,
        #[schema(value_type = Vec<TokenUsage>, min_items = 1, max_items = 1)]
        usage: [TokenUsage<'a>; 1],
    },
    #[serde(rename_all = "camelCase")]
    RunError {
        message: &'a str,
        code: &'a str,
        #[schema(value_type = Vec<TokenUsage>, min_items = 1, max_items = 1)]
        usage: [TokenUsage<'a>; 1],
    },
    #[serde(rename_all = "camelCase")]
    TextMessageStart {
        message_id: MessageId,
        role: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    TextMessageContent {
        message_id: MessageId,
        #[schema(value_type = String)]
        delta: Cow<'a, str>,
    },
    #[serde(rename_all = "camelCase")]
    TextMessageEnd {
        message_id: MessageId,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        metadata: Option<EndMetadata<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningStart {
        message_id: ReasoningId,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningMessageStart {
        message_id: ReasoningId,
        role: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningMessageContent {
        message_id: ReasoningId,
        #[schema(value_type = String)]
        delta: Cow<'a, str>,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningMessageEnd {
        message_id: ReasoningId,
    },
    #[serde(rename_all = "camelCase")]
    ReasoningEnd {
        message_id: ReasoningId,
    },
    #[serde(rename_all = "camelCase")]
    ToolCallStart {
        tool_call_id: ToolCallId,
        tool_call_name: &'a str,
        parent_message_id: MessageId,
    },
    #[serde(rename_all = "camelCase")]
    ToolCallArgs {
        tool_call_id: ToolCallId,
        delta: String,
    },
    #[serde(rename_all = "camelCase")]
    ToolCallEnd {
        tool_call_id: ToolCallId,
    },
    #[serde(rename_all = "camelCase")]
    ToolCallResult {
        message_id: MessageId,
        tool_call_id: ToolCallId,
        content: &'a str,
        metadata: ResultMetadata,
    },
    Custom(Custom<'a>),
}

impl AgUi<'_> {
    /// A piece of a text, which stands at an offset.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::TextMessageContent { .. } | Self::ReasoningMessageContent { .. })
    }
}

/// What was thought before an answer is a message of its own, called after it.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, example = "0196f0aa-0000-7000-8000-000000000001-thinking")]
pub struct ReasoningId(pub MessageId);

impl Serialize for ReasoningId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-thinking", self.0))
    }
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct EndMetadata<'a> {
    /// The message is not whole: the model's stream was cut or cancelled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The model that wrote it, as `provider/model`; absent where it was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultMetadata {
    pub outcome: OutcomeKind,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// From the start of the call to its end; absent where nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub took_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum RunOutcome {
    Success,
    Cancelled,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub model: Option<&'a str>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    pub cached_input_tokens: u64,
}

/// What a run was started with. The protocol wants the two empty lists.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunInput<'a> {
    pub thread_id: ThreadId,
    pub run_id: RunId,
    pub messages: Vec<InputMessage<'a>>,
    #[schema(value_type = Vec<serde_json::Value>, max_items = 0)]
    pub tools: [(); 0],
    #[schema(value_type = Vec<serde_json::Value>, max_items = 0)]
    pub context: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub forwarded_props: Option<Forwarded>,
}

/// The place where the protocol leaves room for what only one server knows.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Forwarded {
    /// The run brings no message: it answers this one once more.
    pub answers: MessageId,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InputMessage<'a> {
    pub id: MessageId,
    #[serde(flatten)]
    pub body: InputBody<'a>,
    #[serde(skip_serializing_if = "InputMetadata::is_empty")]
    pub metadata: InputMetadata<'a>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum InputBody<'a> {
    #[serde(rename_all = "camelCase")]
    System { content: String },
    #[serde(rename_all = "camelCase")]
    User { content: InputContent<'a> },
    #[serde(rename_all = "camelCase")]
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<InputCall<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    Tool { tool_call_id: ToolCallId, content: &'a str },
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum InputContent<'a> {
    Text(&'a str),
    Parts(Vec<InputPart<'a>>),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum InputPart<'a> {
    Text { text: &'a str },
    Image { source: FileSource<'a>, metadata: FileMetadata<'a> },
    Document { source: FileSource<'a>, metadata: FileMetadata<'a> },
}

/// A file that is here; its bytes are at `/api/files/{id}/content`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FileSource<'a> {
    #[serde(rename_all = "camelCase")]
    File { value: FileId, provider: &'static str, mime_type: &'a str },
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileMetadata<'a> {
    pub name: &'a str,
    pub size: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum InputCall<'a> {
    Function { id: ToolCallId, function: InputFunction<'a> },
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InputFunction<'a> {
    pub name: &'a str,
    pub arguments: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub client_message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
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
