//! The transition function of a run.

use super::consent::{self, Verdict};
use super::state::{
    Call, CallFacts, CallStatus, CallTarget, Effect, Event, Outcome, Phase, Recorded, RunLimits, RunState,
};
use crate::ids::{MessageId, ToolCallId};
use crate::limits;
use crate::message::OutcomeKind;

impl RunState {
    pub fn new(answer_id: MessageId, limits: RunLimits) -> Self {
        Self {
            phase: Phase::Ready,
            steps: 0,
            usage: crate::model::Usage::default(),
            active_ms: 0,
            read_foreign_text: false,
            answer_id,
            limits,
        }
    }

    /// A person is asked whether this call may run.
    pub fn asks(&self, id: ToolCallId) -> bool {
        let Phase::Acting { calls } = &self.phase else { return false };
        calls.iter().any(|call| call.id == id && call.status == CallStatus::Asking)
    }

    /// Nothing is under way: only a person or the caller can bring it further.
    pub fn waits(&self) -> bool {
        let Phase::Acting { calls } = &self.phase else { return false };
        calls.iter().all(|call| call.status != CallStatus::Started)
    }
}

/// What to do with a run that was found without its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCrash {
    Resume,
    Quarantine,
}

pub fn after_crash(crashes: i32) -> AfterCrash {
    if crashes >= limits::RUN_CRASHES { AfterCrash::Quarantine } else { AfterCrash::Resume }
}

/// One transition. An event that does not fit the state (a late decision, a result after a cancel)
/// changes nothing and wants nothing.
pub fn step(mut state: RunState, event: Event) -> (RunState, Vec<Effect>) {
    let mut effects = Vec::new();
    match event {
        Event::Begun { read_foreign_text } => {
            if state.phase == Phase::Ready {
                state.read_foreign_text |= read_foreign_text;
                think(&mut state, &mut effects);
            }
        }
        Event::Recovered { ledger, read_foreign_text } => {
            state.read_foreign_text |= read_foreign_text;
            recover(&mut state, &ledger, &mut effects);
        }
        Event::Answered { calls, usage, next_answer_id, read_foreign_text } => {
            if state.phase == Phase::Thinking {
                state.read_foreign_text |= read_foreign_text;
                state.steps += 1;
                state.usage += usage;
                state.answer_id = next_answer_id;
                act(&mut state, calls, &mut effects);
            }
        }
        Event::Joined { read_foreign_text } => {
            if !matches!(state.phase, Phase::Finished { .. }) {
                state.read_foreign_text |= read_foreign_text;
            }
        }
        Event::ModelFailed { code, message, usage } => {
            if state.phase == Phase::Thinking {
                state.usage += usage;
                finish(&mut state, Outcome::Failed { code, message }, &mut effects);
            }
        }
        Event::Settled { call } => {
            if settle(&mut state, call) {
                state.read_foreign_text = true;
                proceed(&mut state, &mut effects);
            }
        }
        Event::Decided { call, allowed, reason } => decide(&mut state, call, allowed, reason, &mut effects),
        Event::CancelRequested => end_early(&mut state, Outcome::Cancelled, "the run was cancelled", &mut effects),
        Event::TimeUp => {
            let outcome =
                Outcome::Failed { code: "limit_time".into(), message: "the run reached its time limit".into() };
            end_early(&mut state, outcome, "the run reached its time limit", &mut effects);
        }
        Event::Refused { ledger, code, message } => {
            for (id, recorded) in ledger {
                let Some(call) = find(&mut state, id) else { continue };
                match recorded {
                    Recorded::Settled => call.status = CallStatus::Settled,
                    // Told to run, and nothing of it has left.
                    Recorded::Planned if call.status == CallStatus::Started => call.status = CallStatus::Asking,
                    Recorded::Planned | Recorded::Asking | Recorded::Started => {}
                }
            }
            let outcome = Outcome::Failed { code, message };
            end_early(&mut state, outcome, "the run lost its rights", &mut effects);
        }
    }
    (state, effects)
}

/// Starts the next model call, unless a limit says no.
fn think(state: &mut RunState, effects: &mut Vec<Effect>) {
    let refusal = if state.steps >= state.limits.steps {
        Some(("limit_steps", format!("the run reached its limit of {} model calls", state.limits.steps)))
    } else if state.usage.total() >= state.limits.tokens {
        Some(("limit_tokens", format!("the run reached its limit of {} tokens", state.limits.tokens)))
    } else {
        None
    };
    if let Some((code, message)) = refusal {
        finish(state, Outcome::Failed { code: code.into(), message }, effects);
    } else {
        state.phase = Phase::Thinking;
        effects.push(Effect::CallModel);
    }
}

