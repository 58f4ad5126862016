//! The line that is being written, in one row of the screen: under what comes meanwhile, out of its way, and back.

use super::editor::Edit;
use super::keys::Key;
use super::screen::{CLEAR_ROW, Cursor, PROMPT, Row, Screen, Style, err, width};
use super::wrap::{Wrap, width_of};

const CLEAR_BELOW: &str = "\r\u{1b}[J";
const CLEAR_SCREEN: &str = "\u{1b}[2J\u{1b}[H";

/// What the person did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Line(String),
    Closed,
}

impl Screen {
    /// What a key comes to.
    pub(super) fn key(&mut self, key: Key) -> Option<Entry> {
        let had_all = self.row != Row::Nowhere && self.holds_all();
        match self.editor.take(key) {
            Edit::Nothing => {}
            Edit::Added(text) if had_all && self.holds_all() && !text.contains(['\n', '\t']) => err(&text),
            Edit::Added(_) | Edit::Changed => self.draw(),
            Edit::Clear => {
                self.progress = false;
                err(CLEAR_SCREEN);
                // What stood above is gone, and so is the row that went on.
                (self.row, self.cursor, self.wrap) = (Row::Nowhere, Cursor::AtStart, Wrap::default());
                self.show();
            }
            Edit::Closed => return Some(Entry::Closed),
            Edit::Entered(text) => {
                self.leave(&text);
                return Some(Entry::Line(text));
            }
        }
        None
    }

    /// Throws away what is being written; whether there was anything.
    pub(super) fn discard(&mut self) -> bool {
        let had = self.edits() && !self.editor.is_empty();
        if had {
            self.editor.empty();
            self.draw();
        }
        had
    }

    /// After the terminal changed its size, or was somebody else's for a while.
    pub(super) fn refresh(&mut self) {
        if self.row != Row::Nowhere {
            err(CLEAR_BELOW);
            self.write_row();
        }
    }

    /// Leaves a line that was entered on the screen, whole.
    fn leave(&mut self, text: &str) {
        self.progress = false;
        let prompt = self.invited.take().unwrap_or_else(|| PROMPT.to_owned());
        let fits = !text.contains(['\n', '\t']) && width_of(&prompt) + width_of(text) < width();
        if self.row == Row::Here && fits {
            err("\n");
            self.row = Row::Nowhere;
            return;
        }
        self.hide();
        if text.trim().is_empty() {
            return;
        }
        self.end_line();
        let Style { bold, reset, .. } = self.style;
        let indent = width_of(PROMPT);
        let rows = self.folded(&format!("{prompt}{text}"), indent);
        for (number, row) in rows.iter().enumerate() {
            match row.strip_prefix(&*prompt).filter(|_| number == 0) {
                Some(rest) => err(&format!("{bold}{prompt}{reset}{rest}\n")),
                None => err(&format!("{row}\n")),
            }
        }
    }

    pub(super) fn hide(&mut self) {
        match std::mem::replace(&mut self.row, Row::Nowhere) {
            Row::Nowhere => {}
            Row::Here => err(CLEAR_ROW),
            Row::Under(0) => err(&format!("{CLEAR_ROW}\u{1b}[A")),
            Row::Under(column) => err(&format!("{CLEAR_ROW}\u{1b}[A\u{1b}[{column}C")),
        }
    }

    pub(super) fn show(&mut self) {
        if !self.edits() || self.row != Row::Nowhere || (self.invited.is_none() && self.editor.is_empty()) {
            return;
        }
        let goes_on = match self.cursor {
            Cursor::BehindAnswer => self.folds(),
            Cursor::BehindThought => true,
            Cursor::AtStart | Cursor::BehindQuestion => false,
        };
        self.row = if goes_on { Row::Under(self.wrap.column) } else { Row::Here };
        if goes_on {
            err("\n");
        }
        self.write_row();
    }

    /// Shows the line anew, as it is now.
    fn draw(&mut self) {
        if self.row == Row::Nowhere {
            return self.show();
        }
        if self.invited.is_none() && self.editor.is_empty() {
            return self.hide();
        }
        err(CLEAR_ROW);
        self.write_row();
    }

    fn write_row(&self) {
        let prompt = self.invited.as_deref().unwrap_or(PROMPT);
        let (text, place) = self.editor.row(width().saturating_sub(width_of(prompt)).max(4));
        let Style { bold, reset, .. } = self.style;
        err(&format!("{bold}{prompt}{reset}{text}"));
        match width_of(&text) - place {
            0 => {}
            back => err(&format!("\u{1b}[{back}D")),
        }
    }

    /// Whether the row shows all of the line, and the person is at its end.
    fn holds_all(&self) -> bool {
        let prompt = self.invited.as_deref().unwrap_or(PROMPT);
        self.editor.is_plain() && width_of(prompt) + self.editor.columns() < width()
    }
}
