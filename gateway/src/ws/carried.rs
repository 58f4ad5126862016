//! What one socket has sent of each thread, and so what it must send next. Pure: it neither reads nor writes.

use std::cmp::Ordering;
use std::collections::HashMap;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::Role;
use adjutant_engine::events::event::{Delta, Event, EventBody, Progress};

use crate::wire::expand::{self, Has};
use crate::wire::server::{EventFrame, ServerFrame};

#[derive(Default)]
pub(super) struct Carried {
    threads: HashMap<ThreadId, Cursor>,
}

#[derive(Default)]
struct Cursor {
    /// The number of the last event that was sent; `None`: the next one begins.
    last: Option<i64>,
    /// The store is being read: what arrives live meanwhile is in the store, or will be sent from it.
    replaying: bool,
    answer: Option<Answer>,
    /// The last answer that was announced: pieces of it that come late are void.
    announced: Option<MessageId>,
    /// The last run that ended: so are pieces of its answer.
    ended: Option<RunId>,
}

/// What was sent of the answer that is being written.
struct Answer {
    message: MessageId,
    attempt: u64,
    text: Sent,
    thinking: Sent,
    /// Its beginning was sent and its end was not.
    is_thinking_open: bool,
}

/// What was sent of a text that grows.
struct Sent {
    begun: bool,
    /// `false`: its beginning was missed, nothing of it is sent until it is committed.
    whole: bool,
    /// UTF-16 code units.
    length: usize,
    /// Of the text sent, to compare it with the committed one.
    hash: crc32fast::Hasher,
}

/// What became of a durable event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    Carried,
    /// Events before it were missed: the store must be read.
    Gap,
}

impl Carried {
    /// The thread is to be sent from the event after `last` on, from the store first.
    pub(super) fn replay(&mut self, thread: ThreadId, last: i64) {
        self.forget_quiet();
        self.threads.insert(thread, Cursor { last: Some(last), replaying: true, ..Cursor::default() });
    }

    /// Where the replay of a thread is; `None`: it is not being replayed.
    pub(super) fn replayed(&self, thread: ThreadId) -> Option<i64> {
        self.threads.get(&thread).filter(|cursor| cursor.replaying).and_then(|cursor| cursor.last)
    }

    /// Everything in the store was sent. `writing` is what had been written of an answer before the store was read.
    pub(super) fn replay_ended(&mut self, thread: ThreadId, writing: Option<&Delta>, out: &mut Vec<String>) {
        let Some(cursor) = self.threads.get_mut(&thread) else { return };
        cursor.replaying = false;
        if let Some(writing) = writing {
            cursor.piece(writing, |_| None, out);
        }
    }

    /// The thread is not carried: it is unknown.
    pub(super) fn forget(&mut self, thread: ThreadId) {
        self.threads.remove(&thread);
    }

    /// A committed event, live.
    pub(super) fn live(&mut self, thread: ThreadId, event: &Event, out: &mut Vec<String>) -> Took {
        self.forget_quiet();
        let cursor = self.threads.entry(thread).or_default();
        let last = *cursor.last.get_or_insert(event.seq - 1);
        if cursor.replaying {
            return Took::Carried;
        }
        if event.seq > last + 1 {
            cursor.replaying = true;
            return Took::Gap;
        }
        if event.seq == last + 1 {
            cursor.send(thread, event, out);
        } else if cursor.answer.as_ref().is_some_and(|answer| announces(event, answer.message)) {
            // The client knew this event when it resumed, and yet was told that the answer is being written: the event
            // was committed then, but not published. Sent again without its number it ends the answer.
            let has = cursor.settle(thread, event, out);
            write(expand::durable(thread, event, has).into_iter().map(|frame| EventFrame { seq: None, ..frame }), out);
        }
        Took::Carried
    }

    /// An event from the store, during a replay.
    pub(super) fn stored(&mut self, thread: ThreadId, event: &Event, out: &mut Vec<String>) {
        if let Some(cursor) = self.threads.get_mut(&thread).filter(|cursor| cursor.last < Some(event.seq)) {
            cursor.send(thread, event, out);
        }
    }

    /// A piece of an answer. `so_far` gives the answer from its beginning, if that was missed.
    pub(super) fn piece(
        &mut self,
        delta: &Delta,
        so_far: impl FnOnce(ThreadId) -> Option<Delta>,
        out: &mut Vec<String>,
    ) {
        self.threads.entry(delta.thread).or_default().piece(delta, so_far, out);
    }

    /// A piece of what is thought before an answer.
    pub(super) fn thought(
        &mut self,
        delta: &Delta,
        so_far: impl FnOnce(ThreadId) -> Option<Delta>,
        out: &mut Vec<String>,
    ) {
        if let Some(answer) = self.threads.entry(delta.thread).or_default().answer_of(delta) {
            answer.add_thinking(delta, so_far, out);
        }
    }

    /// How far a tool call is. Of interest only while nothing older is on its way.
    pub(super) fn progress(&mut self, progress: &Progress, out: &mut Vec<String>) {
        let cursor = self.threads.get(&progress.thread);
        if !cursor.is_some_and(|cursor| cursor.replaying || cursor.ended == Some(progress.run)) {
            write(std::iter::once(expand::progress(progress)), out);
        }
    }

    fn forget_quiet(&mut self) {
        if self.threads.len() >= limits::WS_THREADS {
            self.threads.retain(|_, cursor| cursor.replaying || cursor.answer.is_some());
        }
    }
}

impl Cursor {
    fn send(&mut self, thread: ThreadId, event: &Event, out: &mut Vec<String>) {
        let has = self.settle(thread, event, out);
        self.last = Some(event.seq);
        write(expand::durable(thread, event, has).into_iter(), out);
    }

