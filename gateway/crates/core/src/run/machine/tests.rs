use proptest::prelude::*;

use super::*;
use crate::model::Usage;
use crate::run::consent::{Facts, Policy, Why};
use crate::tool::Risk;

fn begun() -> RunState {
    let state = RunState::new(MessageId::new(), RunLimits::default());
    let (state, effects) = step(state, Event::Begun { read_foreign_text: false });
    assert_eq!(effects, [Effect::CallModel]);
    state
}

fn server(risk: Risk, repeatable: bool) -> CallFacts {
    with_policy(Policy::Annotations, risk, repeatable)
}

fn with_policy(policy: Policy, risk: Risk, repeatable: bool) -> CallFacts {
    let facts = Facts { policy, risk, stays_home: false, allowed_always: false, reaches_strangers: false };
    CallFacts { id: ToolCallId::new(), target: CallTarget::Server { facts, repeatable } }
}

fn answered(state: RunState, calls: Vec<CallFacts>) -> (RunState, Vec<Effect>) {
    let usage = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() };
    step(state, Event::Answered { calls, usage, next_answer_id: MessageId::new(), read_foreign_text: false })
}

#[test]
fn an_answer_without_calls_ends_the_run() {
    let (state, effects) = answered(begun(), vec![]);
    assert_eq!(effects, [Effect::Finish { outcome: Outcome::Succeeded }]);
    assert_eq!(state.usage.total(), 15);
}

#[test]
fn parallel_calls_go_back_to_the_model_when_the_last_is_settled() {
    let (a, b) = (server(Risk::ReadOnly, true), server(Risk::Effects, false));
    let (state, effects) = answered(begun(), vec![a.clone(), b.clone()]);
    assert_eq!(effects, [Effect::RunTool { call: a.id }, Effect::RunTool { call: b.id }]);
    let (state, effects) = step(state, Event::Settled { call: b.id });
    assert_eq!(effects, []);
    let (state, effects) = step(state, Event::Settled { call: a.id });
    assert_eq!(effects, [Effect::CallModel]);
    assert!(state.read_foreign_text);
}

#[test]
fn after_foreign_text_a_tool_with_effects_asks() {
    let first = server(Risk::ReadOnly, true);
    let (state, _) = answered(begun(), vec![first.clone()]);
    let (state, _) = step(state, Event::Settled { call: first.id });
    let second = server(Risk::Effects, false);
    let (state, effects) = answered(state, vec![second.clone()]);
    assert_eq!(effects, [Effect::AskApproval { call: second.id, why: Why::ForeignText }, Effect::Wait]);
    let decided = Event::Decided { call: second.id, allowed: false, reason: Some("not now".into()) };
    let (_, effects) = step(state, decided);
    let text = "the person denied this call: not now".to_owned();
    let denied = Effect::Settle { call: second.id, outcome: OutcomeKind::Denied, text };
    assert_eq!(effects, [denied, Effect::CallModel]);
}

#[test]
fn what_joins_or_is_offered_can_be_foreign_text_too() {
    let (joined, effects) = step(begun(), Event::Joined { read_foreign_text: true });
    assert_eq!(effects, []);
    let call = server(Risk::Effects, false);
    let (_, effects) = answered(joined, vec![call.clone()]);
    assert_eq!(effects, [Effect::AskApproval { call: call.id, why: Why::ForeignText }, Effect::Wait]);
    let answer = Event::Answered {
        calls: vec![call.clone()],
        usage: Usage::default(),
        next_answer_id: MessageId::new(),
        read_foreign_text: true,
    };
    let (_, effects) = step(begun(), answer);
    assert_eq!(effects, [Effect::AskApproval { call: call.id, why: Why::ForeignText }, Effect::Wait]);
}

#[test]
fn a_tool_that_is_switched_off_is_told_to_the_model_and_never_runs() {
    let call = with_policy(Policy::Deny, Risk::ReadOnly, true);
    let (_, effects) = answered(begun(), vec![call.clone()]);
    let refused = Effect::Settle { call: call.id, outcome: OutcomeKind::Denied, text: REFUSED.into() };
    assert_eq!(effects, [refused, Effect::CallModel]);
}

#[test]
fn a_call_that_cannot_run_is_told_to_the_model() {
    let nothing = CallFacts { id: ToolCallId::new(), target: CallTarget::Nothing { reason: "no such tool".into() } };
    let (_, effects) = answered(begun(), vec![nothing.clone()]);
    let settle = Effect::Settle { call: nothing.id, outcome: OutcomeKind::Failed, text: "no such tool".into() };
    assert_eq!(effects, [settle, Effect::CallModel]);
}

