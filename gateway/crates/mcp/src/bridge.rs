//! One owner's connection to one server over time: made on first use, kept warm, made again with
//! growing pauses when it breaks, closed when nobody uses it. One task owns each awake bridge.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adjutant_core::scope::Owner;
use adjutant_core::tool::{ToolError, ToolReply, ToolRequest};
use parking_lot::Mutex;
use rmcp::model::JsonObject;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::Base;
use crate::directory::Pin;
use crate::failure::CallFailure;
use crate::handshake::{Known, open};
use crate::reading;
use crate::session::{Live, Session, follow};
use crate::tools::Entry;

#[derive(Clone)]
pub(crate) enum State {
    /// No task, no connection: never used, unused for long, or stopped.
    Asleep,
    Connecting {
        attempt: u64,
    },
    Ready(Arc<Session>),
    /// The pause after a failed attempt.
    Waiting {
        attempt: u64,
        reason: Arc<str>,
    },
}

pub(crate) struct Bridge {
    known: Arc<Known>,
    owner: Owner,
    base: Arc<Base>,
    /// Ends this bridge for good.
    stop: CancellationToken,
    state: watch::Sender<State>,
    attempts: AtomicU64,
    /// Ends a pause early.
    poke: Notify,
    /// Listings wait for this server. Lost by failing or by being slow, regained by connecting.
    patience: AtomicBool,
    usage: Mutex<Usage>,
}

struct Usage {
    /// Calls that are going on.
    running: usize,
    last: Instant,
    awake: bool,
}

impl Bridge {
    pub(crate) fn new(known: Arc<Known>, owner: Owner, base: Arc<Base>) -> Self {
        Self {
            known,
            owner,
            stop: base.stop.child_token(),
            base,
            state: watch::Sender::new(State::Asleep),
            attempts: AtomicU64::new(0),
            poke: Notify::new(),
            patience: AtomicBool::new(true),
            usage: Mutex::new(Usage { running: 0, last: Instant::now(), awake: false }),
        }
    }

    /// Nobody may use it any more: its server was changed, switched off or removed.
    pub(crate) fn retire(&self) {
        self.stop.cancel();
    }

    pub(crate) fn server(&self) -> &str {
        &self.known.config.name
    }

    /// The connection, or why there is none.
    pub(crate) fn session(&self) -> Result<Arc<Session>, String> {
        match &*self.state.borrow() {
            State::Ready(session) if !session.is_gone() => Ok(Arc::clone(session)),
            State::Waiting { reason, .. } => Err(reason.to_string()),
            State::Asleep => Err("it is not connected".to_owned()),
            State::Connecting { .. } | State::Ready(_) => Err("it is still being connected".to_owned()),
        }
    }

    /// Starts connecting in the background unless that is under way.
    pub(crate) fn wake(self: &Arc<Self>) {
        let mut usage = self.usage.lock();
        usage.last = Instant::now();
        if !usage.awake && !self.stop.is_cancelled() {
            usage.awake = true;
            self.begin_attempt();
            self.base.spawn(Arc::clone(self).run());
        }
    }

