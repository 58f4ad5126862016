//! Pieces of answers on their way to one socket. A model can write faster than a page can draw: the first piece goes at
//! once, and what comes within a moment of it goes together. Pure: the session says what time it is.

use std::mem;

use adjutant_core::limits;
use adjutant_engine::events::event::Delta;
use tokio::time::Instant;

/// What a piece is a piece of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
}

pub(super) struct Pieces {
    waiting: Vec<Piece>,
    /// Of the text that waits.
    bytes: usize,
    /// When the next ones may go.
    next: Instant,
}

struct Piece {
    kind: Kind,
    first: Delta,
    /// UTF-16 code units of the message up to the end of this piece.
    end: usize,
    /// What came behind the first.
    rest: String,
}

impl Pieces {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), bytes: 0, next: now }
    }

    /// It joins the one before it in its thread, if nothing is between them.
    pub(super) fn add(&mut self, kind: Kind, delta: &Delta) {
        self.bytes += delta.text.len();
        let end = delta.offset + delta.text.encode_utf16().count();
        let before = self.waiting.iter_mut().rev().find(|piece| piece.first.thread == delta.thread);
        match before {
            Some(before) if before.goes_on_with(kind, delta) => {
                before.rest.push_str(&delta.text);
                before.end = end;
            }
            _ => self.waiting.push(Piece { kind, first: delta.clone(), end, rest: String::new() }),
        }
    }

    /// When what waits is to go; `None`: nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Whether it is to go now: it has waited long enough, or is too much to wait.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now) || self.are_too_many()
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.bytes >= limits::WS_QUEUE_BYTES
    }

    /// All that waits, each thread's in its order. Those that come now wait a moment.
    pub(super) fn take(&mut self, now: Instant) -> impl Iterator<Item = (Kind, Delta)> + use<> {
        if !self.waiting.is_empty() {
            self.next = now + limits::WS_PIECES;
        }
        self.bytes = 0;
        mem::take(&mut self.waiting).into_iter().map(Piece::joined)
    }
}

impl Piece {
    fn goes_on_with(&self, kind: Kind, delta: &Delta) -> bool {
        self.kind == kind
            && (self.first.message, self.first.attempt) == (delta.message, delta.attempt)
            && self.end == delta.offset
    }

    fn joined(self) -> (Kind, Delta) {
        let Self { kind, first, rest, .. } = self;
        if rest.is_empty() {
            return (kind, first);
        }
        let text = [&*first.text, &rest].concat().into();
        (kind, Delta { text, ..first })
    }
}

#[cfg(test)]
mod tests {
    use adjutant_core::ids::{MessageId, RunId, ThreadId};

    use super::*;

    struct Answer {
        thread: ThreadId,
        run: RunId,
        message: MessageId,
    }

    impl Answer {
        fn new() -> Self {
            Self { thread: ThreadId::new(), run: RunId::new(), message: MessageId::new() }
        }

        fn piece(&self, attempt: u64, offset: usize, text: &str) -> Delta {
            let Self { thread, run, message } = *self;
            Delta { thread, run, message, attempt, offset, text: text.into() }
        }
    }

    fn taken(pieces: &mut Pieces, now: Instant) -> Vec<(Kind, usize, String)> {
        pieces.take(now).map(|(kind, delta)| (kind, delta.offset, delta.text.to_string())).collect()
    }

    #[test]
    fn the_first_goes_at_once_and_the_next_ones_together() {
        let now = Instant::now();
        let answer = Answer::new();
        let mut pieces = Pieces::new(now);
        assert_eq!(pieces.due(), None);
        pieces.add(Kind::Text, &answer.piece(1, 0, "Grüß "));
        assert!(pieces.are_due(now));
        assert_eq!(taken(&mut pieces, now), [(Kind::Text, 0, "Grüß ".to_owned())]);

        pieces.add(Kind::Text, &answer.piece(1, 5, "dich 🐈"));
        pieces.add(Kind::Text, &answer.piece(1, 12, ", du."));
        assert!(!pieces.are_due(now));
        assert_eq!(pieces.due(), Some(now + limits::WS_PIECES));
        assert!(pieces.are_due(now + limits::WS_PIECES));
        assert_eq!(taken(&mut pieces, now), [(Kind::Text, 5, "dich 🐈, du.".to_owned())]);
        assert_eq!(pieces.due(), None);
    }

    #[test]
    fn what_is_not_the_same_text_stays_apart_and_in_order() {
        let now = Instant::now();
        let (one, other) = (Answer::new(), Answer::new());
        let mut pieces = Pieces::new(now);
        pieces.add(Kind::Thinking, &one.piece(1, 0, "hm"));
        pieces.add(Kind::Text, &other.piece(7, 0, "Good "));
        pieces.add(Kind::Thinking, &one.piece(1, 2, ", well"));
        pieces.add(Kind::Text, &one.piece(1, 0, "Yes"));
        pieces.add(Kind::Text, &other.piece(7, 5, "morning"));
        // The model was asked again.
        pieces.add(Kind::Text, &one.piece(2, 0, "No"));
        // A piece between was missed.
        pieces.add(Kind::Text, &one.piece(2, 9, "!"));
        let expected = [
            (Kind::Thinking, 0, "hm, well"),
            (Kind::Text, 0, "Good morning"),
            (Kind::Text, 0, "Yes"),
            (Kind::Text, 0, "No"),
            (Kind::Text, 9, "!"),
        ];
        let expected = expected.map(|(kind, offset, text)| (kind, offset, text.to_owned()));
        assert_eq!(taken(&mut pieces, now), expected);
    }

    #[test]
    fn too_much_does_not_wait() {
        let now = Instant::now();
        let answer = Answer::new();
        let mut pieces = Pieces::new(now);
        pieces.add(Kind::Text, &answer.piece(1, 0, "a"));
        assert_eq!(pieces.take(now).count(), 1);
        pieces.add(Kind::Text, &answer.piece(1, 1, &"a".repeat(limits::WS_QUEUE_BYTES)));
        assert!(pieces.are_due(now));
    }
}
