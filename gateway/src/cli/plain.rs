//! Text that models and tools wrote, made fit for a terminal: nothing of it may move the cursor, change colours or
//! pretend to be something else.

/// Without control characters; line breaks and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_unsafe(*c)).collect()
}

/// On one line, and no longer than `most` characters.
pub(crate) fn line(text: &str, most: usize) -> String {
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.extend(word.chars().filter(|c| !is_unsafe(*c)));
        if words.chars().count() > most {
            return words.chars().take(most).chain(['…']).collect();
        }
    }
    words
}

/// Whole and on one line: what is unsafe is shown as an escape, because it is part of what a person agrees to.
pub(crate) fn exact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Control characters, and those that turn the direction of writing or cannot be seen.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_model_writes_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("a\u{1b}[2Jb\u{7}\r\n\tc\u{9b}1m\u{202e}d"), "a[2Jb\n\tc1md");
        assert_eq!(line("  one\n two\u{1b}[0m\tthree ", 80), "one two[0m three");
        assert_eq!(line(&"x".repeat(9), 4), "xxxx…");
        assert_eq!(exact("rm\u{202e}\u{1b}\n"), "rm\\u{202e}\\u{1b}\\u{a}");
    }
}