    /// Waits for a first connection within the grace; a server that failed or was slow is not
    /// waited for again until it has connected.
    pub(crate) async fn settle(self: &Arc<Self>) {
        self.wake();
        if !self.patience.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| match state {
            State::Ready(session) => !session.is_gone(),
            State::Connecting { .. } => false,
            State::Asleep | State::Waiting { .. } => true,
        });
        if timeout(self.base.options.limits.grace, settled).await.is_err() {
            self.patience.store(false, Ordering::Relaxed);
        }
    }

    /// Waits for a connection, ending a pause early: one attempt, then the reason of its failure.
    pub(crate) async fn connected(self: &Arc<Self>, limit: Duration) -> Result<Arc<Session>, String> {
        self.wake();
        let mut state = self.state.subscribe();
        let mut failed_before = None;
        let wait = async {
            loop {
                let current = state.borrow_and_update().clone();
                match current {
                    State::Ready(session) if !session.is_gone() => return Ok(session),
                    State::Connecting { attempt } => {
                        failed_before.get_or_insert(attempt - 1);
                    }
                    State::Waiting { attempt, reason } => match failed_before {
                        Some(before) if attempt > before => return Err(reason.to_string()),
                        Some(_) => {}
                        None => {
                            failed_before = Some(attempt);
                            self.poke.notify_one();
                        }
                    },
                    State::Asleep if self.base.stop.is_cancelled() => return Err("the gateway is stopping".to_owned()),
                    State::Asleep if self.stop.is_cancelled() => return Err("it was changed or removed".to_owned()),
                    State::Asleep | State::Ready(_) => {}
                }
                if state.changed().await.is_err() {
                    return Err("it is not connected".to_owned());
                }
            }
        };
        timeout(limit, wait).await.unwrap_or_else(|_| Err("it is still being connected".to_owned()))
    }

    pub(crate) async fn call(
        self: &Arc<Self>,
        request: &ToolRequest,
        arguments: JsonObject,
        pins: Option<&HashMap<String, Pin>>,
    ) -> Result<ToolReply, ToolError> {
        let _running = Running::begin(self);
        let limits = &self.base.options.limits;
        let limit = self.known.config.timeout.unwrap_or(request.timeout);
        let server = self.server();
        let mut sent_before = false;
        loop {
            let session = self.connected(limits.grace).await;
            let session = session.map_err(|reason| ToolError::Unavailable(unavailable(server, &reason)))?;
            let tools = session.tools();
            match tools.get(&request.tool) {
                None if request.tool == reading::TOOL && session.offers_resources() => {
                    return Ok(session.read(&arguments, limits).await);
                }
                None => return Err(ToolError::Unavailable(format!("the MCP server {server:?} has no such tool"))),
                // Also when it changed after it was offered.
                Some(entry) if !is_accepted(pins, entry) => {
                    let reason = "defines this tool in a new way, which its owner has not accepted yet";
                    return Err(ToolError::Unavailable(format!("the MCP server {server:?} {reason}")));
                }
                Some(_) => {}
            }
            match session.call(&request.tool, arguments.clone(), limit, request.door.clone()).await {
                Ok(reply) => return Ok(reply),
                // The request certainly did not run: a fresh session may take it, once.
                Err(CallFailure::NotSent(_)) if !sent_before => {
                    sent_before = true;
                    session.gone.cancel();
                }
                Err(CallFailure::NotSent(reason) | CallFailure::Unavailable(reason)) => {
                    return Err(ToolError::Unavailable(unavailable(server, &reason)));
                }
                Err(CallFailure::Refused(reason) | CallFailure::Answered(reason)) => {
                    return Err(ToolError::Refused(reason));
                }
                Err(CallFailure::Lost(reason)) => {
                    return Err(ToolError::Lost(format!("the MCP server {server:?} gave no result: {reason}")));
                }
            }
        }
    }

    fn begin_attempt(&self) {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.send_replace(State::Connecting { attempt });
    }

    async fn run(self: Arc<Self>) {
        let _guard = OnPanic(&self);
        let limits = &self.base.options.limits;
        let mut failures = 0_u32;
        loop {
            let opened = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.stopped(),
                opened = Box::pin(open(&self.known, &self.owner, &self.base)) => opened,
            };
            let (reason, lost) = match opened {
                Ok(live) => {
                    self.patience.store(true, Ordering::Relaxed);
                    let since = Instant::now();
                    match self.serve(live).await {
                        End::Lost(reason) => {
                            if since.elapsed() >= limits.backoff {
                                failures = 0;
                            }
                            (reason, true)
                        }
                        End::Unused => return,
                        End::Stopped => return self.stopped(),
                    }
                }
                Err(reason) => (reason, false),
            };
            tracing::warn!(mcp.server = self.server(), user.id = %self.owner.user, reason, "an MCP server is not connected");
            failures = failures.saturating_add(1);
            // A connection that broke is made again at once; one that keeps breaking is not.
            if !(lost && failures == 1) {
                self.patience.store(false, Ordering::Relaxed);
                self.wait(reason.into());
                let pause = limits.first_backoff.saturating_mul(1 << (failures - 1).min(16)).min(limits.backoff);
                tokio::select! {
                    () = self.stop.cancelled() => return self.stopped(),
                    () = self.poke.notified() => {}
                    () = sleep(pause) => {}
                }
                // A dead server that nobody asks for is left in peace.
                if self.fell_asleep() {
                    return;
                }
            }
            self.begin_attempt();
        }
    }

    fn wait(&self, reason: Arc<str>) {
        let attempt = self.attempts.load(Ordering::Relaxed);
        self.state.send_replace(State::Waiting { attempt, reason });
    }

    async fn serve(&self, mut live: Live) -> End {
        let limits = &self.base.options.limits;
        let session = Arc::clone(&live.session);
        self.state.send_replace(State::Ready(Arc::clone(&session)));
        let mut changes = Box::pin(follow(Arc::clone(&session), limits.backoff));
        let mut listing = Box::pin(relist(&session, limits));
        let end = loop {
            let idle_at = self.usage.lock().last + limits.idle;
            tokio::select! {
                () = self.stop.cancelled() => break End::Stopped,
                reason = live.end() => break End::Lost(reason),
                reason = &mut listing => match reason {
                    // Other calls may be the reason for the silence, and they are worth more.
                    Some(reason) if self.usage.lock().running == 0 => break End::Lost(reason),
                    _ => listing.set(relist(&session, limits)),
                },
                () = sleep_until(idle_at) => if self.fell_asleep() { break End::Unused } else { self.still_used() },
                never = &mut changes => match never {},
            }
        };
        drop(listing);
        let close = live.close(limits.kill_grace);
        match end {
            // The next connection does not wait for the remains of this one.
            End::Lost(_) => self.base.spawn(close),
            End::Stopped | End::Unused => close.await,
        }
        end
    }

    /// Gives up the task if nobody used the bridge for long. Under the same lock as waking, so that
    /// a new user finds either this task or none.
    fn fell_asleep(&self) -> bool {
        let mut usage = self.usage.lock();
        let idle = usage.running == 0 && usage.last.elapsed() >= self.base.options.limits.idle;
        if idle {
            usage.awake = false;
            self.state.send_replace(State::Asleep);
        }
        idle
    }

    fn still_used(&self) {
        let mut usage = self.usage.lock();
        if usage.running > 0 {
            usage.last = Instant::now();
        }
    }

    fn stopped(&self) {
        self.usage.lock().awake = false;
        self.state.send_replace(State::Asleep);
    }
}

