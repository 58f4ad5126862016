//! A run as the events of one response. They are those of the socket, under the client's own names of thread and run
//! and without what AG-UI knows no place for: numbers and offsets. A response tells each text once and in order.

use std::collections::{HashSet, VecDeque};

use adjutant_core::ids::MessageId;
use adjutant_core::message::Role;
use adjutant_core::model::Usage;
use adjutant_engine::events::event::{Delta, Event, EventBody, RunStateName};
use adjutant_store::error::StoreError;
use serde_json::{Value, json};

use super::interrupts;
use super::start::Begun;
use crate::http::following::{Cut, Following, Happened};
use crate::http::openai::failure::Failure;
use crate::http::openai::start::Started;
use crate::http::openai::telling::less;
use crate::http::openai::visible::{Grown, Visible};
use crate::problem::Problem;
use crate::wire::expand::{self, Has};

const PROTOCOL: &str = "1.0";

pub(super) struct Telling {
    following: Following,
    before: Usage,
    thread: String,
    run: String,
    /// The answer that is being written, as far as it was told.
    answer: Option<Answer>,
    /// Answers that were told whole: pieces of them that come late are void.
    told: HashSet<MessageId>,
    /// Messages that the client has from before an interrupt.
    has: HashSet<MessageId>,
    /// The run may wait for somebody.
    look: bool,
    /// Written, and not yet sent.
    ready: VecDeque<String>,
    is_over: bool,
}

struct Answer {
    message: MessageId,
    visible: Visible,
    is_open: bool,
}

impl Telling {
    /// `thread` and `run` are the client's names.
    pub(super) fn new(begun: Begun, thread: String, run: String) -> Self {
        let Begun { started: Started { following, before, .. }, resumed } = begun;
        let place = following.place();
        let ours = json!({"adjutant": {"threadId": place.thread, "runId": place.run}});
        let begun = json!({"type": "RUN_STARTED", "threadId": thread, "runId": run, "protocolVersion": PROTOCOL,
            "metadata": ours});
        Self {
            following,
            before,
            thread,
            run,
            answer: None,
            told: HashSet::new(),
            look: resumed.is_some(),
            has: resumed.unwrap_or_default(),
            ready: VecDeque::from([begun.to_string()]),
            is_over: false,
        }
    }

