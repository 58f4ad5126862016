//! What a person sees: answers on standard output, everything else on standard error, so that a pipe gets answers only.
//! On a terminal that understands controls, rows break at spaces, and the line that is being written stands below what
//! comes, whole, wherever the answer is.

use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};

use rustix::termios::tcgetwinsize;

use super::editor::Editor;
use super::wrap::{Wrap, rows, width_of};
use crate::cli::plain::{line, plain};

/// How much of a tool's arguments or result is shown.
const SHOWN: usize = 160;
const USUAL_WIDTH: usize = 80;
const NARROWEST: usize = 20;
/// For what is written behind a question.
const ROOM: usize = 20;
pub(super) const PROMPT: &str = "> ";
/// Takes the row away that the cursor is in.
pub(super) const CLEAR_ROW: &str = "\r\u{1b}[K";

pub(super) struct Screen {
    shows: Shows,
    pub(super) style: Style,
    pub(super) lines: Lines,
    pub(super) cursor: Cursor,
    /// The row that the answer is in.
    pub(super) wrap: Wrap,
    pub(super) editor: Editor,
    /// The words before the line that is asked for.
    pub(super) invited: Option<String>,
    pub(super) row: Row,
    /// What was written last is how far something has come, in one row: news of that take its place.
    pub(super) progress: bool,
    /// Standard output is gone.
    pub(super) closed: bool,
}

/// Where a person's lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// From a file or another program: nothing is asked.
    Piped,
    /// From a terminal that edits them: prompts are shown.
    Terminal,
    /// From a terminal, edited here, key by key.
    Ours,
}

/// What standard output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Answers,
    Frames,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    AtStart,
    BehindAnswer,
    BehindThought,
    /// Of a line that the terminal edits.
    BehindQuestion,
}

/// Where the line that is being written is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Nowhere,
    Here,
    /// Under a row that is not full yet and goes on in this column.
    Under(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) dim: &'static str,
    pub(super) bold: &'static str,
    pub(super) wrong: &'static str,
    pub(super) reset: &'static str,
}

impl Style {
    pub(super) const PLAIN: Self = Self { dim: "", bold: "", wrong: "", reset: "" };
    pub(super) const COLOUR: Self =
        Self { dim: "\u{1b}[2m", bold: "\u{1b}[1m", wrong: "\u{1b}[31m", reset: "\u{1b}[0m" };
}

impl Screen {
    /// The style is that of a terminal; nothing else gets any. `controls`: the terminal understands them.
    pub(super) fn new(shows: Shows, style: Style, controls: bool) -> Self {
        let interactive = stdin().is_terminal() && stderr().is_terminal();
        Self {
            shows,
            style: if stderr().is_terminal() { style } else { Style::PLAIN },
            lines: match interactive {
                false => Lines::Piped,
                true if controls && shows == Shows::Answers => Lines::Ours,
                true => Lines::Terminal,
            },
            cursor: Cursor::AtStart,
            wrap: Wrap::default(),
            editor: Editor::default(),
            invited: None,
            row: Row::Nowhere,
            progress: false,
            closed: false,
        }
    }

    /// Both ends are a terminal.
    pub(super) fn interactive(&self) -> bool {
        self.lines != Lines::Piped
    }

    /// The line is edited here; else the terminal does that.
    pub(super) fn edits(&self) -> bool {
        self.lines == Lines::Ours
    }

    /// A piece of an answer.
    pub(super) fn answer(&mut self, text: &str) {
        let text = plain(text);
        if self.shows == Shows::Frames || text.is_empty() {
            return;
        }
        self.beside_row(|screen| {
            if matches!(screen.cursor, Cursor::BehindQuestion | Cursor::BehindThought) {
                screen.end_line();
            }
            let folded = if screen.folds() { screen.wrap.feed(&text, width()) } else { text.clone() };
            screen.out(&folded);
            screen.cursor = if folded.ends_with('\n') { Cursor::AtStart } else { Cursor::BehindAnswer };
        });
    }

    /// A piece of what the model thinks: dim, and never on standard output.
    pub(super) fn thought(&mut self, text: &str) {
        let text = plain(text);
        if self.shows == Shows::Frames || !self.interactive() || text.is_empty() {
            return;
        }
        self.beside_row(|screen| {
            if screen.cursor != Cursor::BehindThought {
                screen.end_line();
            }
            let folded = if screen.edits() { screen.wrap.feed(&text, width()) } else { text.clone() };
            let Style { dim, reset, .. } = screen.style;
            err(&format!("{dim}{folded}{reset}"));
            screen.cursor = if folded.ends_with('\n') { Cursor::AtStart } else { Cursor::BehindThought };
        });
    }

    /// The end of an answer, or of a question that something else came after.
    pub(super) fn end_text(&mut self) {
        self.beside_row(Self::end_line);
    }

