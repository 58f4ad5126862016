//! How the frames of clients look, for the OpenAPI document and the types that pages make of it. `client` reads them,
//! field by field, so that each fault has a sentence of its own; its tests hold the two against each other. Words that REST
//! takes as well are read there by these types.

use std::collections::HashMap;

use adjutant_core::ids::{ApprovalId, FileId, MessageId, QuestionId, RunId, ThreadId};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a client sends over the WebSocket
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type")]
pub enum ClientFrame {
    /// A message to be answered
    #[serde(rename = "run.submit", rename_all = "camelCase")]
    Submit {
        /// Chosen by the client, new for each message: sending the same id twice makes one run.
        #[schema(min_length = 1, max_length = 128)]
        client_message_id: String,
        content: SubmitContent,
        /// Without it a new thread begins.
        thread_id: Option<ThreadId>,
        /// The thread that begins is in no list and no search, gets no title, and is removed for good a day after what
        /// happened last in it, unless it is kept.
        temporary: Option<bool>,
        /// The message that this one follows; without it the newest.
        parent_id: Option<MessageId>,
        /// An earlier message of the person that this one stands beside, in a new branch.
        edited_id: Option<MessageId>,
        /// The model to ask, as `provider/model`.
        #[schema(min_length = 1, max_length = 200)]
        model: Option<String>,
        mode: Option<SubmitMode>,
    },
    /// A further answer to a message that is there
    #[serde(rename = "run.retry", rename_all = "camelCase")]
    Retry {
        /// Chosen by the client, new for each request: sending the same id twice makes one run.
        #[schema(min_length = 1, max_length = 128)]
        client_message_id: String,
        thread_id: ThreadId,
        /// A message of the person, or an answer to it.
        message_id: MessageId,
        #[schema(min_length = 1, max_length = 200)]
        model: Option<String>,
    },
    #[serde(rename = "run.cancel", rename_all = "camelCase")]
    Cancel { run_id: RunId },
    #[serde(rename = "approval.decide", rename_all = "camelCase")]
    Decide { approval_id: ApprovalId, decision: DecisionName, reason: Option<String> },
    #[serde(rename = "question.answer", rename_all = "camelCase")]
    Answer {
        question_id: QuestionId,
        action: AnswerAction,
        /// With `accept`: by the names of the fields.
        #[schema(value_type = Option<HashMap<String, Value>>)]
        values: Option<Map<String, Value>>,
    },
    /// What the client has of each thread: the events behind these numbers are sent
    #[serde(rename = "resume")]
    Resume { threads: HashMap<String, u64> },
    /// Whether the server is still there: it answers with `pong`
    #[serde(rename = "ping")]
    Ping {},
}

/// Text, or parts of it and files.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SubmitContent {
    Text(String),
    Parts(Vec<SubmitPart>),
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SubmitPart {
    Text {
        text: String,
    },
    #[serde(rename_all = "camelCase")]
    File {
        file_id: FileId,
    },
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubmitMode {
    /// Behind the run that is going.
    Queue,
    /// Into it, before its next model call.
    Steer,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionName {
    Once,
    /// This tool of this agent is not asked about again, until that is taken back or the tool changes.
    Always,
    Deny,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerAction {
    Accept,
    /// No, said on purpose.
    Decline,
    /// The form was closed.
    Cancel,
}
