//! What a run waits for, as the protocol says it, and the answers to that.

use adjutant_core::ids::{ApprovalId, RunId};
use adjutant_store::approvals::{Approval, Decision};
use adjutant_store::error::StoreError;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::runs::{Run, RunStatus};
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, ledger, runs};
use serde_json::{Value, json};

use super::input::{ResumeEntry, ResumeStatus};
use crate::http::openai::failure::Failure;
use crate::http::openai::waiting;

const REASON_CHARS: usize = 2_000;

/// A run that waits: for a person, or for tools of the client.
pub(super) struct Waiting {
    pub(super) run: Run,
    rows: Vec<LedgerRow>,
    open: Vec<Approval>,
}

/// `None`: it has gone on meanwhile.
pub(super) async fn load(tx: &mut Tx, run: RunId) -> Result<Option<Waiting>, StoreError> {
    let run = runs::load(tx, run).await?;
    if run.status != RunStatus::Waiting {
        return Ok(None);
    }
    let rows = ledger::of_run(tx, run.id).await?;
    let mut open = approvals::of_run(tx, run.id).await?;
    open.retain(|approval| approval.state == "pending");
    Ok(Some(Waiting { run, rows, open }))
}

impl Waiting {
    /// The outcome of the run as far as this response goes.
    pub(super) fn outcome(&self) -> Value {
        let interrupts: Vec<Value> = self.open.iter().filter_map(|approval| self.interrupt(approval)).collect();
        if !interrupts.is_empty() {
            return json!({"type": "interrupt", "interrupts": interrupts});
        }
        let pending: Vec<_> = waiting::with_caller(&self.rows).into_iter().map(|call| call.id).collect();
        if pending.is_empty() {
            json!({"type": "success"})
        } else {
            json!({"type": "success", "pendingToolCallIds": pending})
        }
    }

    fn interrupt(&self, approval: &Approval) -> Option<Value> {
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
                    "reason": {"type": "string", "maxLength": REASON_CHARS}
                },
                "required": ["decision"]
            },
            "metadata": {"name": row.name, "arguments": row.arguments, "risk": row.risk}
        }))
    }
}

/// One answered interrupt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    pub(super) approval: ApprovalId,
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
}

/// Reads the answers. `decision` is our word; `approved` is what general front ends say.
pub(super) fn read(entries: &[ResumeEntry]) -> Result<Vec<Resumed>, Failure> {
    let mut resumed: Vec<Resumed> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let refuse = |field: &str, message| Failure::invalid(format!("resume[{index}].{field}"), message);
        let Ok(approval) = entry.interrupt_id.parse() else {
            return Err(refuse("interruptId", "there is no interrupt of that name"));
        };
        if resumed.iter().any(|earlier| earlier.approval == approval) {
            return Err(refuse("interruptId", "this interrupt is answered twice"));
        }
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
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS || reason.contains('\0')) {
            return Err(refuse("payload.reason", "a reason is at most 2,000 characters, without NUL"));
        }
        resumed.push(Resumed { approval, decision, reason });
    }
    Ok(resumed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, status: ResumeStatus, payload: Value) -> ResumeEntry {
        ResumeEntry { interrupt_id: id.to_owned(), status, payload: Some(payload) }
    }

    #[test]
    fn decisions_are_read_in_either_word_and_nothing_is_taken_for_a_yes() {
        let id = ApprovalId::new().to_string();
        let read = |status, payload: Value| {
            read(&[entry(&id, status, payload)]).map(|resumed| resumed[0].decision).map_err(|_| ())
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
        assert!(read(&[yes(&id), yes(&id)]).is_err());
        assert!(read(&[yes("int-1")]).is_err());
    }
}