    /// Takes note of a committed event. Says what the client has of the answer that it announces.
    fn settle(&mut self, thread: ThreadId, event: &Event, out: &mut Vec<String>) -> Has {
        if event.body.ends_run() {
            self.ended = event.run_id;
            if let (Some(mut answer), Some(run)) = (self.answer.take(), event.run_id) {
                answer.close_thinking(thread, run, out);
            }
        }
        if event.body != EventBody::Answer {
            return Has::Nothing;
        }
        let mut has = Has::Nothing;
        for message in event.messages.iter().filter(|message| message.role == Role::Assistant) {
            self.announced = Some(message.id);
            if let (Some(mut answer), Some(run)) = (self.answer.take(), event.run_id)
                && answer.message == message.id
            {
                answer.close_thinking(thread, run, out);
                let thinking = expand::thinking_of(message);
                has = match (answer.text.is_all_of(&message.text()), answer.thinking.is_all_of(&thinking)) {
                    (true, true) => Has::All,
                    (true, false) => Has::AllText,
                    (false, true) => Has::AllThinking,
                    (false, false) => Has::Nothing,
                };
            }
        }
        has
    }

    fn piece(&mut self, delta: &Delta, so_far: impl FnOnce(ThreadId) -> Option<Delta>, out: &mut Vec<String>) {
        if let Some(answer) = self.answer_of(delta) {
            answer.add_text(delta, so_far, out);
        }
    }

    /// The answer that a piece belongs to; `None` for a piece that is void.
    fn answer_of(&mut self, delta: &Delta) -> Option<&mut Answer> {
        if self.replaying || self.announced == Some(delta.message) || self.ended == Some(delta.run) {
            return None;
        }
        let known = |answer: &Answer| (answer.message, answer.attempt) == (delta.message, delta.attempt);
        if !self.answer.as_ref().is_some_and(known) {
            let (message, attempt) = (delta.message, delta.attempt);
            let (text, thinking) = (Sent::nothing(), Sent::nothing());
            self.answer = Some(Answer { message, attempt, text, thinking, is_thinking_open: false });
        }
        self.answer.as_mut()
    }
}

impl Answer {
    fn add_text(&mut self, delta: &Delta, so_far: impl FnOnce(ThreadId) -> Option<Delta>, out: &mut Vec<String>) {
        self.close_thinking(delta.thread, delta.run, out);
        if self.text.begun {
            return self.text.extend(delta, expand::written, out);
        }
        match self.text.begin(delta, so_far) {
            Some(first) => {
                write(std::iter::once(expand::begun(&first)), out);
                self.text.extend(&first, expand::written, out);
            }
            None => self.text.whole = false,
        }
    }

    /// What is thought after the text began is sent when it is committed.
    fn add_thinking(&mut self, delta: &Delta, so_far: impl FnOnce(ThreadId) -> Option<Delta>, out: &mut Vec<String>) {
        if self.text.begun {
            self.thinking.whole = false;
        } else if self.thinking.begun {
            self.thinking.extend(delta, expand::thought, out);
        } else {
            match self.thinking.begin(delta, so_far) {
                Some(first) => {
                    self.is_thinking_open = true;
                    write(expand::thinking_begun(&first).into_iter(), out);
                    self.thinking.extend(&first, expand::thought, out);
                }
                None => self.thinking.whole = false,
            }
        }
    }

    fn close_thinking(&mut self, thread: ThreadId, run: RunId, out: &mut Vec<String>) {
        if std::mem::take(&mut self.is_thinking_open) {
            write(expand::thinking_ended(thread, run, self.message).into_iter(), out);
        }
    }
}

impl Sent {
    fn nothing() -> Self {
        Self { begun: false, whole: true, length: 0, hash: crc32fast::Hasher::new() }
    }

    /// The first piece to send: all that there is, if the beginning was missed and is known.
    fn begin(&mut self, delta: &Delta, so_far: impl FnOnce(ThreadId) -> Option<Delta>) -> Option<Delta> {
        self.begun = true;
        if delta.offset == 0 {
            return Some(delta.clone());
        }
        so_far(delta.thread).filter(|before| (before.message, before.attempt) == (delta.message, delta.attempt))
    }

    fn extend(
        &mut self,
        delta: &Delta,
        frame: impl for<'a> Fn(&Delta, usize, &'a str) -> EventFrame<'a>,
        out: &mut Vec<String>,
    ) {
        if !self.whole {
            return;
        }
        let fresh = match delta.offset.cmp(&self.length) {
            Ordering::Greater => {
                self.whole = false;
                return;
            }
            Ordering::Equal => &*delta.text,
            Ordering::Less => skip_units(&delta.text, self.length - delta.offset),
        };
        if fresh.is_empty() {
            return;
        }
        write(std::iter::once(frame(delta, self.length, fresh)), out);
        self.length += fresh.encode_utf16().count();
        self.hash.update(fresh.as_bytes());
    }

    fn is_all_of(&self, text: &str) -> bool {
        self.begun
            && self.whole
            && self.length == text.encode_utf16().count()
            && self.hash.clone().finalize() == crc32fast::hash(text.as_bytes())
    }
}

fn announces(event: &Event, message: MessageId) -> bool {
    event.messages.iter().any(|announced| announced.id == message)
}

fn write<'a>(frames: impl Iterator<Item = EventFrame<'a>>, out: &mut Vec<String>) {
    out.extend(frames.map(|frame| ServerFrame::Event(frame).to_text()));
}

/// The text behind its first `units` UTF-16 code units.
fn skip_units(text: &str, units: usize) -> &str {
    let mut skipped = 0;
    for (index, c) in text.char_indices() {
        if skipped >= units {
            return &text[index..];
        }
        skipped += c.len_utf16();
    }
    ""
}

#[cfg(test)]
mod tests;
