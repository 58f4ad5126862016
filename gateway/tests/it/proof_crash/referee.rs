//! The referee. It believes the acknowledgements that clients got, and what its own servers counted: nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::arena::Arena;

/// What was promised for a message, or for a further answer to one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ack {
    pub(super) thread: String,
    pub(super) message: String,
    pub(super) run: String,
    pub(super) seq: i64,
}

impl Ack {
    /// Of a frame, or of the answer of a route.
    pub(super) fn of(fields: &Value) -> Option<Self> {
        let text = |name: &str| fields[name].as_str().map(str::to_owned);
        let seq = fields["seq"].as_i64()?;
        Some(Self { thread: text("threadId")?, message: text("messageId")?, run: text("runId")?, seq })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Once,
    Always,
    Deny,
}

impl Decision {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Deny => "deny",
        }
    }
}

/// What must become of a call with an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It asks, and nothing happens before a person said so.
    Asks(Decision),
    /// It may ask, or run at once.
    MayAsk(Decision),
    /// It was allowed for good: it does not ask.
    Free,
}

impl Rule {
    fn decision(self) -> Decision {
        match self {
            Self::Asks(decision) | Self::MayAsk(decision) => decision,
            Self::Free => Decision::Once,
        }
    }
}

/// A call, known by the key in its arguments.
#[derive(Debug, Clone)]
struct Call {
    rule: Rule,
    approval: Option<String>,
    /// The person's words have left; they may have arrived.
    said: bool,
    /// They are acknowledged.
    decided: bool,
}

#[derive(Default)]
pub(super) struct Referee {
    /// By `clientMessageId`.
    acks: Mutex<BTreeMap<String, Ack>>,
    calls: Mutex<HashMap<String, Call>>,
    /// Calls that a crash found between their acknowledged decision and their effect.
    held_up: Mutex<BTreeSet<String>>,
    /// Effects that happened, and whose result a crash took.
    unknown: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl Referee {
    pub(super) fn fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
    }

    pub(super) fn check(&self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.fault(fault());
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }

