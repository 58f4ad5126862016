//! One socket: it carries live events of its scope, reads the store where it must, and answers requests. One task.

use std::mem;

use adjutant_core::limits;
use adjutant_core::scope::{Owner, Scope};
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::Live;
use adjutant_engine::events::hub::{Interest, Subscription};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::carried::{Carried, Took};
use super::link::{Close, Incoming, Link};
use super::pieces::{Kind, Pieces};
use super::replay::Replays;
use super::requests::{Request, Requests};
use crate::wire::client::{BadFrame, ClientFrame};
use crate::wire::server::ServerFrame;

pub(super) struct Session<S> {
    link: Link<S>,
    engine: Engine,
    owner: Owner,
    subscription: Subscription,
    carried: Carried,
    pieces: Pieces,
    replays: Replays,
    requests: Requests,
    /// Frames to be written.
    out: Vec<String>,
    ping: Interval,
    /// Until when events wait for the first frame: a client that resumes with it never sees later events before the ones
    /// it asks for.
    held: Option<Instant>,
    /// Something came since the last ping.
    heard: bool,
    /// Bad frames in a row.
    bad: usize,
}

enum Happened {
    Came(Incoming),
    Live(Live),
    Done(Option<String>),
    PingIsDue,
    MayReplay,
    HeldLongEnough,
    PiecesAreDue,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// Listens from now on: nothing that happens after this is missed.
    pub(super) fn new(link: Link<S>, engine: Engine, scope: Scope) -> Self {
        let owner = scope.owner();
        let mut ping = interval_at(Instant::now() + limits::WS_PING, limits::WS_PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            link,
            subscription: engine.hub().subscribe(&owner, Interest::VisibleThreads),
            requests: Requests::new(engine.clone(), scope),
            engine,
            owner,
            carried: Carried::default(),
            pieces: Pieces::new(Instant::now()),
            replays: Replays::default(),
            out: Vec::new(),
            ping,
            held: Some(Instant::now() + limits::WS_FIRST_FRAME),
            heard: true,
            bad: 0,
        }
    }

    /// Serves the socket until it ends.
    pub(super) async fn run(mut self) {
        let close = loop {
            if let Err(close) = self.turn().await {
                break close;
            }
        };
        tracing::debug!(close.code = close.code, "a socket ends");
        let Self { link, subscription, .. } = self;
        drop(subscription);
        link.close(close).await;
    }

    async fn turn(&mut self) -> Result<(), Close> {
        match self.next().await? {
            Happened::Came(incoming) => self.hear(incoming)?,
            Happened::Live(live) => self.carry(&live),
            Happened::Done(reply) => self.out.extend(reply),
            Happened::PingIsDue => self.keep_alive().await?,
            Happened::HeldLongEnough => self.held = None,
            Happened::PiecesAreDue => {}
            Happened::MayReplay => {
                // What is read tells of the thread's answer anew.
                self.release_pieces();
                let Self { replays, engine, owner, subscription, carried, out, .. } = self;
                replays.step(engine, owner, subscription, carried, out).await?;
            }
        }
        self.carry_what_arrived();
        if self.pieces.are_due(Instant::now()) {
            self.release_pieces();
        }
        if self.out.is_empty() {
            return Ok(());
        }
        self.link.send(&mut self.out).await
    }

    async fn next(&mut self) -> Result<Happened, Close> {
        let Self { link, subscription, pieces, requests, replays, ping, held, .. } = self;
        let has_room = requests.has_room();
        let incoming = async { if has_room { link.receive().await } else { Err(link.ended().await) } };
        tokio::select! {
            incoming = incoming => incoming.map(Happened::Came),
            () = sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => Ok(Happened::HeldLongEnough),
            live = subscription.next(), if held.is_none() => live.map(Happened::Live).ok_or(Close::SLOW),
            () = sleep_until(pieces.due().unwrap_or_else(Instant::now)), if pieces.due().is_some() => Ok(Happened::PiecesAreDue),
            reply = requests.next() => Ok(Happened::Done(reply)),
            _ = ping.tick() => Ok(Happened::PingIsDue),
            () = std::future::ready(()), if !replays.is_empty() => Ok(Happened::MayReplay),
        }
    }

    fn hear(&mut self, incoming: Incoming) -> Result<(), Close> {
        self.heard = true;
        let parsed = match incoming {
            Incoming::Alive => return Ok(()),
            Incoming::Text(text) => ClientFrame::parse(&text),
            Incoming::Binary => Err(BadFrame::invalid("frames are text, not binary")),
        };
        self.held = None;
        self.bad = if parsed.is_ok() { 0 } else { self.bad + 1 };
        if self.bad > limits::WS_BAD_FRAMES {
            return Err(Close::BAD_FRAMES);
        }
        let request = match parsed {
            Ok(ClientFrame::Resume { threads }) => {
                self.replays.resume(&threads, &self.subscription, &mut self.carried, &mut self.out);
                return Ok(());
            }
            Ok(ClientFrame::Ping) => {
                self.out.push(ServerFrame::Pong {}.to_text());
                return Ok(());
            }
            Ok(ClientFrame::Submit(submit)) => Request::Submit(submit),
            Ok(ClientFrame::TryAgain(again)) => Request::TryAgain(again),
            Ok(ClientFrame::Cancel { run }) => Request::Cancel(run),
            Ok(ClientFrame::Decide { approval, decision, reason }) => Request::Decide { approval, decision, reason },
            Ok(ClientFrame::Answer { question, answer }) => Request::Answer { question, answer },
            Err(bad) => Request::Bad(bad),
        };
        self.requests.push(request);
        Ok(())
    }

    fn carry(&mut self, live: &Live) {
        match live {
            Live::Delta(delta) => self.pieces.add(Kind::Text, delta),
            Live::Thinking(delta) => self.pieces.add(Kind::Thinking, delta),
            Live::Progress(progress) => {
                self.release_pieces();
                self.carried.progress(progress, &mut self.out);
            }
            Live::Durable { thread, events } => {
                self.release_pieces();
                for event in events.iter() {
                    if self.carried.live(*thread, event, &mut self.out) == Took::Gap {
                        self.replays.catch_up(*thread);
                    }
                }
            }
        }
    }

    fn release_pieces(&mut self) {
        let Self { engine, owner, carried, pieces, out, .. } = self;
        for (kind, delta) in pieces.take(Instant::now()) {
            match kind {
                Kind::Text => carried.piece(&delta, |thread| engine.hub().answer_so_far(owner, thread), out),
                Kind::Thinking => carried.thought(&delta, |thread| engine.hub().thinking_so_far(owner, thread), out),
            }
        }
    }

    /// What has arrived meanwhile goes out with the same flush, up to a bound.
    fn carry_what_arrived(&mut self) {
        let mut bytes = 0;
        let mut counted = 0;
        while self.held.is_none() && bytes < limits::WS_QUEUE_BYTES && !self.pieces.are_too_many() {
            let Some(live) = self.subscription.try_next() else { return };
            self.carry(&live);
            bytes += self.out[counted..].iter().map(String::len).sum::<usize>();
            counted = self.out.len();
        }
    }

    /// Asks whether the other side is still there; one that said nothing since it was asked last is not.
    async fn keep_alive(&mut self) -> Result<(), Close> {
        let heard = mem::replace(&mut self.heard, !self.requests.has_room());
        if heard { self.link.ping().await } else { Err(Close::SILENT) }
    }
}
