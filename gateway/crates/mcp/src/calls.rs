//! The calls of one session that are under way: whom a server's progress and questions belong to, and how
//! long a call may still take. The time of a person who is asked does not count.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use adjutant_core::limits::MCP_QUESTIONS;
use adjutant_core::message::{ForeignText, without_nul};
use adjutant_core::question::{Answer, CallDoor, Question};
use parking_lot::Mutex;
use rmcp::model::{ProgressNotificationParam, ProgressToken, RequestId};
use rmcp::service::InboundStreamOrigin;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::secrets::Secrets;

/// A server's words on how far it is.
const PROGRESS_CHARS: usize = 500;

#[derive(Default)]
pub(crate) struct Calls {
    open: Mutex<HashMap<RequestId, (ProgressToken, Arc<Call>)>>,
    /// Held while a request is handed over and entered here: what its server says first must find it.
    pub(crate) sending: tokio::sync::Mutex<()>,
}

/// One call of a tool, over all its rounds.
pub(crate) struct Call {
    door: CallDoor,
    secrets: Secrets,
    asking: watch::Sender<usize>,
    asked: AtomicUsize,
    ended: CancellationToken,
    /// Nobody waits for it any more.
    abandoned: AtomicBool,
    /// And its server was told.
    told: CancellationToken,
}

impl Call {
    pub(crate) fn new(door: CallDoor, secrets: Secrets) -> Arc<Self> {
        let (asking, asked) = (watch::Sender::new(0), AtomicUsize::new(0));
        let (ended, told) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { door, secrets, asking, asked, ended, abandoned: AtomicBool::new(false), told })
    }

    pub(crate) fn answers(&self) -> bool {
        self.door.is_open()
    }

    /// Asks whoever watches the call. `None` when it asked too often, or with a credential in its words.
    pub(crate) async fn ask(&self, question: Question) -> Option<Answer> {
        if serde_json::to_string(&question).is_ok_and(|text| self.secrets.are_in(&text)) {
            return None;
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MCP_QUESTIONS {
            return None;
        }
        let _asking = Asking::begin(&self.asking);
        let answer = tokio::select! {
            answer = self.door.ask(question) => answer,
            () = self.ended.cancelled() => Answer::Cancel,
        };
        // A server that heard this first would take it for a person's word and go on.
        if self.abandoned.load(Ordering::Acquire) {
            self.told.cancelled().await;
        }
        Some(answer)
    }

    /// Before what the call asks is taken back. To be dropped when its server was told, or cannot be.
    pub(crate) fn abandon(&self) -> DropGuard {
        self.abandoned.store(true, Ordering::Release);
        self.told.clone().drop_guard()
    }
}

struct Asking<'a>(&'a watch::Sender<usize>);

impl<'a> Asking<'a> {
    fn begin(asking: &'a watch::Sender<usize>) -> Self {
        asking.send_modify(|count| *count += 1);
        Self(asking)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// What is left of a call's time.
pub(crate) struct Budget {
    left: Duration,
    asking: watch::Receiver<usize>,
    _ended: DropGuard,
}

impl Budget {
    /// Dropping it takes back the questions of the call.
    pub(crate) fn new(limit: Duration, call: &Call) -> Self {
        Self { left: limit, asking: call.asking.subscribe(), _ended: call.ended.clone().drop_guard() }
    }

    /// `None` when the time is over.
    pub(crate) async fn spend<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = Box::pin(work);
        loop {
            let paused = *self.asking.borrow_and_update() > 0;
            let began = Instant::now();
            let left = self.left;
            let done = tokio::select! {
                biased;
                done = &mut work => Some(Some(done)),
                () = sleep(left), if !paused => Some(None),
                changed = self.asking.changed() => {
                    // The sender lives as long as the call.
                    debug_assert!(changed.is_ok());
                    None
                }
            };
            if !paused {
                self.left = self.left.saturating_sub(began.elapsed());
            }
            if let Some(done) = done {
                return done;
            }
        }
    }
}

impl Calls {
    pub(crate) fn enter(&self, id: RequestId, token: ProgressToken, call: &Arc<Call>) {
        self.open.lock().insert(id, (token, Arc::clone(call)));
    }

    pub(crate) fn leave(&self, id: &RequestId) {
        self.open.lock().remove(id);
    }

    pub(crate) async fn progress(&self, news: ProgressNotificationParam) {
        drop(self.sending.lock().await);
        let call = {
            let open = self.open.lock();
            open.values().find(|(token, _)| *token == news.progress_token).map(|(_, call)| Arc::clone(call))
        };
        if let Some(call) = call {
            let words = |text: String| {
                let text = call.secrets.clean(text);
                ForeignText::new(without_nul(text.chars().take(PROGRESS_CHARS).collect()))
            };
            call.door.progress(news.progress, news.total, news.message.map(words));
        }
    }

    /// The call in whose answer a server asks. Where the transport does not tell, the only one there is.
    pub(crate) async fn asking(&self, origin: Option<&InboundStreamOrigin>) -> Option<Arc<Call>> {
        drop(self.sending.lock().await);
        let open = self.open.lock();
        let call = match origin {
            Some(InboundStreamOrigin::OutboundRequest(id)) => open.get(id),
            Some(InboundStreamOrigin::Unassociated) | None if open.len() == 1 => open.values().next(),
            Some(InboundStreamOrigin::Unassociated) | None => None,
        };
        call.map(|(_, call)| Arc::clone(call))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use adjutant_core::question::CallEvent;

    use super::*;

    fn question() -> Question {
        Question { message: ForeignText::new("?"), fields: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_person_does_not_count() {
        let (door, mut heard) = CallDoor::open();
        let call = Call::new(door, Secrets::default());
        let mut budget = Budget::new(Duration::from_secs(10), &call);
        let work = async {
            sleep(Duration::from_secs(6)).await;
            let answer = call.ask(question()).await;
            sleep(Duration::from_secs(3)).await;
            answer
        };
        let person = async {
            let Some(CallEvent::Asks(_, answer)) = heard.next().await else { panic!("no question") };
            sleep(Duration::from_secs(3_600)).await;
            answer.send(Answer::Decline).unwrap();
        };
        let (answer, ()) = futures::future::join(budget.spend(work), person).await;
        assert_eq!(answer, Some(Some(Answer::Decline)));
        assert_eq!(budget.spend(sleep(Duration::from_secs(2))).await, None);
    }

    #[tokio::test]
    async fn a_call_asks_only_so_often_and_not_after_its_end() {
        let call = Call::new(CallDoor::closed(), Secrets::default());
        for _ in 0..MCP_QUESTIONS {
            assert_eq!(call.ask(question()).await, Some(Answer::Cancel));
        }
        assert_eq!(call.ask(question()).await, None);
        let (door, _heard) = CallDoor::open();
        let call = Call::new(door, Secrets::default());
        drop(Budget::new(Duration::from_secs(1), &call));
        assert_eq!(call.ask(question()).await, Some(Answer::Cancel));
    }
}
