//! The line that a person writes: its text, where they are in it, and what they wrote before. Pure.

use super::keys::Key;
use super::orders::HELP;
use super::wrap::{columns, width_of};
use crate::cli::plain::is_unsafe;

/// Lines that can be called back.
const REMEMBERED: usize = 200;
/// Stands for a line break within the one row that is shown.
const BREAK: char = '⏎';
const CUT: char = '…';

#[derive(Debug, Default)]
pub(super) struct Editor {
    text: Vec<char>,
    at: usize,
    history: Vec<String>,
    /// Which line of the history is shown, counted from its end; nought is what is being written.
    back: usize,
    /// What was being written before a line was called back.
    draft: Vec<char>,
}

/// What a key came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The row must be shown anew.
    Changed,
    /// Letters were added at the end: showing those is enough, if they fit.
    Added(String),
    Entered(String),
    Closed,
    Clear,
    Nothing,
}

impl Editor {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it looks as it is, and the person is at its end.
    pub(super) fn is_plain(&self) -> bool {
        self.at == self.text.len() && !self.text.iter().any(|c| matches!(c, '\n' | '\t'))
    }

    pub(super) fn columns(&self) -> usize {
        self.text.iter().copied().map(columns).sum()
    }

    /// Throws away what is written.
    pub(super) fn empty(&mut self) {
        self.text.clear();
        self.at = 0;
        self.back = 0;
    }

    pub(super) fn take(&mut self, key: Key) -> Edit {
        match key {
            Key::Text(text) => return self.insert(&text),
            Key::Paste(text) => {
                self.insert(&text);
                return Edit::Changed;
            }
            Key::Break => {
                self.insert("\n");
            }
            Key::Enter => return Edit::Entered(self.enter()),
            Key::Close if self.text.is_empty() => return Edit::Closed,
            Key::Clear => return Edit::Clear,
            Key::Tab => self.complete(),
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.at);
            }
            Key::Delete | Key::Close if self.at < self.text.len() => {
                self.text.remove(self.at);
            }
            Key::Left => self.at = self.at.saturating_sub(1),
            Key::Right => self.at = (self.at + 1).min(self.text.len()),
            Key::WordLeft => self.at = self.word_before(),
            Key::WordRight => self.at = self.word_after(),
            Key::Home => self.at = 0,
            Key::End => self.at = self.text.len(),
            Key::Up => self.recall(self.back + 1),
            Key::Down if self.back > 0 => self.recall(self.back - 1),
            Key::KillAfter => self.text.truncate(self.at),
            Key::KillBefore => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            Key::KillWord => {
                let from = self.word_before();
                self.text.drain(from..self.at);
                self.at = from;
            }
            Key::Backspace | Key::Delete | Key::Close | Key::Down => return Edit::Nothing,
        }
        Edit::Changed
    }

    fn insert(&mut self, text: &str) -> Edit {
        // What cannot be seen must not be sent unseen.
        let text: Vec<char> = text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_unsafe(*c)).collect();
        let at_end = self.at == self.text.len();
        self.text.splice(self.at..self.at, text.iter().copied());
        self.at += text.len();
        if at_end { Edit::Added(text.into_iter().collect()) } else { Edit::Changed }
    }

    fn enter(&mut self) -> String {
        let text: String = self.text.drain(..).collect();
        self.empty();
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            if self.history.len() == REMEMBERED {
                self.history.remove(0);
            }
            self.history.push(text.clone());
        }
        text
    }

    fn recall(&mut self, back: usize) {
        if back > self.history.len() {
            return;
        }
        if self.back == 0 {
            self.draft = self.text.clone();
        }
        self.back = back;
        self.text = match self.history.len().checked_sub(back).and_then(|index| self.history.get(index)) {
            Some(line) if back > 0 => line.chars().collect(),
            _ => std::mem::take(&mut self.draft),
        };
        self.at = self.text.len();
    }

    /// The rest of an order that begins so, if there is one alone.
    fn complete(&mut self) {
        let typed: String = self.text.iter().collect();
        if !typed.starts_with('/') || typed.contains(char::is_whitespace) {
            return;
        }
        let names = HELP.iter().filter_map(|(order, _)| order.split_whitespace().next());
        let mut fitting = names.filter(|name| name.starts_with(&typed));
        if let (Some(name), None) = (fitting.next(), fitting.next()) {
            self.text = name.chars().chain([' ']).collect();
            self.at = self.text.len();
        }
    }

    fn word_before(&self) -> usize {
        let mut at = self.at;
        while at > 0 && self.text[at - 1].is_whitespace() {
            at -= 1;
        }
        while at > 0 && !self.text[at - 1].is_whitespace() {
            at -= 1;
        }
        at
    }

    fn word_after(&self) -> usize {
        let mut at = self.at;
        while at < self.text.len() && self.text[at].is_whitespace() {
            at += 1;
        }
        while at < self.text.len() && !self.text[at].is_whitespace() {
            at += 1;
        }
        at
    }

    /// The part of the text that fits into a row of so many columns, and in which column of it the person is.
    pub(super) fn row(&self, width: usize) -> (String, usize) {
        let shown: Vec<char> = self.text.iter().map(|c| shown(*c)).collect();
        let before: usize = shown[..self.at].iter().copied().map(columns).sum();
        let all: usize = shown.iter().copied().map(columns).sum();
        if all < width {
            return (shown.into_iter().collect(), before);
        }
        // So that a third of the row stands behind the place, where there is so much.
        let room = width.saturating_sub(2).max(1);
        let from = (before + room / 3).min(all + 1).saturating_sub(room);
        let mut row = String::new();
        let (mut column, mut place) = (0, 0);
        for (index, c) in shown.iter().enumerate() {
            let begins = column;
            column += columns(*c);
            if begins < from {
                continue;
            }
            if row.is_empty() && begins > 0 {
                row.push(CUT);
            }
            if index == self.at {
                place = width_of(&row);
            }
            if width_of(&row) + columns(*c) > room {
                row.push(CUT);
                break;
            }
            row.push(*c);
        }
        if self.at == shown.len() {
            place = width_of(&row);
        }
        (row, place)
    }
}

