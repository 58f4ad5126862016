//! From the worker of a run to whoever listens on this replica. Wake-ups are hints: a listener that
//! falls behind is dropped and reads what it missed from the store.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::event::{Delta, Event, Live, Progress};

#[derive(Default)]
pub struct Hub {
    owners: Mutex<HashMap<Owner, Channel>>,
    order: Mutex<HashMap<ThreadId, Weak<tokio::sync::Mutex<()>>>>,
    /// Numbers the attempts at answers.
    attempts: AtomicU64,
}

#[derive(Default)]
struct Channel {
    listeners: Vec<Listener>,
    answers: HashMap<ThreadId, Answer>,
}

/// An answer that is being written.
struct Answer {
    run: RunId,
    message: MessageId,
    attempt: u64,
    text: String,
    /// Length of `text` in UTF-16 code units.
    length: usize,
    thinking: String,
    thinking_length: usize,
}

struct Listener {
    interest: Interest,
    sender: mpsc::Sender<Live>,
    waiting_bytes: Arc<AtomicUsize>,
    named: Arc<Mutex<HashSet<ThreadId>>>,
}

/// What a listener wants to hear of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// All threads that are not hidden, and hidden ones that are named with [`Subscription::name`].
    VisibleThreads,
    /// One run, wherever it is.
    Run(RunId),
}

/// The receiving end. `None` from [`Subscription::next`] means that it fell behind and was dropped.
pub struct Subscription {
    receiver: mpsc::Receiver<Live>,
    waiting_bytes: Arc<AtomicUsize>,
    named: Arc<Mutex<HashSet<ThreadId>>>,
}

impl Subscription {
    /// From now on this thread is heard even if it is hidden.
    pub fn name(&self, thread: ThreadId) {
        self.named.lock().insert(thread);
    }

    pub fn forget(&self, thread: ThreadId) {
        self.named.lock().remove(&thread);
    }

    /// How many threads would be named with these.
    pub fn named_with(&self, threads: impl Iterator<Item = ThreadId>) -> usize {
        let named = self.named.lock();
        let fresh: HashSet<ThreadId> = threads.filter(|thread| !named.contains(thread)).collect();
        named.len() + fresh.len()
    }

    pub async fn next(&mut self) -> Option<Live> {
        let live = self.receiver.recv().await?;
        self.waiting_bytes.fetch_sub(weight(&live), Ordering::Relaxed);
        Some(live)
    }

    /// What has already arrived, without waiting.
    pub fn try_next(&mut self) -> Option<Live> {
        let live = self.receiver.try_recv().ok()?;
        self.waiting_bytes.fetch_sub(weight(&live), Ordering::Relaxed);
        Some(live)
    }
}

impl Hub {
    pub fn subscribe(&self, owner: &Owner, interest: Interest) -> Subscription {
        let (sender, receiver) = mpsc::channel(limits::WS_QUEUE_FRAMES);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let named = Arc::new(Mutex::new(HashSet::new()));
        let listener =
            Listener { interest, sender, waiting_bytes: Arc::clone(&waiting_bytes), named: Arc::clone(&named) };
        let mut owners = self.owners.lock();
        let listeners = &mut owners.entry(owner.clone()).or_default().listeners;
        listeners.retain(|listener| !listener.sender.is_closed());
        listeners.push(listener);
        drop(owners);
        Subscription { receiver, waiting_bytes, named }
    }

    /// Whether anybody listens for this owner here.
    pub fn has_listeners(&self, owner: &Owner) -> bool {
        self.owners.lock().get(owner).is_some_and(|channel| !channel.listeners.is_empty())
    }

    /// Everybody who has listeners here.
    pub fn owners_listening(&self) -> Vec<Owner> {
        let owners = self.owners.lock();
        owners.iter().filter(|(_, channel)| !channel.listeners.is_empty()).map(|(owner, _)| owner.clone()).collect()
    }

    /// Drops all listeners: something may have been missed, and each reads it from the store.
    pub fn drop_listeners(&self) {
        self.owners.lock().retain(|_, channel| {
            channel.listeners.clear();
            !channel.is_empty()
        });
    }