/// A bug in the task must not leave the bridge waiting for a task that is gone.
struct OnPanic<'a>(&'a Bridge);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopped();
        }
    }
}

enum End {
    Stopped,
    Unused,
    Lost(String),
}

/// Waits for a change of the tools and reads them. Answers a reason when the server is silent.
async fn relist(session: &Session, limits: &crate::options::Limits) -> Option<String> {
    session.changed.notified().await;
    match session.refresh(limits).await {
        Ok(()) => None,
        Err(failure) if failure.silent => Some(failure.reason),
        Err(failure) => {
            tracing::warn!(reason = failure.reason, "the tools of an MCP server could not be read again");
            None
        }
    }
}

/// Whether the owner knows the tool as it is. Without a directory nobody keeps account.
pub(crate) fn is_accepted(pins: Option<&HashMap<String, Pin>>, entry: &Entry) -> bool {
    let Some(pins) = pins else { return true };
    pins.get(&entry.spec.tool).is_some_and(|pin| pin.accepted == Some(entry.definition.hash))
}

fn unavailable(server: &str, reason: &str) -> String {
    format!("the MCP server {server:?} is not available: {reason}")
}

/// Counts a call, also one whose future is dropped.
struct Running<'a>(&'a Bridge);

impl<'a> Running<'a> {
    fn begin(bridge: &'a Bridge) -> Self {
        let mut usage = bridge.usage.lock();
        usage.running += 1;
        usage.last = Instant::now();
        drop(usage);
        Self(bridge)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut usage = self.0.usage.lock();
        usage.running -= 1;
        usage.last = Instant::now();
    }
}