#[test]
fn after_a_crash_only_what_may_be_repeated_runs_again() {
    let (safe, unsafe_) = (server(Risk::ReadOnly, true), server(Risk::Effects, false));
    let (planned, settled) = (server(Risk::Effects, false), server(Risk::Effects, false));
    let facts = vec![safe.clone(), unsafe_.clone(), planned.clone(), settled.clone()];
    let (state, _) = answered(begun(), facts);
    let ledger = vec![
        (safe.id, Recorded::Started),
        (unsafe_.id, Recorded::Started),
        (planned.id, Recorded::Planned),
        (settled.id, Recorded::Settled),
    ];
    let (_, effects) = step(state, Event::Recovered { ledger, read_foreign_text: false });
    let unknown = Effect::Settle { call: unsafe_.id, outcome: OutcomeKind::Unknown, text: LOST.into() };
    assert_eq!(effects, [Effect::RunTool { call: safe.id }, unknown, Effect::RunTool { call: planned.id }]);
}

#[test]
fn a_crashed_model_call_streams_into_the_same_message() {
    let state = begun();
    let (again, effects) = step(state.clone(), Event::Recovered { ledger: vec![], read_foreign_text: false });
    assert_eq!(effects, [Effect::CallModel]);
    assert_eq!(again.answer_id, state.answer_id);
}

#[test]
fn limits_end_the_run_with_their_code() {
    let limits = RunLimits { steps: 1, tokens: 1_000, active_ms: 1_000 };
    let nothing = || CallFacts { id: ToolCallId::new(), target: CallTarget::Nothing { reason: String::new() } };
    for (limits, expected) in [(limits, "limit_steps"), (RunLimits { steps: 9, tokens: 15, ..limits }, "limit_tokens")]
    {
        let state = RunState::new(MessageId::new(), limits);
        let (state, _) = step(state, Event::Begun { read_foreign_text: false });
        let (state, _) = answered(state, vec![nothing()]);
        assert!(matches!(&state.phase, Phase::Finished { outcome: Outcome::Failed { code, .. } } if code == expected));
    }
}

#[test]
fn a_run_that_lost_its_rights_ends_and_says_of_each_call_what_became_of_it() {
    let (sent, planned) = (server(Risk::Effects, false), server(Risk::Effects, false));
    let (settled, asking) = (server(Risk::ReadOnly, true), server(Risk::Destructive, false));
    let facts = vec![sent.clone(), planned.clone(), settled.clone(), asking.clone()];
    let (state, _) = answered(begun(), facts);
    let ledger = vec![
        (sent.id, Recorded::Started),
        (planned.id, Recorded::Planned),
        (settled.id, Recorded::Settled),
        (asking.id, Recorded::Asking),
    ];
    let refused = Event::Refused { ledger, code: "rights_lost".into(), message: "gone".into() };
    let (state, effects) = step(state, refused.clone());
    let outcomes: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Settle { call, outcome, .. } => Some((*call, *outcome)),
            _ => None,
        })
        .collect();
    let expected =
        [(sent.id, OutcomeKind::Unknown), (planned.id, OutcomeKind::Denied), (asking.id, OutcomeKind::Denied)];
    assert_eq!(outcomes, expected);
    let outcome = Outcome::Failed { code: "rights_lost".into(), message: "gone".into() };
    assert_eq!(effects.last(), Some(&Effect::Finish { outcome }));
    assert_eq!(step(state, refused).1, [], "only once");
    let queued = RunState::new(MessageId::new(), RunLimits::default());
    let refused = Event::Refused { ledger: vec![], code: "rights_lost".into(), message: "gone".into() };
    assert_eq!(step(queued, refused).1.len(), 1, "without a call to the model");
}

#[test]
fn cancel_says_of_each_call_what_became_of_it() {
    let (running, asking) = (server(Risk::Effects, false), server(Risk::Destructive, false));
    let (state, _) = answered(begun(), vec![running.clone(), asking.clone()]);
    let (state, effects) = step(state, Event::CancelRequested);
    let kinds: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Settle { call, outcome, .. } => (Some(*call), Some(*outcome)),
            _ => (None, None),
        })
        .collect();
    let expected =
        [(Some(running.id), Some(OutcomeKind::Unknown)), (Some(asking.id), Some(OutcomeKind::Denied)), (None, None)];
    assert_eq!(kinds, expected);
    let (_, effects) = step(state, Event::Settled { call: running.id });
    assert_eq!(effects, [], "a result after the end changes nothing");
}

/// Plays random events and crashes against the machine, as the driver would.
#[derive(Debug, Clone)]
enum Move {
    Answer(Vec<u8>),
    Fail,
    SettleOne(u8),
    DecideOne(u8, bool),
    Join(bool),
    Crash,
    Cancel,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => prop::collection::vec(0u8..8, 0..4).prop_map(Move::Answer),
        1 => Just(Move::Fail),
        6 => any::<u8>().prop_map(Move::SettleOne),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(n, allowed)| Move::DecideOne(n, allowed)),
        2 => any::<bool>().prop_map(Move::Join),
        2 => Just(Move::Crash),
        1 => Just(Move::Cancel),
    ];
    prop::collection::vec(one, 1..60)
}

fn facts(kind: u8) -> CallFacts {
    match kind {
        0 => server(Risk::ReadOnly, true),
        1 => server(Risk::Effects, false),
        2 => server(Risk::Destructive, false),
        3 => CallFacts { id: ToolCallId::new(), target: CallTarget::Caller },
        5 => with_policy(Policy::Deny, Risk::Effects, false),
        6 => with_policy(Policy::Ask, Risk::Effects, false),
        7 => with_policy(Policy::Auto, Risk::Destructive, false),
        _ => CallFacts { id: ToolCallId::new(), target: CallTarget::Nothing { reason: "no such tool".into() } },
    }
}