    /// The lock under which events of a thread are committed and then published, so that this
    /// replica publishes them in the order of their numbers.
    pub fn order_of(&self, thread: ThreadId) -> Arc<tokio::sync::Mutex<()>> {
        let mut order = self.order.lock();
        if let Some(lock) = order.get(&thread).and_then(Weak::upgrade) {
            return lock;
        }
        if order.len() >= SWEEP_AT {
            order.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        order.insert(thread, Arc::downgrade(&lock));
        lock
    }

    /// Committed events. What they announce replaces the answer that was being written.
    pub fn publish(&self, owner: &Owner, thread: ThreadId, hidden: bool, events: Vec<Event>) {
        let mut owners = self.owners.lock();
        let Some(channel) = owners.get_mut(owner) else { return };
        for event in &events {
            let done = channel.answers.get(&thread).is_some_and(|answer| {
                event.messages.iter().any(|message| message.id == answer.message)
                    || (event.run_id == Some(answer.run) && event.body.ends_run())
            });
            if done {
                channel.answers.remove(&thread);
            }
        }
        let live = Live::Durable { thread, events: events.into() };
        channel.send(&live, hidden);
        if channel.is_empty() {
            owners.remove(owner);
        }
    }

    /// A piece of an answer, placed behind what was published of it before.
    pub fn publish_delta(&self, owner: &Owner, place: &Place, text: &str) {
        let mut owners = self.owners.lock();
        let channel = owners.entry(owner.clone()).or_default();
        let answer = channel.answers.entry(place.thread).or_insert_with(|| self.empty_answer(place));
        if answer.message != place.message {
            *answer = self.empty_answer(place);
        }
        let offset = answer.length;
        answer.text.push_str(text);
        answer.length += text.encode_utf16().count();
        if channel.listeners.is_empty() {
            return;
        }
        let delta = Delta {
            thread: place.thread,
            run: place.run,
            message: place.message,
            attempt: answer.attempt,
            offset,
            text: Arc::from(text),
        };
        channel.send(&Live::Delta(delta), place.hidden);
    }

    /// A piece of what the model thinks, placed behind what was published of it before.
    pub fn publish_thinking(&self, owner: &Owner, place: &Place, text: &str) {
        let mut owners = self.owners.lock();
        let channel = owners.entry(owner.clone()).or_default();
        let answer = channel.answers.entry(place.thread).or_insert_with(|| self.empty_answer(place));
        if answer.message != place.message {
            *answer = self.empty_answer(place);
        }
        let offset = answer.thinking_length;
        answer.thinking.push_str(text);
        answer.thinking_length += text.encode_utf16().count();
        if channel.listeners.is_empty() {
            return;
        }
        let delta = Delta {
            thread: place.thread,
            run: place.run,
            message: place.message,
            attempt: answer.attempt,
            offset,
            text: Arc::from(text),
        };
        channel.send(&Live::Thinking(delta), place.hidden);
    }

    /// How far a tool call is, for whoever listens just now.
    pub fn publish_progress(&self, owner: &Owner, progress: Progress, hidden: bool) {
        let mut owners = self.owners.lock();
        if let Some(channel) = owners.get_mut(owner) {
            channel.send(&Live::Progress(Arc::new(progress)), hidden);
            if channel.is_empty() {
                owners.remove(owner);
            }
        }
    }

    /// A worker let go of its run: what it was writing is void.
    pub fn reset_answer(&self, owner: &Owner, thread: ThreadId, run: RunId) {
        let mut owners = self.owners.lock();
        if let Some(channel) = owners.get_mut(owner) {
            if channel.answers.get(&thread).is_some_and(|answer| answer.run == run) {
                channel.answers.remove(&thread);
            }
            if channel.is_empty() {
                owners.remove(owner);
            }
        }
    }

    /// The answer that is being written in a thread, from its beginning.
    pub fn answer_so_far(&self, owner: &Owner, thread: ThreadId) -> Option<Delta> {
        let owners = self.owners.lock();
        let answer = owners.get(owner)?.answers.get(&thread).filter(|answer| !answer.text.is_empty())?;
        Some(answer.whole_delta(thread, &answer.text))
    }

    /// The same of what is thought before it.
    pub fn thinking_so_far(&self, owner: &Owner, thread: ThreadId) -> Option<Delta> {
        let owners = self.owners.lock();
        let answer = owners.get(owner)?.answers.get(&thread).filter(|answer| !answer.thinking.is_empty())?;
        Some(answer.whole_delta(thread, &answer.thinking))
    }

    fn empty_answer(&self, place: &Place) -> Answer {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        Answer {
            run: place.run,
            message: place.message,
            attempt,
            text: String::new(),
            length: 0,
            thinking: String::new(),
            thinking_length: 0,
        }
    }
}

impl Answer {
    fn whole_delta(&self, thread: ThreadId, text: &str) -> Delta {
        let (run, message, attempt) = (self.run, self.message, self.attempt);
        Delta { thread, run, message, attempt, offset: 0, text: Arc::from(text) }
    }
}

/// Where a delta belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub thread: ThreadId,
    pub run: RunId,
    pub message: MessageId,
    pub hidden: bool,
}

const SWEEP_AT: usize = 1_024;

impl Channel {
    /// Hands it to everyone interested; whoever has no room left is dropped.
    fn send(&mut self, live: &Live, hidden: bool) {
        let bytes = weight(live);
        self.listeners.retain(|listener| {
            if !listener.wants(live, hidden) {
                return !listener.sender.is_closed();
            }
            let waiting = listener.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
            // One large entry may wait alone; a queue may not grow past its bound.
            let fits = waiting == 0 || waiting + bytes <= limits::WS_QUEUE_BYTES;
            fits && listener.sender.try_send(live.clone()).is_ok()
        });
    }

    fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.answers.is_empty()
    }
}

impl Listener {
    fn wants(&self, live: &Live, hidden: bool) -> bool {
        match (self.interest, live) {
            (Interest::VisibleThreads, _) => !hidden || self.named.lock().contains(&live.thread()),
            (Interest::Run(run), Live::Delta(delta) | Live::Thinking(delta)) => delta.run == run,
            (Interest::Run(run), Live::Durable { events, .. }) => events.iter().any(|event| event.run_id == Some(run)),
            (Interest::Run(run), Live::Progress(progress)) => progress.run == run,
        }
    }
}

/// Roughly the bytes that an entry keeps waiting.
fn weight(live: &Live) -> usize {
    match live {
        Live::Delta(delta) | Live::Thinking(delta) => delta.text.len() + 64,
        Live::Progress(progress) => progress.message.as_ref().map_or(0, String::len) + 128,
        Live::Durable { events, .. } => events.iter().map(|event| 128 + event.messages.len() * 512).sum(),
    }
}
