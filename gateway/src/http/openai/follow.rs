//! One run as it goes: what is live from the hub, what was missed from the store. Whoever listens
//! hears each event of the run once and in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::Role;
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::{Event, EventBody, FinishedOutcome, Live, RunStateName};
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_engine::events::replay;

use super::failure::Failure;
use super::visible::{Grown, Visible};

/// What a response is made of.
#[derive(Debug)]
pub(super) enum Heard {
    Text(String),
    /// The run waits for a person or for the caller; whether it still does is for the store to say.
    Waits,
    Finished(Usage),
    /// The run is over, or stands still until a person helps.
    Failed(Failure),
    /// The run goes on, but this response cannot.
    Cut(Failure),
}

/// Whose run, and where it is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) engine: Engine,
    pub(super) owner: Owner,
    pub(super) thread: ThreadId,
    pub(super) run: RunId,
}

pub(super) struct Follower {
    place: Place,
    subscription: Subscription,
    /// The number of the newest event that was heard of.
    seen: i64,
    /// There may be newer events in the store than were heard of.
    behind: bool,
    events: VecDeque<Event>,
    visible: Visible,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Place {
    pub(super) fn subscribe(&self) -> Subscription {
        self.engine.hub().subscribe(&self.owner, Interest::Run(self.run))
    }
}

impl Follower {
    /// Hears what comes after event `seen`. `subscription` is older than that; else see
    /// [`Follower::late`].
    pub(super) fn new(
        place: Place,
        subscription: Subscription,
        seen: i64,
        revoked: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            place,
            subscription,
            seen,
            behind: false,
            events: VecDeque::new(),
            visible: Visible::default(),
            revoked: Box::pin(revoked),
        }
    }

    /// The subscription began late: reads the store first.
    pub(super) fn late(mut self) -> Self {
        self.behind = true;
        self
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What comes next. May be dropped and called again; nothing is lost.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(event) = self.events.pop_front() {
                match self.read(&event) {
                    Some(heard) => return heard,
                    None => continue,
                }
            }
            if self.behind {
                if let Err(failure) = self.catch_up().await {
                    return Heard::Cut(failure);
                }
                continue;
            }
            let stopping = self.place.engine.supervisor().stopping().clone();
            tokio::select! {
                biased;
                live = self.subscription.next() => match live {
                    Some(Live::Delta(delta)) => {
                        if let Some(heard) = told(self.visible.piece(&delta)) {
                            return heard;
                        }
                    }
                    Some(Live::Durable { events, .. }) => self.take(events.iter().cloned()),
                    // A client that reads slowly, or a hint that was lost: the store has it all.
                    None => {
                        self.subscription = self.place.subscribe();
                        self.behind = true;
                    }
                },
                () = &mut self.revoked => return Heard::Cut(Failure::revoked()),
                () = stopping.cancelled() => return Heard::Cut(Failure::stopping()),
                // Another replica may have the run, and its hint may be lost.
                () = tokio::time::sleep(limits::STREAM_KEEP_ALIVE) => self.behind = true,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Failure> {
        let (thread, seen) = (self.place.thread, self.seen);
        let page = self
            .place
            .engine
            .store()
            .scoped(&self.place.owner, async |tx| replay::page(tx, thread, seen).await)
            .await?;
        self.behind = i64::try_from(page.len()).is_ok_and(|read| read >= limits::REPLAY_PAGE);
        self.take(page.into_iter());
        Ok(())
    }

    fn take(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            if event.seq > self.seen {
                self.seen = event.seq;
                if event.run_id == Some(self.place.run) {
                    self.events.push_back(event);
                }
            }
        }
    }

    fn read(&mut self, event: &Event) -> Option<Heard> {
        match &event.body {
            EventBody::Answer => {
                let answer = event.messages.iter().find(|message| message.role == Role::Assistant)?;
                told(self.visible.answer(answer.id, &answer.text()))
            }
            EventBody::RunState { state: RunStateName::Waiting, .. } => Some(Heard::Waits),
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
            | EventBody::RunState { state: RunStateName::Queued | RunStateName::Running, .. }
            | EventBody::ToolResult
            | EventBody::ApprovalRequested { .. }
            | EventBody::ApprovalDecided { .. }
            | EventBody::ThreadChanged { .. }
            | EventBody::MessagesCopied { .. } => None,
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