proptest! {
    #[test]
    fn whatever_happens_effects_are_neither_doubled_nor_lost(moves in moves()) {
        let mut state = begun();
        let mut sent: std::collections::HashMap<ToolCallId, u32> = std::collections::HashMap::new();
        let mut results: std::collections::HashMap<ToolCallId, u32> = std::collections::HashMap::new();
        let mut unsafe_calls = std::collections::HashSet::new();
        let mut ledger: Vec<(ToolCallId, Recorded)> = Vec::new();
        // What a crash leaves: an allowed call is written to the ledger, but not yet to the checkpoint.
        let mut saved = state.clone();
        for next in moves {
            let mut saves = true;
            let event = match next {
                Move::Answer(kinds) => {
                    if state.phase != Phase::Thinking { continue }
                    let calls: Vec<_> = kinds.into_iter().map(facts).collect();
                    ledger = calls.iter().map(|call| (call.id, Recorded::Planned)).collect();
                    for call in &calls {
                        if matches!(call.target, CallTarget::Server { repeatable: false, .. }) {
                            unsafe_calls.insert(call.id);
                        }
                    }
                    Event::Answered {
                        calls,
                        usage: Usage::default(),
                        next_answer_id: MessageId::new(),
                        read_foreign_text: false,
                    }
                }
                Move::Fail => Event::ModelFailed { code: "x".into(), message: "y".into(), usage: Usage::default() },
                Move::SettleOne(n) => {
                    let Phase::Acting { calls } = &state.phase else { continue };
                    let open: Vec<_> = calls.iter().filter(|call| call.status == CallStatus::Started).collect();
                    let Some(call) = open.get(usize::from(n) % open.len().max(1)) else { continue };
                    *results.entry(call.id).or_default() += 1;
                    Event::Settled { call: call.id }
                }
                Move::DecideOne(n, allowed) => {
                    let Phase::Acting { calls } = &state.phase else { continue };
                    let open: Vec<_> = calls.iter().filter(|call| call.status == CallStatus::Asking).collect();
                    let Some(call) = open.get(usize::from(n) % open.len().max(1)) else { continue };
                    saves = !allowed;
                    Event::Decided { call: call.id, allowed, reason: None }
                }
                Move::Join(foreign) => {
                    if state.phase != Phase::Thinking { continue }
                    Event::Joined { read_foreign_text: foreign }
                }
                Move::Crash => {
                    state = saved.clone();
                    Event::Recovered { ledger: ledger.clone(), read_foreign_text: false }
                }
                Move::Cancel => Event::CancelRequested,
            };
            let read = state.read_foreign_text;
            let denied: std::collections::HashSet<ToolCallId> = match &event {
                Event::Answered { calls, .. } => calls
                    .iter()
                    .filter(|call| {
                        matches!(call.target, CallTarget::Server { facts, .. } if facts.policy == Policy::Deny)
                    })
                    .map(|call| call.id)
                    .collect(),
                _ => std::collections::HashSet::new(),
            };
            let recovered = matches!(event, Event::Recovered { .. });
            let ended = matches!(state.phase, Phase::Finished { .. });
            let (after, effects) = step(state, event);
            prop_assert!(!ended || effects.is_empty(), "a finished run wants nothing");
            prop_assert!(recovered || !read || after.read_foreign_text, "what was read is never unread");
            for effect in &effects {
                match effect {
                    Effect::RunTool { call } => {
                        prop_assert!(!denied.contains(call), "a tool that is switched off ran");
                        *sent.entry(*call).or_default() += 1;
                        for row in ledger.iter_mut().filter(|(id, _)| id == call) { row.1 = Recorded::Started; }
                    }
                    Effect::Settle { call, .. } => *results.entry(*call).or_default() += 1,
                    _ => {}
                }
            }
            if let Phase::Acting { calls } = &after.phase {
                for call in calls.iter().filter(|call| call.status == CallStatus::Settled) {
                    for row in ledger.iter_mut().filter(|(id, _)| *id == call.id) { row.1 = Recorded::Settled; }
                }
                let idle = !calls.iter().any(|call| call.status == CallStatus::Started);
                prop_assert_eq!(idle, effects.contains(&Effect::Wait) || (idle && effects.is_empty()));
            }
            state = after;
            if saves {
                saved = state.clone();
            }
        }
        for (call, count) in &sent {
            prop_assert!(*count == 1 || !unsafe_calls.contains(call), "an unsafe call was sent {} times", count);
        }
        for (call, count) in &results {
            prop_assert_eq!(*count, 1, "call {} has {} results", call, count);
        }
        if matches!(state.phase, Phase::Finished { .. } | Phase::Thinking) {
            for call in sent.keys() {
                prop_assert!(results.contains_key(call), "a sent call has no result");
            }
        }
    }
}
