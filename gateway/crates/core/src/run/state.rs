//! What the machine knows of a run, what happens to it and what it wants done.

use serde::{Deserialize, Serialize};

use super::consent::{self, Why};
use crate::ids::{MessageId, ToolCallId};
use crate::limits;
use crate::message::OutcomeKind;
use crate::model::Usage;

/// The whole state of a run. Small by design: no messages, no results (see [`super::checkpoint`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    pub phase: Phase,
    /// Model calls that were answered.
    pub steps: u32,
    pub usage: Usage,
    /// Working time so far, in milliseconds; the driver adds to it, waiting for a person does not.
    pub active_ms: u64,
    /// The prompt of this run holds text from tools.
    pub read_foreign_text: bool,
    /// The id that the next assistant message will have. It is part of the state so that a model
    /// call repeated after a crash streams into the same message.
    pub answer_id: MessageId,
    pub limits: RunLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    pub steps: u32,
    pub tokens: u64,
    pub active_ms: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            steps: limits::RUN_STEPS,
            tokens: limits::RUN_TOKENS,
            active_ms: u64::try_from(limits::RUN_TIME.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Ready,
    /// A model call is under way.
    Thinking,
    /// The model asked for tools; not all of them have a result yet.
    Acting {
        calls: Vec<Call>,
    },
    Finished {
        outcome: Outcome,
    },
}

/// One tool call of the current answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub id: ToolCallId,
    /// May be sent again when nobody knows whether it already happened.
    pub repeatable: bool,
    pub status: CallStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Waits for a person.
    Asking,
    /// Waits for the caller of the API, who brought the tool.
    WithCaller,
    /// Told to run; the ledger says how far it came.
    Started,
    Settled,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed { code: String, message: String },
    Cancelled,
}

/// What the engine found out about a call that the model asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    pub id: ToolCallId,
    pub target: CallTarget,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallTarget {
    Server {
        facts: consent::Facts,
        repeatable: bool,
    },
    /// A tool that the caller of the API runs.
    Caller,
    /// Cannot run at all: no such tool, or arguments that are no JSON object. The model is told.
    Nothing {
        reason: String,
    },
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Begun {
        read_foreign_text: bool,
    },
    /// The run was taken over after a crash or hand-over; `ledger` is what the records say of the
    /// calls of the current answer.
    Recovered {
        ledger: Vec<(ToolCallId, Recorded)>,
        read_foreign_text: bool,
    },
    Answered {
        calls: Vec<CallFacts>,
        usage: Usage,
        /// The id for the assistant message after this one.
        next_answer_id: MessageId,
        /// What the model was told beside the thread was written by others, such as the tools of a person's own servers.
        read_foreign_text: bool,
    },
    /// Messages that were sent meanwhile stand before the model call that is about to begin.
    Joined {
        read_foreign_text: bool,
    },
    ModelFailed {
        code: String,
        message: String,
        usage: Usage,
    },
    /// A tool call has its result.
    Settled {
        call: ToolCallId,
    },
    Decided {
        call: ToolCallId,
        allowed: bool,
        reason: Option<String>,
    },
    CancelRequested,
    TimeUp,
    /// The run was found without its worker and may not go on: its rights are gone.
    Refused {
        ledger: Vec<(ToolCallId, Recorded)>,
        code: String,
        message: String,
    },
}

/// What the ledger says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Planned,
    Asking,
    Started,
    Settled,
}

/// Something the machine wants done. A tool call's id is the effect's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    CallModel,
    RunTool {
        call: ToolCallId,
    },
    AskApproval {
        call: ToolCallId,
        why: Why,
    },
    /// Give the call a result without running it.
    Settle {
        call: ToolCallId,
        outcome: OutcomeKind,
        text: String,
    },
    /// Nothing to do until a person or the caller answers: keep the state, let go of the run.
    Wait,
    Finish {
        outcome: Outcome,
    },
}
