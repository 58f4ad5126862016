//! What a person sees: answers on standard output, everything else on standard error, so that a pipe gets answers only.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};

use crate::cli::plain::{line, plain};

/// How much of a tool's arguments or result is shown.
const SHOWN: usize = 160;

pub(super) struct Screen {
    shows: Shows,
    style: Style,
    /// Both ends are a terminal: prompts are shown.
    pub(super) interactive: bool,
    cursor: Cursor,
    /// Standard output is gone.
    pub(super) closed: bool,
}

/// What standard output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Answers,
    Frames,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    AtStart,
    BehindAnswer,
    BehindThought,
    BehindQuestion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    dim: &'static str,
    bold: &'static str,
    reset: &'static str,
}

impl Style {
    pub(super) const PLAIN: Self = Self { dim: "", bold: "", reset: "" };
    pub(super) const COLOUR: Self = Self { dim: "\u{1b}[2m", bold: "\u{1b}[1m", reset: "\u{1b}[0m" };
}

impl Screen {
    /// The style is that of a terminal; nothing else gets any.
    pub(super) fn new(shows: Shows, style: Style) -> Self {
        Self {
            shows,
            style: if stderr().is_terminal() { style } else { Style::PLAIN },
            interactive: stdin().is_terminal() && stderr().is_terminal(),
            cursor: Cursor::AtStart,
            closed: false,
        }
    }

    /// A piece of an answer.
    pub(super) fn answer(&mut self, text: &str) {
        if self.shows == Shows::Frames || text.is_empty() {
            return;
        }
        let text = plain(text);
        if matches!(self.cursor, Cursor::BehindQuestion | Cursor::BehindThought) {
            self.end_line();
        }
        self.out(&text);
        if !text.is_empty() {
            self.cursor = if text.ends_with('\n') { Cursor::AtStart } else { Cursor::BehindAnswer };
        }
    }

    /// A piece of what the model thinks: dim, and never on standard output.
    pub(super) fn thought(&mut self, text: &str) {
        let text = plain(text);
        if self.shows == Shows::Frames || !self.interactive || text.is_empty() {
            return;
        }
        if self.cursor != Cursor::BehindThought {
            self.end_line();
        }
        let Style { dim, reset, .. } = self.style;
        err(&format!("{dim}{text}{reset}"));
        self.cursor = if text.ends_with('\n') { Cursor::AtStart } else { Cursor::BehindThought };
    }

    /// The end of an answer, or of a question that something else came after.
    pub(super) fn end_line(&mut self) {
        match std::mem::replace(&mut self.cursor, Cursor::AtStart) {
            Cursor::AtStart => {}
            Cursor::BehindAnswer => self.out("\n"),
            Cursor::BehindQuestion | Cursor::BehindThought => err("\n"),
        }
    }

    /// The person ended the line.
    pub(super) fn entered(&mut self) {
        if self.cursor == Cursor::BehindQuestion {
            self.cursor = Cursor::AtStart;
        }
    }

    /// A frame as it came.
    pub(super) fn frame(&mut self, text: &str) {
        if self.shows == Shows::Frames {
            self.out(text);
            self.out("\n");
        }
    }

    /// One dim line beside the conversation.
    pub(super) fn note(&mut self, text: &str) {
        if self.shows == Shows::Frames {
            return;
        }
        self.end_line();
        let (Style { dim, reset, .. }, text) = (self.style, line(text, SHOWN));
        err(&format!("{dim}{text}{reset}\n"));
    }

    /// A line of a list that was asked for; `head` is our own.
    pub(super) fn entry(&mut self, head: &str, text: &str) {
        self.end_line();
        err(&format!("{head}  {}\n", line(text, SHOWN)));
    }

    /// A sentence that something went wrong.
    pub(super) fn fault(&mut self, sentence: &str) {
        self.end_line();
        err(&format!("{}\n", plain(sentence)));
    }

    /// Asks; the text is safe already.
    pub(super) fn ask(&mut self, question: &str) {
        self.end_line();
        let Style { bold, reset, .. } = self.style;
        err(&format!("{bold}{question}{reset} "));
        self.cursor = Cursor::BehindQuestion;
    }

    /// Invites to write, if that is not done already.
    pub(super) fn prompt(&mut self) {
        if self.interactive && self.cursor != Cursor::BehindQuestion {
            self.end_line();
            err("> ");
            self.cursor = Cursor::BehindQuestion;
        }
    }

    fn out(&mut self, text: &str) {
        let mut out = stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.closed = true;
        }
    }
}

fn err(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
