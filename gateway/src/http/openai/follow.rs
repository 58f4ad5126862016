//! One run as a response of this door is made of it: the text that its caller sees, what was thought before it, and
//! what ends it.

use adjutant_core::message::Role;
use adjutant_core::model::Usage;
use adjutant_engine::events::event::{Event, EventBody, FinishedOutcome, RunStateName};

use super::failure::Failure;
use super::visible::{Grown, Thoughts, Visible};
use crate::http::following::{Cut, Following, Happened, Place};

/// What a response is made of.
#[derive(Debug)]
pub(super) enum Heard {
    Text(String),
    /// What the model thinks; no part of the text.
    Thought(String),
    /// The run waits for a person or for the caller; whether it still does is for the store to say.
    Waits,
    /// The tool of this name asks a person, which this door cannot.
    Asks(String),
    Finished(Usage),
    /// The run is over, or stands still until a person helps.
    Failed(Failure),
    /// The run goes on, but this response cannot.
    Cut(Failure),
}

pub(super) struct Follower {
    following: Following,
    visible: Visible,
    thoughts: Thoughts,
    /// What the same event brought behind what was heard of it.
    behind: Option<Heard>,
}

impl Follower {
    pub(super) fn new(following: Following) -> Self {
        Self { following, visible: Visible::default(), thoughts: Thoughts::default(), behind: None }
    }

    pub(super) fn place(&self) -> &Place {
        self.following.place()
    }

    /// What comes next. May be dropped and called again; nothing is lost.
    pub(super) async fn next(&mut self) -> Heard {
        if let Some(heard) = self.behind.take() {
            return heard;
        }
        loop {
            let heard = match self.following.next().await {
                Happened::Piece(delta) => told(self.visible.piece(&delta)),
                Happened::Thought(delta) => self.thoughts.piece(&delta).map(Heard::Thought),
                Happened::Progress(_) => None,
                Happened::Event(event) => self.read(&event),
                Happened::Cut(Cut::Revoked) => Some(Heard::Cut(Failure::revoked())),
                Happened::Cut(Cut::Stopping) => Some(Heard::Cut(Failure::stopping())),
                Happened::Cut(Cut::Store(error)) => Some(Heard::Cut(error.into())),
            };
            if let Some(heard) = heard {
                return heard;
            }
        }
    }

    fn read(&mut self, event: &Event) -> Option<Heard> {
        match &event.body {
            EventBody::Answer => {
                let answer = event.messages.iter().find(|message| message.role == Role::Assistant)?;
                let text = told(self.visible.answer(answer.id, &answer.text()));
                // What of it was not heard while it was thought.
                match self.thoughts.answer(answer) {
                    Some(thought) => {
                        self.behind = text;
                        Some(Heard::Thought(thought))
                    }
                    None => text,
                }
            }
            EventBody::RunState { state: RunStateName::Waiting, .. } => Some(Heard::Waits),
            EventBody::QuestionAsked { name, .. } => Some(Heard::Asks(name.clone())),
            EventBody::RunState { state: RunStateName::Quarantined, reason, .. } => {
                let reason = reason.as_deref().unwrap_or("the run is quarantined");
                Some(Heard::Failed(Failure::quarantined(reason)))
            }
            EventBody::RunFinished { outcome: FinishedOutcome::Success, usage, .. } => Some(Heard::Finished(*usage)),
            EventBody::RunFinished { outcome: FinishedOutcome::Cancelled, .. } => {
                Some(Heard::Failed(Failure::cancelled()))
            }
            EventBody::RunFailed { code, message, .. } => {
                Some(Heard::Failed(Failure::of_run(code.clone(), message.clone())))
            }
            EventBody::RunStarted { .. }
            | EventBody::RunRevised { .. }
            | EventBody::RunState { state: RunStateName::Queued | RunStateName::Running, .. }
            | EventBody::ToolResult
            | EventBody::ApprovalRequested { .. }
            | EventBody::ApprovalDecided { .. }
            | EventBody::ThreadChanged { .. }
            | EventBody::MessagesCopied { .. }
            | EventBody::QuestionAnswered { .. }
            // This door sends no message that joins.
            | EventBody::RunJoined { .. } => None,
        }
    }
}

fn told(grown: Grown) -> Option<Heard> {
    match grown {
        Grown::Nothing => None,
        Grown::By(text) => Some(Heard::Text(text)),
        Grown::Differs => Some(Heard::Cut(Failure::begun_anew())),
    }
}