    pub(super) fn end_line(&mut self) {
        self.wrap = Wrap::default();
        match std::mem::replace(&mut self.cursor, Cursor::AtStart) {
            Cursor::AtStart => {}
            Cursor::BehindAnswer => self.out("\n"),
            Cursor::BehindQuestion | Cursor::BehindThought => err("\n"),
        }
    }

    /// A frame as it came.
    pub(super) fn frame(&mut self, text: &str) {
        if self.shows == Shows::Frames {
            self.out(text);
            self.out("\n");
        }
    }

    /// Dim words beside the conversation.
    pub(super) fn note(&mut self, text: &str) {
        if self.shows == Shows::Frames {
            return;
        }
        let Style { dim, reset, .. } = self.style;
        self.lines(&line(text, SHOWN), 2, dim, reset);
    }

    /// How far something has come.
    pub(super) fn progress(&mut self, text: &str) {
        let text = line(text, SHOWN);
        let in_one_row = self.edits() && width_of(&text) <= width();
        if self.progress && in_one_row {
            self.hide();
            err(&format!("\u{1b}[A{CLEAR_ROW}"));
        }
        self.note(&text);
        self.progress = in_one_row;
    }

    /// A line of a list that was asked for; `head` is our own.
    pub(super) fn entry(&mut self, head: &str, text: &str) {
        let indent = width_of(head) + 2;
        self.lines(&format!("{head}  {}", line(text, SHOWN)), indent, "", "");
    }

    /// A sentence that something went wrong.
    pub(super) fn fault(&mut self, sentence: &str) {
        let Style { wrong, reset, .. } = self.style;
        self.lines(&plain(sentence), 2, wrong, reset);
    }

    fn lines(&mut self, text: &str, indent: usize, begin: &str, end: &str) {
        self.beside_row(|screen| {
            screen.end_line();
            for row in screen.folded(text, indent) {
                err(&format!("{begin}{row}{end}\n"));
            }
        });
    }

    pub(super) fn folded(&self, text: &str, indent: usize) -> Vec<String> {
        if self.edits() { rows(text, width(), indent) } else { vec![text.to_owned()] }
    }

    /// Asks; the text is safe already. Its last line stands before what is written.
    pub(super) fn ask(&mut self, question: &str) {
        let Style { bold, reset, .. } = self.style;
        if !self.edits() {
            self.end_line();
            err(&format!("{bold}{question}{reset} "));
            self.cursor = Cursor::BehindQuestion;
            return;
        }
        let (text, last) = question.rsplit_once('\n').unwrap_or(("", question));
        let long = width_of(last) + ROOM > width();
        let (text, prompt) = if long { (question, PROMPT.to_owned()) } else { (text, format!("{last} ")) };
        self.progress = false;
        self.hide();
        self.end_line();
        for row in text.lines().flat_map(|line| self.folded(line, 2)) {
            err(&format!("{bold}{row}{reset}\n"));
        }
        self.invited = Some(prompt);
        self.show();
    }

    /// Invites to write, if that is not done already.
    pub(super) fn prompt(&mut self) {
        if self.edits() {
            if self.invited.as_deref() != Some(PROMPT) {
                self.hide();
                self.end_line();
                self.invited = Some(PROMPT.to_owned());
                self.show();
            }
        } else if self.interactive() && !self.edits() && self.cursor != Cursor::BehindQuestion {
            self.end_line();
            err(PROMPT);
            self.cursor = Cursor::BehindQuestion;
        }
    }

    /// Nothing is asked any more.
    pub(super) fn wait(&mut self) {
        if self.invited.is_some() {
            self.hide();
            self.invited = None;
            self.show();
        }
    }

    /// The person ended a line that the terminal edits.
    pub(super) fn entered(&mut self) {
        if self.cursor == Cursor::BehindQuestion {
            self.cursor = Cursor::AtStart;
        }
    }

    /// The conversation is over: what the terminal shows next begins a row of its own.
    pub(super) fn end(&mut self) {
        match std::mem::replace(&mut self.row, Row::Nowhere) {
            Row::Nowhere => self.end_line(),
            _ => err("\n"),
        }
    }

    /// Writes something with the line that is being written out of the way.
    fn beside_row(&mut self, write: impl FnOnce(&mut Self)) {
        self.progress = false;
        self.hide();
        write(self);
        self.show();
    }

    /// Whether answers are broken into rows.
    pub(super) fn folds(&self) -> bool {
        self.edits() && stdout().is_terminal()
    }

    fn out(&mut self, text: &str) {
        let mut out = stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.closed = true;
        }
    }
}

/// Of the terminal, one column less than there is: a full row would leave the cursor in no certain place.
pub(super) fn width() -> usize {
    let columns = tcgetwinsize(stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH - 1 } else { columns.max(NARROWEST) - 1 }
}

pub(super) fn err(text: &str) {
    let _ = stderr().lock().write_all(text.as_bytes());
}