fn shown(c: char) -> char {
    match c {
        '\n' => BREAK,
        '\t' => ' ',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> Editor {
        let mut editor = Editor::default();
        for key in keys {
            editor.take(key.clone());
        }
        editor
    }

    fn text(text: &str) -> Key {
        Key::Text(text.to_owned())
    }

    fn written(editor: &Editor) -> String {
        editor.text.iter().collect()
    }

    #[test]
    fn a_line_is_written_changed_and_entered() {
        let mut editor = Editor::default();
        assert_eq!(editor.take(text("helo")), Edit::Added("helo".to_owned()));
        assert_eq!(editor.take(Key::Left), Edit::Changed);
        assert_eq!(editor.take(text("l")), Edit::Changed);
        assert_eq!(editor.take(Key::Enter), Edit::Entered("hello".to_owned()));
        assert!(editor.is_empty());
        assert_eq!(editor.take(Key::Close), Edit::Closed);
        let cases: [(&[Key], &str); 5] = [
            (&[text("one two  "), Key::KillWord], "one "),
            (&[text("one two"), Key::WordLeft, Key::KillBefore], "two"),
            (&[text("one two"), Key::Home, Key::WordRight, Key::KillAfter], "one"),
            (&[text("ab"), Key::Home, Key::Delete, Key::Close], ""),
            (&[text("a\u{1b}[2J\u{202e}b"), Key::Break, Key::Paste("c\nd".to_owned())], "a[2Jb\nc\nd"),
        ];
        for (keys, expected) in cases {
            assert_eq!(written(&typed(keys)), expected, "{keys:?}");
        }
    }

    #[test]
    fn lines_are_called_back_and_what_was_being_written_is_not_lost() {
        let mut editor = typed(&[text("one"), Key::Enter, text("two"), Key::Enter, text("draft"), Key::Up]);
        assert_eq!(written(&editor), "two");
        editor.take(Key::Up);
        editor.take(Key::Up);
        assert_eq!(written(&editor), "one");
        editor.take(Key::Down);
        editor.take(Key::Down);
        assert_eq!(written(&editor), "draft");
        assert_eq!(editor.take(Key::Down), Edit::Nothing);
    }

    #[test]
    fn an_order_is_completed_where_only_one_begins_so() {
        assert_eq!(written(&typed(&[text("/th"), Key::Tab])), "/threads ");
        assert_eq!(written(&typed(&[text("/re"), Key::Tab])), "/re", "rename, or retry");
        assert_eq!(written(&typed(&[text("th"), Key::Tab])), "th");
    }

    #[test]
    fn the_row_shows_the_place_and_never_more_than_fits() {
        assert_eq!(typed(&[text("日本"), Key::Left]).row(20), ("日本".to_owned(), 2));
        assert_eq!(typed(&[Key::Paste("a\nb".to_owned())]).row(20), ("a⏎b".to_owned(), 3));
        let long = "0123456789".repeat(5);
        let mut editor = typed(&[text(&long)]);
        let (row, place) = editor.row(12);
        assert!(row.starts_with('…') && row.ends_with("789") && place == width_of(&row), "{row:?} {place}");
        for _ in 0..long.len() {
            editor.take(Key::Left);
            let (row, place) = editor.row(12);
            assert!(width_of(&row) < 12 && place < 12, "{row:?} {place}");
            let next = row.chars().nth(place).unwrap();
            assert!(next == editor.text[editor.at] || next == CUT, "{row:?} {place}");
        }
        assert!(editor.row(12).0.starts_with("0123") && editor.row(12).0.ends_with('…'));
        let wide = typed(&[text(&"東".repeat(30))]);
        assert!(width_of(&wide.row(11).0) < 11);
    }
}
