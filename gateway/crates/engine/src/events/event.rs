//! The events of a thread. Durable ones have a number; text that streams is live only and becomes
//! durable with the message it belongs to.

use std::sync::Arc;

use adjutant_core::ids::{ApprovalId, MessageId, QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::message::Message;
use adjutant_core::model::Usage;
use adjutant_core::question::Question;
use adjutant_core::run::consent::Why;
use adjutant_core::tool::Risk;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A durable event with the messages it announces.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub seq: i64,
    /// `None`: it is about the thread itself.
    pub run_id: Option<RunId>,
    pub body: EventBody,
    pub messages: Vec<Arc<Message>>,
}

/// The stored payload of an event; `kind` is also a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum EventBody {
    /// The first event of a run; it announces the messages that the run was submitted with.
    RunStarted {
        queued: bool,
        /// The run brings no message: it answers this one once more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<MessageId>,
    },
    /// The message of a queued run was rewritten: announces anew what the event of this number announced.
    RunRevised {
        announced: i64,
    },
    /// The run changed its state in a way that neither starts nor ends it.
    RunState {
        state: RunStateName,
        reason: Option<String>,
        parent_id: Option<MessageId>,
    },
    /// The model answered; announces the assistant message.
    Answer,
    /// A tool call has its result; announces the tool message.
    ToolResult,
    ApprovalRequested {
        approval_id: ApprovalId,
        tool_call_id: ToolCallId,
        name: String,
        server: String,
        tool: String,
        arguments: Value,
        risk: Risk,
        /// Absent in events of the first version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Why>,
    },
    ApprovalDecided {
        approval_id: ApprovalId,
        tool_call_id: ToolCallId,
        decision: String,
    },
    /// A tool that is under way asks a person.
    QuestionAsked {
        question_id: QuestionId,
        tool_call_id: ToolCallId,
        name: String,
        question: Question,
    },
    /// `accept`, `decline`, `cancel`, or nobody did: `expired`, `withdrawn`.
    QuestionAnswered {
        question_id: QuestionId,
        tool_call_id: ToolCallId,
        action: String,
    },
    /// A queued run is over before it began: another one took in its messages, the first of them behind `parent_id`.
    RunJoined {
        into: RunId,
        parent_id: Option<MessageId>,
    },
    RunFinished {
        outcome: FinishedOutcome,
        model: Option<String>,
        usage: Usage,
    },
    RunFailed {
        code: String,
        message: String,
        usage: Usage,
    },
    /// A person or the small model changed the thread itself: all that is known of it now.
    ThreadChanged {
        title: Option<String>,
        head_id: Option<MessageId>,
        /// The newest message that the thread's summary stands for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary_to: Option<MessageId>,
        pinned: bool,
        archived: bool,
        /// Absent in events from before there were folders.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
        deleted_at: Option<DateTime<Utc>>,
    },
    /// The thread began as a copy of a branch; announces copied messages.
    MessagesCopied {
        from_thread: ThreadId,
        from_message: MessageId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStateName {
    Queued,
    Running,
    Waiting,
    Quarantined,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishedOutcome {
    Success,
    Cancelled,
}

impl EventBody {
    /// The name in the `kind` column.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunRevised { .. } => "run_revised",
            Self::RunState { .. } => "run_state",
            Self::Answer => "answer",
            Self::ToolResult => "tool_result",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalDecided { .. } => "approval_decided",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::RunJoined { .. } => "run_joined",
            Self::RunFinished { .. } => "run_finished",
            Self::RunFailed { .. } => "run_failed",
            Self::ThreadChanged { .. } => "thread_changed",
            Self::MessagesCopied { .. } => "messages_copied",
        }
    }

    /// The run waits for a person, or for the caller of the API.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::RunState { state: RunStateName::Waiting, .. })
    }

    /// Nothing follows it in its run.
    pub fn ends_run(&self) -> bool {
        matches!(self, Self::RunFinished { .. } | Self::RunFailed { .. } | Self::RunJoined { .. })
    }
}

/// What a listener receives.
#[derive(Debug, Clone)]
pub enum Live {
    /// Committed events of one thread, in order and without a gap among themselves.
    Durable { thread: ThreadId, events: Arc<[Event]> },
    /// Text as the model writes it.
    Delta(Delta),
    /// What the model thinks before it writes; its offsets are its own.
    Thinking(Delta),
    /// How far a tool call is.
    Progress(Arc<Progress>),
}

impl Live {
    pub fn thread(&self) -> ThreadId {
        match self {
            Self::Durable { thread, .. } => *thread,
            Self::Delta(delta) | Self::Thinking(delta) => delta.thread,
            Self::Progress(progress) => progress.thread,
        }
    }
}

/// A piece of the answer that is being written.
#[derive(Debug, Clone)]
pub struct Delta {
    pub thread: ThreadId,
    pub run: RunId,
    pub message: MessageId,
    /// Which attempt at the message it is part of. A model call repeated after a fault writes the same message
    /// from its beginning, under a new number.
    pub attempt: u64,
    /// Where it belongs: UTF-16 code units of the message before it.
    pub offset: usize,
    pub text: Arc<str>,
}

/// What a tool call under way says of itself; never stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub thread: ThreadId,
    pub run: RunId,
    pub call: ToolCallId,
    pub progress: f64,
    pub total: Option<f64>,
    /// Foreign text.
    pub message: Option<String>,
}
