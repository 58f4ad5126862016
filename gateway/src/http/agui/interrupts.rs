//! What a run waits for, as the protocol says it, and the answers to that.

use adjutant_core::ids::{ApprovalId, QuestionId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::question::Answer;
use adjutant_store::approvals::{Approval, Decision};
use adjutant_store::error::StoreError;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::questions::AskedQuestion;
use adjutant_store::runs::{Run, RunStatus};
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, ledger, questions, runs, threads};
use serde_json::{Value, json};

use super::form;
use super::input::{ResumeEntry, ResumeStatus};
use super::resume::Asked;
use crate::http::openai::failure::Failure;
use crate::http::openai::waiting;

/// How a run stands: what it asks a person, and what it has with the client.
pub(super) struct Standing {
    pub(super) run: Run,
    /// The number of the thread's newest event: with those up to it, a client knows what led here.
    pub(super) last_seq: i64,
    rows: Vec<LedgerRow>,
    approvals: Vec<Approval>,
    questions: Vec<AskedQuestion>,
}

pub(super) async fn load(tx: &mut Tx, thread: ThreadId, run: RunId) -> Result<Standing, StoreError> {
    let run = runs::load(tx, run).await?;
    let rows = ledger::of_run(tx, run.id).await?;
    let mut approvals = approvals::of_run(tx, run.id).await?;
    approvals.retain(|approval| approval.state == "pending");
    let questions = questions::open_of_run(tx, run.id).await?;
    // Read last: what is committed while the others are read shows in it.
    let last_seq = threads::last_seq(tx, thread).await?;
    Ok(Standing { run, last_seq, rows, approvals, questions })
}

impl Standing {
    /// The outcome of the run as far as a response goes. `None`: the run goes on by itself. One that works on other calls
    /// while it waits for consent does; one that a tool asks in is interrupted although it has a worker.
    pub(super) fn outcome(&self) -> Option<Value> {
        let is_asked = self.run.status == RunStatus::Running && !self.questions.is_empty();
        if self.run.status != RunStatus::Waiting && !is_asked {
            return None;
        }
        let interrupts = self.approvals.iter().filter_map(|approval| self.consent(approval));
        let interrupts: Vec<Value> = interrupts.chain(self.questions.iter().map(question)).collect();
        if !interrupts.is_empty() {
            return Some(json!({"type": "interrupt", "interrupts": interrupts}));
        }
        let pending: Vec<_> = waiting::with_caller(&self.rows).into_iter().map(|call| call.id).collect();
        Some(if pending.is_empty() {
            json!({"type": "success"})
        } else {
            json!({"type": "success", "pendingToolCallIds": pending})
        })
    }

    fn consent(&self, approval: &Approval) -> Option<Value> {
        let row = self.rows.iter().find(|row| row.id == approval.tool_call_id)?;
        Some(json!({
            "id": approval.id,
            "reason": "tool_call",
            "message": format!("May {} be used with these arguments?", row.name),
            "toolCallId": approval.tool_call_id,
            "responseSchema": {
                "type": "object",
                "properties": {
                    "decision": {"enum": ["once", "always", "deny"]},
                    "reason": {"type": "string", "maxLength": limits::REASON_CHARS}
                },
                "required": ["decision"]
            },
            "metadata": {"name": row.name, "arguments": row.arguments, "risk": row.risk}
        }))
    }
}

/// The sentence names the server, because the text is that server's and a front end may show nothing else.
fn question(asked: &AskedQuestion) -> Value {
    let who = asked.server.as_deref().unwrap_or(&asked.name);
    json!({
        "id": asked.id,
        "reason": "input_required",
        "message": format!("{who} asks: {}", asked.question.message.as_str()),
        "toolCallId": asked.tool_call_id,
        "responseSchema": form::schema(&asked.question),
        "expiresAt": asked.asked_at + limits::QUESTION_TIME,
        "metadata": {"name": asked.name, "server": asked.server}
    })
}

/// One answered interrupt.
#[derive(Debug, PartialEq)]
pub(super) enum Resumed {
    Decided { approval: ApprovalId, decision: Decision, reason: Option<String> },
    Answered { question: QuestionId, answer: Answer },
}

