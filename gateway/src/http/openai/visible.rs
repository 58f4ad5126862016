//! The text of a run as its caller sees it: the answers of all its model calls, parted by a blank
//! line. A stream and a whole answer come to the same text.

use adjutant_core::ids::MessageId;
use adjutant_core::message::Message;
use adjutant_engine::events::event::Delta;

/// Between the answers of two model calls.
pub(in crate::http) const PART: &str = "\n\n";

/// How the visible text goes on.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Grown {
    Nothing,
    By(String),
    /// The model wrote something else than what was already shown.
    Differs,
}

#[derive(Debug, Default)]
pub(in crate::http) struct Visible {
    /// Text of an earlier message was shown.
    holds_text: bool,
    message: Option<MessageId>,
    /// Shown of that message.
    shown: String,
    /// The attempt at it that is heard now.
    attempt: u64,
    /// A later attempt at it, until it reaches what an earlier one has shown.
    again: Option<String>,
    /// Where the next piece of the message belongs, in UTF-16 code units.
    next: usize,
}

impl Visible {
    /// A piece that the model wrote just now.
    pub(in crate::http) fn piece(&mut self, delta: &Delta) -> Grown {
        self.turn_to(delta.message);
        if delta.attempt != self.attempt {
            self.attempt = delta.attempt;
            self.again = (!self.shown.is_empty()).then(String::new);
            self.next = 0;
        }
        if delta.offset != self.next {
            // Something before it was not heard; the whole message will bring it.
            return Grown::Nothing;
        }
        self.next += delta.text.encode_utf16().count();
        let Some(again) = &mut self.again else { return self.show(delta.text.to_string()) };
        again.push_str(&delta.text);
        let again = again.clone();
        if again.len() < self.shown.len() && self.shown.starts_with(&again) {
            return Grown::Nothing;
        }
        self.again = None;
        self.complete(&again)
    }

    /// The whole message, as it was kept.
    pub(in crate::http) fn answer(&mut self, message: MessageId, text: &str) -> Grown {
        self.turn_to(message);
        self.complete(text)
    }

    fn turn_to(&mut self, message: MessageId) {
        if self.message != Some(message) {
            self.holds_text |= !self.shown.is_empty();
            self.message = Some(message);
            self.shown.clear();
            self.again = None;
            self.next = 0;
        }
    }

    fn complete(&mut self, text: &str) -> Grown {
        match text.strip_prefix(self.shown.as_str()) {
            Some(rest) => self.show(rest.to_owned()),
            None => Grown::Differs,
        }
    }

    fn show(&mut self, piece: String) -> Grown {
        if piece.is_empty() {
            return Grown::Nothing;
        }
        let first = self.shown.is_empty() && self.holds_text;
        self.shown.push_str(&piece);
        Grown::By(if first { format!("{PART}{piece}") } else { piece })
    }
}

/// What the model thought before its answers, in the same way. It is told beside the text and is no part of it: where a
/// call was repeated and something else was thought, what was told stays, and no more is told of that answer.
#[derive(Debug, Default)]
pub(in crate::http) struct Thoughts {
    visible: Visible,
    /// The answer of which no more is told.
    given_up: Option<MessageId>,
}

impl Thoughts {
    /// A piece that was thought just now.
    pub(in crate::http) fn piece(&mut self, delta: &Delta) -> Option<String> {
        if self.given_up == Some(delta.message) {
            return None;
        }
        let grown = self.visible.piece(delta);
        self.told(delta.message, grown)
    }

    /// The whole answer, as it was kept.
    pub(in crate::http) fn answer(&mut self, message: &Message) -> Option<String> {
        let thought: String = message.thinking().map(|thought| thought.text.as_str()).collect();
        if thought.is_empty() || self.given_up == Some(message.id) {
            return None;
        }
        let grown = self.visible.answer(message.id, &thought);
        self.told(message.id, grown)
    }

