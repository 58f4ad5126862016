//! What a door hands in to start a run, and what it gets back.

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::{InvalidMessage, Part, Role};
use adjutant_core::tool::ToolSpec;
use adjutant_store::error::StoreError;
use adjutant_store::threads::Kind;
use serde::{Deserialize, Serialize};

/// One message, or a whole history that ends with the message to be answered.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Fresh; chosen by the door, so that it can listen before the run starts. A repeated client
    /// message id leaves it unused.
    pub run_id: RunId,
    pub thread: Target,
    /// The message that the first of `messages` answers; `None`: the head of the thread.
    pub parent: Option<MessageId>,
    /// In order; at least one.
    pub messages: Vec<Draft>,
    /// Sending the same id twice makes one run.
    pub client_message_id: Option<String>,
    pub request: RunRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    New(Kind),
    Existing(ThreadId),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub role: Role,
    pub parts: Vec<Part>,
}

/// What the caller asks of this run beyond its messages; stored with the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunRequest {
    /// The model to ask instead of the profile's, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tools that the caller runs; a call to one makes the run wait for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub caller_tools: Vec<ToolSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Mode::is_queue")]
    pub mode: Mode,
}

/// What becomes of a message that is sent while a run is going in its thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It joins the run before its next model call; when there is none, it waits for its turn.
    Steer,
}

impl Mode {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "queue" => Some(Self::Queue),
            "steer" => Some(Self::Steer),
            _ => None,
        }
    }

    /// As requests store it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Steer => "steer",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_queue(&self) -> bool {
        *self == Self::Queue
    }
}

/// The person's message that a new one stands beside, in a branch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    pub message: MessageId,
    /// Its files become files of the new message.
    pub keeps_files: bool,
}

/// A further answer to a message that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct TryAgain {
    pub run_id: RunId,
    pub thread: ThreadId,
    /// The message of the person, or an answer to it.
    pub message: MessageId,
    /// Sending the same id twice makes one run.
    pub client_request_id: Option<String>,
    pub request: RunRequest,
}

/// The message is committed and will be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub run_id: RunId,
    /// The number of the run's first event.
    pub seq: i64,
    /// The client message id was seen before; this is the first answer again.
    pub repeated: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    #[error("no such thread")]
    NoThread,
    #[error("no such message in this thread to answer to")]
    NoParent,
    #[error("no such message in this thread")]
    NoMessage,
    #[error("the message still waits for its turn")]
    MessageQueued,
    #[error("no such file")]
    NoFile,
    /// Others may be. Holds a sentence that says why.
    #[error("{0}")]
    ModelNotAllowed(String),
    #[error("too many messages wait in this thread")]
    QueueFull,
    #[error("the key was revoked, or its user disabled")]
    RightsLost,
    #[error("no model is set up")]
    ModelNotConfigured,
    /// Holds a sentence that says what to do.
    #[error("{0}")]
    NoModelKey(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}