    /// The next event; `None` after the last. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if self.look && self.following.is_caught_up() {
                self.look().await;
                continue;
            }
            match self.following.next().await {
                Happened::Progress(progress) => {
                    let told = serde_json::to_string(&expand::progress(&progress).event).unwrap_or_default();
                    self.ready.push_back(told);
                }
                Happened::Piece(delta) => self.piece(&delta),
                // What was thought comes with the committed answer.
                Happened::Thought(_) => {}
                Happened::Event(event) => self.event(&event),
                Happened::Cut(cut) => self.cut(cut),
            }
        }
    }

    fn piece(&mut self, delta: &Delta) {
        if self.told.contains(&delta.message) {
            return;
        }
        if self.answer.as_ref().is_some_and(|answer| answer.message != delta.message) {
            self.close_answer();
        }
        let answer = self.answer.get_or_insert_with(|| Answer::of(delta.message));
        let grown = answer.visible.piece(delta);
        self.grow(grown);
    }

    /// Tells how the text of the open answer goes on.
    fn grow(&mut self, grown: Grown) {
        let Some(answer) = &mut self.answer else { return };
        let id = answer.message;
        match grown {
            Grown::Nothing => {}
            Grown::By(text) => {
                if !answer.is_open {
                    answer.is_open = true;
                    self.ready.push_back(
                        json!({"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"}).to_string(),
                    );
                }
                self.ready
                    .push_back(json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": text}).to_string());
            }
            Grown::Differs => self.fail(&Failure::begun_anew().into_problem()),
        }
    }

    /// An answer that is not going to be completed.
    fn close_answer(&mut self) {
        if let Some(answer) = self.answer.take().filter(|answer| answer.is_open) {
            let end = json!({"type": "TEXT_MESSAGE_END", "messageId": answer.message, "metadata": {"partial": true}});
            self.ready.push_back(end.to_string());
        }
    }

    fn event(&mut self, event: &Event) {
        match &event.body {
            EventBody::RunStarted { .. } | EventBody::RunRevised { .. } => {}
            EventBody::RunState { state: RunStateName::Waiting, .. } => self.look = true,
            EventBody::QuestionAsked { .. } | EventBody::QuestionAnswered { .. } => {
                self.pass_on(event, Has::Nothing);
                self.look = true;
            }
            // The message is answered by the run that was going, which may wait already.
            EventBody::RunJoined { into, .. } => {
                self.pass_on(event, Has::Nothing);
                self.following.turn_to(*into, event.seq);
                self.look = true;
            }
            EventBody::ToolResult if event.messages.iter().all(|message| self.has.contains(&message.id)) => {}
            EventBody::RunState { state: RunStateName::Quarantined, reason, .. } => {
                let reason = reason.as_deref().unwrap_or("the run is quarantined");
                self.fail(&Failure::quarantined(reason).into_problem());
            }
            EventBody::Answer => self.whole_answer(event),
            EventBody::RunFinished { .. } => {
                self.close_answer();
                self.pass_on(event, Has::Nothing);
                self.is_over = true;
            }
            EventBody::RunFailed { .. } => {
                self.pass_on(event, Has::Nothing);
                self.is_over = true;
            }
            _ => self.pass_on(event, Has::Nothing),
        }
    }

    /// The committed answer: what of its text was not told yet, then its end and its calls.
    fn whole_answer(&mut self, event: &Event) {
        let Some(message) = event.messages.iter().find(|message| message.role == Role::Assistant) else { return };
        if self.answer.as_ref().is_some_and(|answer| answer.message != message.id) {
            self.close_answer();
        }
        let mut has = Has::Nothing;
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.is_open) {
            let grown = answer.visible.answer(message.id, &message.text());
            self.grow(grown);
            has = Has::AllText;
        }
        self.told.insert(message.id);
        self.answer = None;
        if !self.is_over {
            self.pass_on(event, has);
        }
    }

    /// The events of a durable event as the socket would send them, with the client's names.
    fn pass_on(&mut self, event: &Event, has: Has) {
        let thread = self.following.place().thread;
        for frame in expand::durable(thread, event, has) {
            let mut told = serde_json::to_value(&frame.event).unwrap_or_default();
            if told["type"] == "RUN_FINISHED" {
                told["threadId"] = json!(self.thread);
                told["runId"] = json!(self.run);
            }
            self.ready.push_back(told.to_string());
        }
    }

    /// Ends this response when the run waits for somebody, and says for what. All that led there was told.
    async fn look(&mut self) {
        let place = self.following.place();
        let (thread, run, store) = (place.thread, place.run, place.engine.store());
        let standing = store.scoped(&place.owner, async |tx| interrupts::load(tx, thread, run).await).await;
        match standing {
            Ok(standing) if standing.last_seq > self.following.seen() => self.following.look_again(),
            Ok(standing) => {
                self.look = false;
                if let Some(outcome) = standing.outcome() {
                    self.interrupt(&outcome, less(standing.run.usage, self.before));
                }
            }
            // The thread was deleted, which ends the run.
            Err(StoreError::NotFound) => self.look = false,
            Err(error) => self.fail(&Problem::from(&error)),
        }
    }

    fn interrupt(&mut self, outcome: &Value, usage: Usage) {
        self.close_answer();
        let usage = json!({"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens,
            "totalTokens": usage.total(), "cachedInputTokens": usage.cached_input_tokens});
        let end = json!({"type": "RUN_FINISHED", "threadId": self.thread, "runId": self.run, "outcome": outcome,
            "usage": [usage]});
        self.ready.push_back(end.to_string());
        self.is_over = true;
    }

    fn cut(&mut self, cut: Cut) {
        self.fail(&match cut {
            Cut::Revoked => Problem { detail: "the key or session was revoked".into(), ..Problem::unauthorized() },
            Cut::Stopping => Failure::stopping().into_problem(),
            Cut::Store(error) => (&error).into(),
        });
    }

    fn fail(&mut self, problem: &Problem) {
        let error = json!({"type": "RUN_ERROR", "message": problem.detail, "code": problem.code});
        self.ready.push_back(error.to_string());
        self.is_over = true;
    }
}

impl Answer {
    fn of(message: MessageId) -> Self {
        Self { message, visible: Visible::default(), is_open: false }
    }
}
