//! A run that waits: for the caller's own tools, or for a person. Ids of calls as the caller sees
//! them, and the sentence that says what a person has to decide.

use adjutant_core::ids::{RunId, ToolCallId};
use adjutant_store::ledger::{CallState, LedgerRow, Target};

/// A call that the caller has to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct CallerCall {
    pub(in crate::http) id: ToolCallId,
    pub(in crate::http) name: String,
    /// A JSON object as text.
    pub(in crate::http) arguments: String,
}

/// The open calls among the rows of a run that are the caller's.
pub(in crate::http) fn with_caller(rows: &[LedgerRow]) -> Vec<CallerCall> {
    let open = rows.iter().filter(|row| row.target == Target::Caller && row.state == CallState::Planned);
    open.map(|row| CallerCall { id: row.id, name: row.name.clone(), arguments: row.arguments.to_string() }).collect()
}

/// What a person has to decide before the run goes on, if anything.
pub(in crate::http) fn consent(run: RunId, rows: &[LedgerRow]) -> Option<String> {
    let asking = rows.iter().filter(|row| row.state == CallState::Asking);
    let names: Vec<&str> = asking.map(|row| row.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let names = names.join(", ");
    Some(format!(
        "{NOTICE} before it uses {names}. Decide with `adjutant chat` or any other client of the WebSocket; \
         the answer follows there and in the thread. Run {run}."
    ))
}

/// What a person has to answer before the tool goes on.
pub(super) fn question(run: RunId, name: &str) -> String {
    format!(
        "{ASKING} for {name}. Answer it with `adjutant chat` or any other client of the WebSocket; \
         the answer follows there and in the thread. Run {run}."
    )
}

const NOTICE: &str = "I need your consent";
const ASKING: &str = "I have a question";

/// The run whose notice ends this text.
pub(in crate::http) fn notice_in(text: &str) -> Option<RunId> {
    let notice = &text[text.rfind(NOTICE).max(text.rfind(ASKING))?..];
    let id = notice.trim_end().strip_suffix('.')?.rsplit("Run ").next()?;
    id.parse().ok()
}

/// A call's id as the caller sees it.
pub(in crate::http) fn shown(id: ToolCallId) -> String {
    format!("call_{}", id.as_uuid().simple())
}

/// The id of a call of ours. `None`: it has not our form.
pub(in crate::http) fn parse(text: &str) -> Option<ToolCallId> {
    let id = text.strip_prefix("call_").filter(|id| id.len() == 32)?;
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use adjutant_core::tool::Risk;
    use serde_json::json;

    use super::*;

    fn row(name: &str, target: Target, state: CallState) -> LedgerRow {
        LedgerRow {
            id: ToolCallId::new(),
            run_id: RunId::new(),
            step: 0,
            position: 0,
            name: name.to_owned(),
            target,
            arguments: json!({"a": 1}),
            risk: Risk::Effects,
            repeatable: false,
            state,
            tries: 0,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn an_id_survives_the_way_to_the_caller_and_back() {
        let id = ToolCallId::new();
        assert_eq!(parse(&shown(id)), Some(id));
        for other in ["", "call_", "call_1", "call_get_weather_0123456789abcdef0123", &id.to_string(), &shown(id)[1..]]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_open_calls_of_the_caller_are_listed() {
        let server = || Target::Server { server: "s".to_owned(), tool: "t".to_owned() };
        let rows = [
            row("mine", Target::Caller, CallState::Planned),
            row("answered", Target::Caller, CallState::Ended(adjutant_core::message::OutcomeKind::Succeeded)),
            row("theirs", server(), CallState::Planned),
            row("asked", server(), CallState::Asking),
        ];
        let calls = with_caller(&rows);
        assert_eq!(calls, [CallerCall { id: rows[0].id, name: "mine".to_owned(), arguments: "{\"a\":1}".to_owned() }]);
        let run = RunId::new();
        let notice = consent(run, &rows).unwrap();
        assert!(notice.contains("asked") && notice.contains(&run.to_string()), "{notice}");
        assert_eq!(consent(run, &rows[..3]), None);
    }

    #[test]
    fn a_notice_is_known_again() {
        let run = RunId::new();
        let rows = [row("s__t", Target::Nobody, CallState::Asking)];
        let notice = consent(run, &rows).unwrap();
        assert_eq!(notice_in(&format!("One moment.\n\n{notice} \n")), Some(run));
        assert_eq!(notice_in(&format!("One moment.\n\n{}", question(run, "s__t"))), Some(run));
        for other in ["", "Run 5.", "I need your consent", &format!("{notice} And more.")] {
            assert_eq!(notice_in(other), None, "{other}");
        }
    }
}