/// The ids of what is answered, whatever it is.
pub(super) fn ids(entries: &[ResumeEntry]) -> Result<Vec<ApprovalId>, Failure> {
    let mut ids = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let refuse = |message| Failure::invalid(format!("resume[{index}].interruptId"), message);
        let id = entry.interrupt_id.parse().map_err(|_| refuse("there is no interrupt of that name"))?;
        if ids.contains(&id) {
            return Err(refuse("this interrupt is answered twice"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Reads the answers to what was asked, in the same order.
pub(super) fn read(entries: &[ResumeEntry], asked: Vec<Asked>) -> Result<Vec<Resumed>, Failure> {
    let answers = entries.iter().zip(asked).enumerate().map(|(index, (entry, asked))| match asked {
        Asked::Approval(approval) => decision(index, entry, approval),
        Asked::Question(asked) => {
            let answer = form::answer(&asked.question, entry)?;
            Ok(Resumed::Answered { question: asked.id, answer })
        }
    });
    answers.collect()
}

/// `decision` is our word; `approved` is what general front ends say.
fn decision(index: usize, entry: &ResumeEntry, approval: ApprovalId) -> Result<Resumed, Failure> {
    let refuse = |field: &str, message| Failure::invalid(format!("resume[{index}].{field}"), message);
    let nothing = Value::Null;
    let payload = entry.payload.as_ref().unwrap_or(&nothing);
    let decision = match (entry.status, payload["decision"].as_str(), payload["approved"].as_bool()) {
        (ResumeStatus::Cancelled, ..) | (_, None, Some(false)) => Decision::Deny,
        (ResumeStatus::Resolved, Some(word), _) => {
            Decision::parse(word).ok_or_else(|| refuse("payload.decision", "a decision is once, always or deny"))?
        }
        (ResumeStatus::Resolved, None, Some(true)) => Decision::Once,
        (ResumeStatus::Resolved, None, None) => {
            return Err(refuse("payload", "the answer says `decision`: once, always or deny"));
        }
    };
    let reason = payload["reason"].as_str().map(str::to_owned);
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > limits::REASON_CHARS || reason.contains('\0')) {
        return Err(refuse("payload.reason", "a reason is at most 2,000 characters, without NUL"));
    }
    Ok(Resumed::Decided { approval, decision, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, status: ResumeStatus, payload: Value) -> ResumeEntry {
        ResumeEntry { interrupt_id: id.to_owned(), status, payload: Some(payload) }
    }

    #[test]
    fn decisions_are_read_in_either_word_and_nothing_is_taken_for_a_yes() {
        let id = ApprovalId::new();
        let read = |status, payload: Value| match decision(0, &entry(&id.to_string(), status, payload), id) {
            Ok(Resumed::Decided { decision, .. }) => Ok(decision),
            _ => Err(()),
        };
        let resolved = ResumeStatus::Resolved;
        assert_eq!(read(resolved, json!({"decision": "always"})), Ok(Decision::Always));
        assert_eq!(read(resolved, json!({"approved": true})), Ok(Decision::Once));
        assert_eq!(read(resolved, json!({"approved": false})), Ok(Decision::Deny));
        assert_eq!(read(ResumeStatus::Cancelled, json!({"approved": true})), Ok(Decision::Deny));
        for odd in
            [json!({}), json!(null), json!("yes"), json!(true), json!({"decision": "yes"}), json!({"approved": 1})]
        {
            assert_eq!(read(resolved, odd.clone()), Err(()), "{odd}");
        }
    }

    #[test]
    fn an_interrupt_is_answered_once_and_by_its_id() {
        let id = ApprovalId::new().to_string();
        let yes = |id: &str| entry(id, ResumeStatus::Resolved, json!({"approved": true}));
        assert!(ids(&[yes(&id)]).is_ok());
        assert!(ids(&[yes(&id), yes(&id)]).is_err());
        assert!(ids(&[yes("int-1")]).is_err());
    }
}