    fn told(&mut self, message: MessageId, grown: Grown) -> Option<String> {
        match grown {
            Grown::Nothing => None,
            Grown::By(thought) => Some(thought),
            Grown::Differs => {
                self.given_up = Some(message);
                None
            }
        }
    }
}

/// The same text from whole messages.
pub(in crate::http) fn joined<'a>(answers: impl IntoIterator<Item = &'a str>) -> String {
    answers.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(PART)
}

#[cfg(test)]
mod tests {
    use adjutant_core::ids::{RunId, ThreadId};

    use super::*;

    fn delta(message: MessageId, offset: usize, text: &str) -> Delta {
        Delta { thread: ThreadId::new(), run: RunId::new(), message, attempt: 1, offset, text: text.into() }
    }

    fn later(message: MessageId, offset: usize, text: &str) -> Delta {
        Delta { attempt: 2, ..delta(message, offset, text) }
    }

    fn by(text: &str) -> Grown {
        Grown::By(text.to_owned())
    }

    #[test]
    fn a_stream_and_its_message_are_the_text_once() {
        let (mut visible, first, second) = (Visible::default(), MessageId::new(), MessageId::new());
        assert_eq!(visible.piece(&delta(first, 0, "🐈 one")), by("🐈 one"));
        assert_eq!(visible.piece(&delta(first, 6, " two")), by(" two"));
        assert_eq!(visible.answer(first, "🐈 one two!"), by("!"));
        assert_eq!(visible.piece(&delta(second, 0, "three")), by("\n\nthree"));
        assert_eq!(visible.answer(second, "three"), Grown::Nothing);
        assert_eq!(joined(["🐈 one two!", "", "three"]), "🐈 one two!\n\nthree");
    }

    #[test]
    fn a_piece_that_was_not_heard_comes_with_the_message() {
        let (mut visible, message) = (Visible::default(), MessageId::new());
        assert_eq!(visible.piece(&delta(message, 4, "late")), Grown::Nothing);
        assert_eq!(visible.answer(message, "too late"), by("too late"));
    }

    #[test]
    fn an_answer_written_again_goes_on_where_it_was() {
        let (mut visible, message) = (Visible::default(), MessageId::new());
        assert_eq!(visible.piece(&delta(message, 0, "same ")), by("same "));
        assert_eq!(visible.piece(&delta(message, 5, "words")), by("words"));
        assert_eq!(visible.piece(&later(message, 0, "same")), Grown::Nothing);
        assert_eq!(visible.piece(&later(message, 4, " words here")), by(" here"));
        assert_eq!(visible.piece(&later(message, 15, "!")), by("!"));
        assert_eq!(visible.answer(message, "same words here!"), Grown::Nothing);
    }

    #[test]
    fn something_else_thought_in_a_second_attempt_is_not_mixed_with_the_first() {
        let (mut thoughts, first, second) = (Thoughts::default(), MessageId::new(), MessageId::new());
        assert_eq!(thoughts.piece(&delta(first, 0, "Hm, ")), Some("Hm, ".to_owned()));
        assert_eq!(thoughts.piece(&later(first, 0, "Ah, ")), None);
        assert_eq!(thoughts.piece(&later(first, 4, "well.")), None);
        assert_eq!(thoughts.piece(&later(second, 0, "Next.")), Some("\n\nNext.".to_owned()));
    }

    #[test]
    fn another_answer_in_place_of_a_shown_one_is_noticed() {
        let (mut visible, message) = (Visible::default(), MessageId::new());
        assert_eq!(visible.piece(&delta(message, 0, "same ")), by("same "));
        assert_eq!(visible.piece(&later(message, 0, "other")), Grown::Differs);
        let (mut visible, message) = (Visible::default(), MessageId::new());
        assert_eq!(visible.piece(&delta(message, 0, "same ")), by("same "));
        assert_eq!(visible.answer(message, "other"), Grown::Differs);
    }
}
