//! What AG-UI has no event of its own for, as its CUSTOM events: the name says which, the value is typed. The order of
//! fields is that in which they travel.

use adjutant_core::ids::{ApprovalId, MessageId, QuestionId, RunId, ThreadId, ToolCallId};
use adjutant_core::message::ForeignText;
use adjutant_core::question::Field;
use adjutant_core::run::consent::Why;
use adjutant_core::tool::Risk;
use adjutant_engine::events::event::RunStateName;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ag_ui::InputMessage;

/// An event of this server
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "name", content = "value")]
#[schema(as = CustomEvent)]
pub enum Custom<'a> {
    #[serde(rename = "thread.changed")]
    ThreadChanged(ThreadChanged<'a>),
    #[serde(rename = "messages.copied")]
    MessagesCopied(MessagesCopied<'a>),
    #[serde(rename = "run.state")]
    RunState(RunState<'a>),
    #[serde(rename = "approval.requested")]
    ApprovalRequested(ApprovalRequested<'a>),
    #[serde(rename = "approval.decided")]
    ApprovalDecided(ApprovalDecided<'a>),
    #[serde(rename = "question.asked")]
    QuestionAsked(QuestionAsked<'a>),
    #[serde(rename = "question.answered")]
    QuestionAnswered(QuestionAnswered<'a>),
    #[serde(rename = "tool.progress")]
    ToolProgress(ToolProgress<'a>),
}

/// All that is known of the thread now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadChanged<'a> {
    pub title: Option<&'a str>,
    pub head_id: Option<MessageId>,
    /// The newest message that the thread's summary stands for.
    pub summary_to: Option<MessageId>,
    pub pinned: bool,
    pub archived: bool,
    pub folder: Option<&'a str>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The thread began as a copy of a branch.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessagesCopied<'a> {
    pub from: CopiedFrom,
    pub messages: Vec<InputMessage<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopiedFrom {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
}

/// A run changed its state in a way that neither starts nor ends it, or was taken in by another.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RunStateChange)]
pub struct RunState<'a> {
    pub state: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<&'a str>,
    /// The run that took this one's messages in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub joined_run_id: Option<RunId>,
    /// What the run's message stands behind from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parent_id: Option<MessageId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Queued,
    Running,
    Waiting,
    Quarantined,
    Joined,
}

impl From<RunStateName> for StateName {
    fn from(state: RunStateName) -> Self {
        match state {
            RunStateName::Queued => Self::Queued,
            RunStateName::Running => Self::Running,
            RunStateName::Waiting => Self::Waiting,
            RunStateName::Quarantined => Self::Quarantined,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRequested<'a> {
    pub approval_id: ApprovalId,
    pub tool_call_id: ToolCallId,
    pub name: &'a str,
    pub server: &'a str,
    pub tool: &'a str,
    /// Exactly what the tool will be sent.
    pub arguments: &'a Value,
    pub risk: Risk,
    /// Absent in events of the first version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<Why>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDecided<'a> {
    pub approval_id: ApprovalId,
    pub tool_call_id: ToolCallId,
    /// `once`, `always` or `deny`.
    pub decision: &'a str,
}

/// A tool that is under way asks a person. All of its text was written by a server.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuestionAsked<'a> {
    pub question_id: QuestionId,
    pub tool_call_id: ToolCallId,
    pub name: &'a str,
    pub message: &'a ForeignText,
    pub fields: &'a [Field],
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuestionAnswered<'a> {
    pub question_id: QuestionId,
    pub tool_call_id: ToolCallId,
    /// `accept`, `decline`, `cancel`, or nobody did: `expired`, `withdrawn`.
    pub action: &'a str,
}

/// How far a call is: live, never stored.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolProgress<'a> {
    pub tool_call_id: ToolCallId,
    pub progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use adjutant_core::question::FieldKind;

    use super::super::ag_ui::{AgUi, InputBody, InputContent, InputMetadata};
    use super::*;

    const ID: &str = "0196f0aa-0000-7000-8000-000000000001";

    fn travels(event: Custom<'_>, name: &str, value: &str) {
        let expected = format!(r#"{{"type":"CUSTOM","name":"{name}","value":{}}}"#, value.replace("ID", ID));
        assert_eq!(serde_json::to_string(&AgUi::Custom(event)).unwrap(), expected);
    }

    /// Byte for byte as clients know them.
    #[test]
    fn values_travel_as_they_always_did() {
        let (thread, message, run) = (ID.parse().unwrap(), ID.parse().unwrap(), ID.parse().unwrap());
        let (approval, question, call) = (ID.parse().unwrap(), ID.parse().unwrap(), ID.parse().unwrap());
        let at = DateTime::from_timestamp_millis(1_800_000_000_123).unwrap();
        let changed = |title, head_id, folder, deleted_at| {
            let (summary_to, pinned, archived) = (head_id, true, false);
            Custom::ThreadChanged(ThreadChanged { title, head_id, summary_to, pinned, archived, folder, deleted_at })
        };
        travels(
            changed(None, None, None, None),
            "thread.changed",
            r#"{"title":null,"headId":null,"summaryTo":null,"pinned":true,"archived":false,"folder":null,"deletedAt":null}"#,
        );
        travels(
            changed(Some("t"), Some(message), Some("f"), Some(at)),
            "thread.changed",
            r#"{"title":"t","headId":"ID","summaryTo":"ID","pinned":true,"archived":false,"folder":"f","deletedAt":"2027-01-15T08:00:00.123Z"}"#,
        );
        let metadata = InputMetadata { client_message_id: None, parent_id: Some(message), partial: false };
        let body = InputBody::User { content: InputContent::Text("hi") };
        let messages = vec![InputMessage { id: message, body, metadata }];
        let from = CopiedFrom { thread_id: thread, message_id: message };
        travels(
            Custom::MessagesCopied(MessagesCopied { from, messages }),
            "messages.copied",
            r#"{"from":{"threadId":"ID","messageId":"ID"},"messages":[{"id":"ID","role":"user","content":"hi","metadata":{"parentId":"ID"}}]}"#,
        );
        let state = |state, reason, joined_run_id, parent_id| {
            Custom::RunState(RunState { state, reason, joined_run_id, parent_id })
        };
        travels(state(StateName::Queued, None, None, None), "run.state", r#"{"state":"queued"}"#);
        travels(
            state(StateName::Waiting, Some("approval"), None, Some(message)),
            "run.state",
            r#"{"state":"waiting","reason":"approval","parentId":"ID"}"#,
        );
        travels(
            state(StateName::Joined, None, Some(run), Some(message)),
            "run.state",
            r#"{"state":"joined","joinedRunId":"ID","parentId":"ID"}"#,
        );
        let arguments = serde_json::json!({"z": 1, "a": 0.5});
        let asks = |why| {
            Custom::ApprovalRequested(ApprovalRequested {
                approval_id: approval,
                tool_call_id: call,
                name: "s__t",
                server: "s",
                tool: "t",
                arguments: &arguments,
                risk: Risk::Effects,
                why,
            })
        };
        let asked = r#"{"approvalId":"ID","toolCallId":"ID","name":"s__t","server":"s","tool":"t","arguments":{"z":1,"a":0.5},"risk":"effects""#;
        travels(asks(None), "approval.requested", &format!("{asked}}}"));
        travels(asks(Some(Why::ForeignText)), "approval.requested", &format!(r#"{asked},"why":"foreign_text"}}"#));
        travels(
            Custom::ApprovalDecided(ApprovalDecided { approval_id: approval, tool_call_id: call, decision: "once" }),
            "approval.decided",
            r#"{"approvalId":"ID","toolCallId":"ID","decision":"once"}"#,
        );
        let kind = FieldKind::Number { minimum: Some(0.0), maximum: None };
        let (name, required) = ("weight".to_owned(), true);
        let fields = [Field { name, title: None, description: None, required, kind, default: None }];
        travels(
            Custom::QuestionAsked(QuestionAsked {
                question_id: question,
                tool_call_id: call,
                name: "s__t",
                message: &ForeignText::new("how heavy?"),
                fields: &fields,
            }),
            "question.asked",
            r#"{"questionId":"ID","toolCallId":"ID","name":"s__t","message":"how heavy?","fields":[{"name":"weight","required":true,"kind":"number","minimum":0.0}]}"#,
        );
        travels(
            Custom::QuestionAnswered(QuestionAnswered { question_id: question, tool_call_id: call, action: "decline" }),
            "question.answered",
            r#"{"questionId":"ID","toolCallId":"ID","action":"decline"}"#,
        );
        let far =
            |total, message| Custom::ToolProgress(ToolProgress { tool_call_id: call, progress: 1.0, total, message });
        travels(far(None, None), "tool.progress", r#"{"toolCallId":"ID","progress":1.0}"#);
        travels(
            far(Some(4.0), Some("packing")),
            "tool.progress",
            r#"{"toolCallId":"ID","progress":1.0,"total":4.0,"message":"packing"}"#,
        );
    }
}
