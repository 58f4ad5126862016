//! One run as it goes: what is live from the hub, what was missed from the store. Whoever listens hears each event of
//! the run once and in order. The doors that answer with a run put what they hear into their own words.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::{Delta, Event, Live, Progress};
use adjutant_engine::events::hub::{Interest, Subscription};
use adjutant_engine::events::replay;
use adjutant_store::error::StoreError;

#[derive(Debug)]
pub(super) enum Happened {
    /// The model writes.
    Piece(Delta),
    /// The model thinks, before it writes.
    Thought(Delta),
    /// A tool call says how far it is.
    Progress(Arc<Progress>),
    Event(Event),
    /// The run goes on, but whoever listens cannot.
    Cut(Cut),
}

#[derive(Debug)]
pub(super) enum Cut {
    /// The caller's key or session was revoked.
    Revoked,
    /// The server stops.
    Stopping,
    Store(StoreError),
}

/// Whose run, and where it is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) engine: Engine,
    pub(super) owner: Owner,
    pub(super) thread: ThreadId,
    pub(super) run: RunId,
}

pub(super) struct Following {
    place: Place,
    subscription: Subscription,
    /// The number of the newest event that was heard of.
    seen: i64,
    /// There may be newer events in the store than were heard of.
    behind: bool,
    events: VecDeque<Event>,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Place {
    pub(super) fn subscribe(&self) -> Subscription {
        self.engine.hub().subscribe(&self.owner, Interest::Run(self.run))
    }
}

impl Following {
    /// Hears what comes after event `seen`. `subscription` is older than that; else see
    /// [`Following::late`].
    pub(super) fn new(
        place: Place,
        subscription: Subscription,
        seen: i64,
        revoked: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { place, subscription, seen, behind: false, events: VecDeque::new(), revoked: Box::pin(revoked) }
    }

    /// The subscription began late: reads the store first.
    pub(super) fn late(mut self) -> Self {
        self.behind = true;
        self
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The number of the newest event, once [`Following::is_caught_up`].
    pub(super) fn seen(&self) -> i64 {
        self.seen
    }

    /// Whether all events that were heard of are told.
    pub(super) fn is_caught_up(&self) -> bool {
        self.events.is_empty() && !self.behind
    }

    /// There are newer events in the store.
    pub(super) fn look_again(&mut self) {
        self.behind = true;
    }

    /// From now on another run of the thread, from behind event `seen`.
    pub(super) fn turn_to(&mut self, run: RunId, seen: i64) {
        self.place.run = run;
        self.subscription = self.place.subscribe();
        self.events.clear();
        self.seen = seen;
        self.behind = true;
    }

    /// What comes next. May be dropped and called again; nothing is lost.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Happened::Event(event);
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    return Happened::Cut(Cut::Store(error));
                }
                continue;
            }
            let stopping = self.place.engine.supervisor().stopping().clone();
            tokio::select! {
                biased;
                live = self.subscription.next() => match live {
                    Some(Live::Delta(delta)) => return Happened::Piece(delta),
                    Some(Live::Thinking(delta)) => return Happened::Thought(delta),
                    Some(Live::Progress(progress)) => return Happened::Progress(progress),
                    Some(Live::Durable { events, .. }) => self.take(events.iter().cloned()),
                    // A client that reads slowly, or a hint that was lost: the store has it all.
                    None => {
                        self.subscription = self.place.subscribe();
                        self.behind = true;
                    }
                },
                () = &mut self.revoked => return Happened::Cut(Cut::Revoked),
                () = stopping.cancelled() => return Happened::Cut(Cut::Stopping),
                // Another replica may have the run, and its hint may be lost.
                () = tokio::time::sleep(limits::STREAM_KEEP_ALIVE) => self.behind = true,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
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
}
