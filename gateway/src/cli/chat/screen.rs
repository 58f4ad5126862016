//! What a person sees: answers on standard output, everything else on standard error, so that a pipe gets answers only.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};

use super::plain::{line, plain};

/// How much of a tool's arguments or result is shown.
const SHOWN: usize = 160;

pub(super) struct Screen {
    /// Standard output shows frames instead of text.
    json: bool,
    /// Both ends are a terminal: prompts are shown.
    pub(super) interactive: bool,
    colour: bool,
    /// The cursor stands behind text of an answer.
    in_line: bool,
    /// Standard output is gone.
    pub(super) closed: bool,
}

impl Screen {
    pub(super) fn new(json: bool, stdin_is_terminal: bool, no_color: bool) -> Self {
        Self {
            json,
            interactive: stdin_is_terminal && stderr().is_terminal(),
            colour: !no_color && stderr().is_terminal(),
            in_line: false,
            closed: false,
        }
    }

    /// A piece of an answer.
    pub(super) fn answer(&mut self, text: &str) {
        if self.json || text.is_empty() {
            return;
        }
        let text = plain(text);
        self.out(&text);
        if !text.is_empty() {
            self.in_line = !text.ends_with('\n');
        }
    }

    /// The end of an answer, or of a line of it.
    pub(super) fn end_line(&mut self) {
        if std::mem::take(&mut self.in_line) {
            self.out("\n");
        }
    }

    /// A frame as it came.
    pub(super) fn frame(&mut self, text: &str) {
        if self.json {
            self.out(text);
            self.out("\n");
        }
    }

    /// One dim line beside the conversation.
    pub(super) fn note(&mut self, text: &str) {
        self.beside(&line(text, SHOWN));
    }

    /// The same for text that must be seen whole; it is safe already.
    pub(super) fn beside(&mut self, text: &str) {
        if self.json {
            return;
        }
        self.end_line();
        let (dim, reset) = if self.colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        self.err(&format!("{dim}{text}{reset}\n"));
    }

    /// A sentence that something went wrong.
    pub(super) fn fault(&mut self, sentence: &str) {
        self.end_line();
        self.err(&format!("{}\n", plain(sentence)));
    }

    /// Asks; the text is safe already.
    pub(super) fn ask(&mut self, question: &str) {
        self.end_line();
        let (bold, reset) = if self.colour { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        self.err(&format!("{bold}{question}{reset} "));
    }

    /// Invites to write.
    pub(super) fn prompt(&mut self) {
        if self.interactive {
            self.end_line();
            self.err("> ");
        }
    }

    fn out(&mut self, text: &str) {
        let mut out = stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.closed = true;
        }
    }

    fn err(&mut self, text: &str) {
        let _ = stderr().lock().write_all(text.as_bytes());
    }
}
