//! Threads that must be read from the store: those a client resumes, and those in which live events were missed. One
//! page at a time, so that other threads are heard meanwhile.

use std::collections::VecDeque;

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::Event;
use adjutant_engine::events::hub::Subscription;
use adjutant_engine::events::replay;
use adjutant_store::error::StoreError;
use adjutant_store::threads;

use super::carried::Carried;
use super::link::Close;
use super::requests::error;

#[derive(Default)]
pub(super) struct Replays {
    waiting: VecDeque<(ThreadId, Cause)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The client named it; whether it exists is not known yet.
    Named,
    /// It goes on: the client has all before it.
    Further,
}

/// What a read found.
enum Found {
    Page(Vec<Event>),
    /// The client claims to have seen more than there is.
    Ahead,
}

impl Replays {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Starts what a resume frame asks for. The threads are heard from now on, even those that are hidden.
    pub(super) fn resume(
        &mut self,
        threads: &[(ThreadId, i64)],
        subscription: &Subscription,
        carried: &mut Carried,
        out: &mut Vec<String>,
    ) {
        if subscription.named_with(threads.iter().map(|(thread, _)| *thread)) > limits::WS_NAMED_THREADS {
            let message = format!("this socket has named more than {} threads; open another", limits::WS_NAMED_THREADS);
            out.push(error("too_many_threads", &message, None));
            return;
        }
        for (thread, seq) in threads {
            subscription.name(*thread);
            carried.replay(*thread, *seq);
            self.waiting.retain(|(waiting, _)| waiting != thread);
            self.waiting.push_back((*thread, Cause::Named));
        }
    }

    /// Live events of the thread were missed.
    pub(super) fn catch_up(&mut self, thread: ThreadId) {
        self.waiting.push_back((thread, Cause::Further));
    }

    /// Reads the next page of the first thread that waits.
    pub(super) async fn step(
        &mut self,
        engine: &Engine,
        owner: &Owner,
        subscription: &Subscription,
        carried: &mut Carried,
        out: &mut Vec<String>,
    ) -> Result<(), Close> {
        let Some((thread, cause)) = self.waiting.pop_front() else { return Ok(()) };
        let Some(after) = carried.replayed(thread) else { return Ok(()) };
        // Before the store is read: if the answer is committed by then, what is read voids this.
        let writing = engine.hub().answer_so_far(owner, thread);
        let thinking = engine.hub().thinking_so_far(owner, thread);
        let found = engine
            .store()
            .scoped(owner, async |tx| {
                if cause == Cause::Named && threads::last_seq(tx, thread).await? < after {
                    return Ok(Found::Ahead);
                }
                replay::page(tx, thread, after).await.map(Found::Page)
            })
            .await;
        let mut drop_thread = |code, sentence: &str| {
            subscription.forget(thread);
            carried.forget(thread);
            out.push(error(code, &format!("{sentence}: {thread}"), None));
        };
        match found {
            Ok(Found::Page(events)) => {
                for event in &events {
                    carried.stored(thread, event, out);
                }
                if i64::try_from(events.len()).is_ok_and(|count| count >= limits::REPLAY_PAGE) {
                    self.waiting.push_back((thread, Cause::Further));
                } else {
                    carried.replay_ended(thread, writing.as_ref(), out);
                    if let Some(thinking) = &thinking {
                        carried.thought(thinking, |_| None, out);
                    }
                }
            }
            Ok(Found::Ahead) => drop_thread("seq_ahead", "this thread has no event of that number yet"),
            Err(StoreError::NotFound) => drop_thread("not_found", "there is no such thread"),
            Err(failure) => {
                tracing::warn!(thread.id = %thread, error = ?failure, "a thread could not be read for a socket");
                return Err(Close::UNAVAILABLE);
            }
        }
        Ok(())
    }
}