    /// How many messages, edits and further answers were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acks.lock().unwrap().len()
    }

    /// How many decisions were.
    pub(super) fn decided(&self) -> usize {
        self.calls.lock().unwrap().values().filter(|call| call.decided).count()
    }

    pub(super) fn note(&self, id: &str, ack: &Ack) {
        let before = self.acks.lock().unwrap().insert(id.to_owned(), ack.clone());
        let same = before.as_ref().is_none_or(|before| before == ack);
        self.check(same, || format!("{id} was acknowledged twice: {before:?}, then {ack:?}"));
    }

    /// Before the message that leads to the call is sent.
    pub(super) fn expect(&self, key: String, rule: Rule) {
        let call = Call { rule, approval: None, said: false, decided: false };
        self.calls.lock().unwrap().insert(key, call);
    }

    /// The call asks: an event says so. Answers what the person decides; `None` when that is acknowledged.
    pub(super) fn asked(&self, approval: &str, key: &str) -> Option<Decision> {
        let mut calls = self.calls.lock().unwrap();
        let Some(call) = calls.get_mut(key) else {
            drop(calls);
            self.fault(format!("{key} asks, and nobody wanted it"));
            return None;
        };
        let known = call.approval.get_or_insert_with(|| approval.to_owned()).clone();
        let (rule, decided) = (call.rule, call.decided);
        call.said |= !decided;
        drop(calls);
        self.check(rule != Rule::Free, || format!("{key} asks, although it was allowed for good"));
        self.check(known == approval, || format!("{key} is asked again under another id, decided: {decided}"));
        (!decided).then(|| rule.decision())
    }

    /// The call is shown as waiting for the person, who says it again where that was lost.
    pub(super) fn waits(&self, approval: &str, key: &str) -> Option<Decision> {
        let decision = self.asked(approval, key);
        self.check(decision.is_some(), || format!("{key} is asked again after its acknowledged decision"));
        decision.or_else(|| self.calls.lock().unwrap().get(key).map(|call| call.rule.decision()))
    }

    /// The person's words were acknowledged. Says whether that is news.
    pub(super) fn decide(&self, approval: &str, said: &str) -> bool {
        let mut calls = self.calls.lock().unwrap();
        let Some((key, call)) = calls.iter_mut().find(|(_, call)| call.approval.as_deref() == Some(approval)) else {
            return false;
        };
        let (key, wanted, news) = (key.clone(), call.rule.decision(), !call.decided);
        call.decided = true;
        drop(calls);
        self.check(wanted.as_str() == said, || format!("{key} was decided with {wanted:?}, and is {said}"));
        news
    }

    /// Whether the person's words about a call have left, and whether they were acknowledged.
    pub(super) fn words(&self, key: &str) -> (bool, bool) {
        self.calls.lock().unwrap().get(key).map_or((false, false), |call| (call.said, call.decided))
    }

    /// Between two lives: which calls were allowed, and had no effect yet.
    pub(super) fn look_between(&self, effects: &HashMap<String, u32>) {
        let calls = self.calls.lock().unwrap();
        let is_between = |(key, call): &(&String, &Call)| {
            call.decided && call.rule.decision() != Decision::Deny && !effects.contains_key(*key)
        };
        self.held_up.lock().unwrap().extend(calls.iter().filter(is_between).map(|(key, _)| key.clone()));
    }

    /// How many effects came in a later life of the server than their decision.
    pub(super) fn late_effects(&self, effects: &HashMap<String, u32>) -> usize {
        self.held_up.lock().unwrap().iter().filter(|key| effects.contains_key(*key)).count()
    }

    pub(super) fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Compares what happened at the tools with what people said.
    pub(super) fn judge_effects(&self, effects: &HashMap<String, u32>) {
        for (key, count) in effects {
            self.check(*count == 1, || format!("the effect {key} happened {count} times"));
            let call = self.calls.lock().unwrap().get(key).cloned();
            let Some(call) = call else {
                self.fault(format!("the effect {key} happened, and nobody wanted it"));
                continue;
            };
            let denied = call.said && call.rule.decision() == Decision::Deny;
            self.check(!denied, || format!("the effect {key} happened, although it was denied"));
            let unsaid = !call.said && matches!(call.rule, Rule::Asks(_));
            self.check(!unsaid, || format!("the effect {key} happened before anybody allowed it"));
        }
    }

    /// Compares what was acknowledged with what can be read afterwards.
    pub(super) async fn audit(&self, arena: &Arena, effects: &HashMap<String, u32>) {
        self.judge_effects(effects);
        let acks = self.acks.lock().unwrap().clone();
        let threads: BTreeSet<&str> = acks.values().map(|ack| ack.thread.as_str()).collect();
        for thread in threads {
            let messages = arena.messages(thread).await;
            self.judge_tree(arena, thread, &messages).await;
            for (id, ack) in acks.iter().filter(|(_, ack)| ack.thread == thread) {
                self.judge_message(&messages, id, ack);
            }
        }
        for (id, ack) in &acks {
            self.judge_run(arena, id, ack, effects).await;
        }
        let open = arena.all("/api/approvals?state=pending").await;
        self.check(open.is_empty(), || format!("all runs have ended, and these still ask: {open:?}"));
    }

    /// The acknowledged message is there once. A further answer brings none: it names the one that it answers.
    fn judge_message(&self, messages: &[Value], id: &str, ack: &Ack) {
        let found: Vec<&Value> = messages.iter().filter(|message| message["clientMessageId"] == *id).collect();
        let named = messages.iter().filter(|message| message["id"] == *ack.message).count();
        match (found.len(), named) {
            (1, 1) if found[0]["id"] == *ack.message => {}
            (0, 1) if is_again(id) => {}
            (0, _) => self.fault(format!("the acknowledged message {id} is lost")),
            (count, _) => self.fault(format!("the acknowledged message {id} is there {count} times or has another id")),
        }
    }

    async fn judge_run(&self, arena: &Arena, id: &str, ack: &Ack, effects: &HashMap<String, u32>) {
        let run = arena.get(&format!("/api/runs/{}", ack.run)).await.body;
        let state = run["state"].as_str().unwrap_or("none");
        let ended = ["succeeded", "failed", "cancelled", "discarded"].contains(&state);
        self.check(ended, || format!("the run of {id} is {state}"));
        for step in run["steps"].as_array().into_iter().flatten().filter(|step| step["tool"] == "effect") {
            let key = step["arguments"]["key"].as_str().unwrap_or_default();
            let count = effects.get(key).copied().unwrap_or(0);
            let told = step["state"].as_str().unwrap_or_default();
            let fits = matches!((told, count), ("succeeded", 1) | ("unknown", _) | ("failed" | "denied", 0));
            self.check(fits, || format!("{key}: the run says {told}, the tool counted {count}"));
            self.unknown.fetch_add(usize::from((told, count) == ("unknown", 1)), Ordering::Relaxed);
            if let (Some(approval), Some(decision)) =
                (step["approval"]["id"].as_str(), step["approval"]["decision"].as_str())
            {
                self.decide(approval, decision);
            }
            let (_, decided) = self.words(key);
            let kept = !decided || !step["approval"]["decision"].is_null();
            self.check(kept, || format!("the acknowledged decision about {key} is lost: {}", step["approval"]));
        }
    }

    /// Parents are there, siblings are those with the same parent, and the head is a message of the thread.
    pub(super) async fn judge_tree(&self, arena: &Arena, thread: &str, messages: &[Value]) {
        let ids: BTreeSet<&str> = messages.iter().filter_map(|message| message["id"].as_str()).collect();
        self.check(ids.len() == messages.len(), || format!("a message of the thread {thread} is there twice"));
        for message in messages {
            let parent = &message["parentId"];
            let is_rooted = parent.is_null() || parent.as_str().is_some_and(|parent| ids.contains(parent));
            self.check(is_rooted, || format!("the parent of {message} is not there"));
            let beside: Vec<&Value> =
                messages.iter().filter(|other| other["parentId"] == *parent).map(|other| &other["id"]).collect();
            let told: Vec<&Value> = message["siblingIds"].as_array().into_iter().flatten().collect();
            self.check(told == beside, || format!("{} has the siblings {beside:?} and names {told:?}", message["id"]));
        }
        let head = arena.get(&format!("/api/threads/{thread}")).await.body["headId"].clone();
        let is_there = head.as_str().is_some_and(|head| ids.contains(head));
        self.check(is_there, || format!("the head {head} of the thread {thread} is no message of it"));
    }
}

/// The ids under which further answers are asked for.
pub(super) fn is_again(id: &str) -> bool {
    id.ends_with("again")
}