/// Plans the calls of an answer; an answer without calls is the final one.
fn act(state: &mut RunState, facts: Vec<CallFacts>, effects: &mut Vec<Effect>) {
    if facts.is_empty() {
        finish(state, Outcome::Succeeded, effects);
        return;
    }
    let mut calls = Vec::with_capacity(facts.len());
    for fact in facts {
        let call = fact.id;
        let (status, repeatable, effect) = match fact.target {
            CallTarget::Server { facts, repeatable } => match consent::decide(&facts, state.read_foreign_text) {
                Verdict::Run => (CallStatus::Started, repeatable, Some(Effect::RunTool { call })),
                Verdict::Ask(why) => (CallStatus::Asking, repeatable, Some(Effect::AskApproval { call, why })),
                Verdict::Refuse => {
                    let effect = Effect::Settle { call, outcome: OutcomeKind::Denied, text: REFUSED.into() };
                    (CallStatus::Settled, false, Some(effect))
                }
            },
            CallTarget::Caller => (CallStatus::WithCaller, false, None),
            CallTarget::Nothing { reason } => {
                let effect = Effect::Settle { call, outcome: OutcomeKind::Failed, text: reason };
                (CallStatus::Settled, false, Some(effect))
            }
        };
        calls.push(Call { id: call, repeatable, status });
        effects.extend(effect);
    }
    state.phase = Phase::Acting { calls };
    proceed(state, effects);
}

/// After a change among the calls: on to the model, or wait, or nothing while some still run.
fn proceed(state: &mut RunState, effects: &mut Vec<Effect>) {
    let Phase::Acting { calls } = &state.phase else { return };
    if calls.iter().all(|call| call.status == CallStatus::Settled) {
        think(state, effects);
    } else if state.waits() {
        effects.push(Effect::Wait);
    }
}

fn settle(state: &mut RunState, id: ToolCallId) -> bool {
    match find(state, id) {
        Some(call) if call.status != CallStatus::Settled => {
            call.status = CallStatus::Settled;
            true
        }
        _ => false,
    }
}

fn decide(state: &mut RunState, id: ToolCallId, allowed: bool, reason: Option<String>, effects: &mut Vec<Effect>) {
    let Some(call) = find(state, id).filter(|call| call.status == CallStatus::Asking) else { return };
    if allowed {
        call.status = CallStatus::Started;
        effects.push(Effect::RunTool { call: id });
    } else {
        call.status = CallStatus::Settled;
        let text = match reason {
            Some(reason) => format!("the person denied this call: {reason}"),
            None => "the person denied this call".to_owned(),
        };
        effects.push(Effect::Settle { call: id, outcome: OutcomeKind::Denied, text });
        proceed(state, effects);
    }
}

/// Compares what was planned with what the ledger recorded: what may be repeated runs again, what
/// may have happened becomes unknown.
fn recover(state: &mut RunState, ledger: &[(ToolCallId, Recorded)], effects: &mut Vec<Effect>) {
    match &mut state.phase {
        Phase::Finished { .. } => {}
        Phase::Ready | Phase::Thinking => think(state, effects),
        Phase::Acting { calls } => {
            for call in calls.iter_mut() {
                let recorded = ledger.iter().find(|(id, _)| *id == call.id).map(|(_, recorded)| *recorded);
                match (call.status, recorded) {
                    (CallStatus::Settled, _) => {}
                    (_, Some(Recorded::Settled)) => call.status = CallStatus::Settled,
                    // The ledger is ahead of the checkpoint when a person had just allowed the call.
                    (CallStatus::Started | CallStatus::Asking, Some(Recorded::Started)) if !call.repeatable => {
                        call.status = CallStatus::Settled;
                        effects.push(Effect::Settle {
                            call: call.id,
                            outcome: OutcomeKind::Unknown,
                            text: LOST.into(),
                        });
                    }
                    (CallStatus::Started, _) | (CallStatus::Asking, Some(Recorded::Started)) => {
                        call.status = CallStatus::Started;
                        effects.push(Effect::RunTool { call: call.id });
                    }
                    (CallStatus::Asking | CallStatus::WithCaller, _) => {}
                }
            }
            proceed(state, effects);
        }
    }
}

const REFUSED: &str = "this tool is switched off by its owner's policy: it was not called. Do without it.";

const LOST: &str = "the server stopped while this call was under way: it may have happened or not. \
                    Say so, and do not repeat it without asking.";

fn end_early(state: &mut RunState, outcome: Outcome, why: &str, effects: &mut Vec<Effect>) {
    if let Phase::Acting { calls } = &state.phase {
        for call in calls {
            let (kind, text) = match call.status {
                CallStatus::Settled => continue,
                CallStatus::Started if !call.repeatable => {
                    (OutcomeKind::Unknown, format!("{why} while this call was under way: it may have happened or not"))
                }
                CallStatus::Started => (OutcomeKind::Failed, format!("{why} before this call was answered")),
                CallStatus::Asking | CallStatus::WithCaller => {
                    (OutcomeKind::Denied, format!("{why} before this call could start"))
                }
            };
            effects.push(Effect::Settle { call: call.id, outcome: kind, text });
        }
    }
    if !matches!(state.phase, Phase::Finished { .. }) {
        finish(state, outcome, effects);
    }
}

fn finish(state: &mut RunState, outcome: Outcome, effects: &mut Vec<Effect>) {
    state.phase = Phase::Finished { outcome: outcome.clone() };
    effects.push(Effect::Finish { outcome });
}

fn find(state: &mut RunState, id: ToolCallId) -> Option<&mut Call> {
    match &mut state.phase {
        Phase::Acting { calls } => calls.iter_mut().find(|call| call.id == id),
        Phase::Ready | Phase::Thinking | Phase::Finished { .. } => None,
    }
}

#[cfg(test)]
mod tests;
