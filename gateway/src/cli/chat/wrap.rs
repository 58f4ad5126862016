//! Breaks what is written piece by piece into rows at spaces, before the terminal would break it within a word. Pure.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

const TAB: &str = "    ";

/// The row that is being written.
#[derive(Debug, Default)]
pub(super) struct Wrap {
    /// Columns taken.
    pub(super) column: usize,
    /// What stands behind the last place to break at.
    word: String,
    word_columns: usize,
    /// Columns of the word that the terminal has already.
    flushed: usize,
    /// Spaces before each row but the first one.
    indent: usize,
}

impl Wrap {
    /// The text with its breaks, for a row of `width` columns. A word that outgrows its row is taken back and begins the
    /// next one.
    pub(super) fn feed(&mut self, text: &str, width: usize) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            match c {
                '\n' => self.next_line(&mut out),
                '\t' => TAB.chars().for_each(|space| self.space(space, width, &mut out)),
                ' ' => self.space(' ', width, &mut out),
                c => self.letter(c, width, &mut out),
            }
        }
        self.flushed = self.word_columns;
        out
    }

    fn next_line(&mut self, out: &mut String) {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', self.indent));
        self.column = self.indent;
        self.break_here();
    }

    /// A space that does not fit is the break itself.
    fn space(&mut self, space: char, width: usize, out: &mut String) {
        if self.column >= width {
            return self.next_line(out);
        }
        out.push(space);
        self.column += 1;
        self.break_here();
    }

    fn break_here(&mut self) {
        self.word.clear();
        self.word_columns = 0;
        self.flushed = 0;
    }

    fn letter(&mut self, c: char, width: usize, out: &mut String) {
        let columns = columns(c);
        if columns == 2 {
            // Scripts of wide characters have no spaces.
            self.break_here();
        }
        if self.column + columns > width {
            self.next_row(width, out);
        }
        out.push(c);
        self.column += columns;
        if columns == 2 {
            self.break_here();
        } else {
            self.word.push(c);
            self.word_columns += columns;
        }
    }

    fn next_row(&mut self, width: usize, out: &mut String) {
        let fills_the_row = self.word_columns + self.indent >= self.column;
        if fills_the_row || self.word_columns + self.indent >= width {
            return self.next_line(out);
        }
        let fresh: usize = self.word_columns - self.flushed;
        let mut taken = 0;
        while taken < fresh {
            let Some(c) = out.pop() else { break };
            taken += self::columns(c);
        }
        if self.flushed > 0 {
            let _ = write!(out, "\u{1b}[{}D\u{1b}[K", self.flushed);
        }
        let (word, columns) = (std::mem::take(&mut self.word), self.word_columns);
        self.next_line(out);
        out.push_str(&word);
        self.column += columns;
        (self.word, self.word_columns) = (word, columns);
    }
}

/// Columns that a character takes on a terminal.
pub(super) fn columns(c: char) -> usize {
    c.width().unwrap_or_default()
}

pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// A whole text in rows, those after the first one behind `indent` spaces.
pub(super) fn rows(text: &str, width: usize, indent: usize) -> Vec<String> {
    // However narrow the window is, some of each row is text.
    let indent = indent.min(width / 2);
    let mut wrap = Wrap { indent, ..Wrap::default() };
    wrap.feed(text.trim_end(), width).lines().map(|row| row.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows of it.
    fn shown(pieces: &[&str], width: usize) -> Vec<String> {
        let mut wrap = Wrap::default();
        let mut screen = String::new();
        for piece in pieces {
            let mut fed = wrap.feed(piece, width);
            // The only control that it writes: back over so many columns, and away with them.
            while let Some((before, after)) = fed.split_once('\u{1b}') {
                screen.push_str(before);
                let (count, rest) = after.strip_prefix('[').unwrap().split_once("D\u{1b}[K").unwrap();
                for _ in 0..count.parse::<usize>().unwrap() {
                    screen.pop();
                }
                fed = rest.to_owned();
            }
            screen.push_str(&fed);
        }
        screen.lines().map(|row| row.trim_end().to_owned()).collect()
    }

    #[test]
    fn rows_break_at_spaces_however_the_text_comes() {
        let text = "The train to Lisbon leaves at nine.\n\nNext";
        let whole = shown(&[text], 12);
        assert_eq!(whole, ["The train to", "Lisbon", "leaves at", "nine.", "", "Next"]);
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(shown(&letters, 12), whole);
        assert_eq!(shown(&["The tra", "in to Lis", "bon leav", "es at ni", "ne.\n\nN", "ext"], 12), whole);
    }

    #[test]
    fn a_word_that_is_longer_than_a_row_is_cut_and_wide_characters_take_two_columns() {
        assert_eq!(shown(&["a ", "https://example.org/x"], 10), ["a", "https://ex", "ample.org/", "x"]);
        assert_eq!(shown(&["東京は夜の七時"], 7), ["東京は", "夜の七", "時"]);
        assert_eq!(shown(&["ab 🐈🐈", "🐈"], 7), ["ab 🐈🐈", "🐈"]);
        // A mark that takes no column stays with its letter.
        assert_eq!(shown(&["e\u{301}e\u{301}e\u{301}"], 2), ["e\u{301}e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn no_row_is_longer_than_the_terminal_whatever_is_written() {
        use proptest::prelude::*;
        proptest!(|(pieces in proptest::collection::vec("[a-z 東🐈\n\t]{0,12}", 0..12), width in 4_usize..20)| {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let rows = shown(&pieces, width);
            prop_assert!(rows.iter().all(|row| width_of(row) <= width), "{rows:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&pieces.concat()), "nothing is lost");
        });
    }

    #[test]
    fn further_rows_of_a_note_are_indented() {
        assert_eq!(rows("→ shop__order with much to say", 14, 2), ["→ shop__order", "  with much to", "  say"]);
        assert_eq!(rows("one\ntwo words", 6, 2), ["one", "  two", "  word", "  s"]);
        assert!(rows("", 10, 2).is_empty());
    }
}
