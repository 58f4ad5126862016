//! What of a message its user wrote in their own words. Quotes, forwarded mail, fenced blocks and texts too
//! long to have been typed were written by somebody else: they name nobody, and they are foreign text.

use crate::limits;

/// A message, parted by who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The user's own words.
    pub own: String,
    /// Somebody else's words are in it too.
    pub holds_foreign_text: bool,
}

impl Typed {
    pub fn of(text: &str) -> Self {
        if text.chars().nth(limits::TYPED_CHARS).is_some() {
            return Self { own: String::new(), holds_foreign_text: true };
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut own = String::new();
        let mut holds_foreign_text = false;
        let mut fenced = false;
        for (index, line) in lines.iter().enumerate() {
            let start = line.trim_start();
            if !fenced && begins_forward(&lines[index..]) {
                holds_foreign_text = true;
                break;
            }
            let fence = start.starts_with("```") || start.starts_with("~~~");
            if fence || fenced || start.starts_with('>') {
                fenced ^= fence;
                holds_foreign_text = true;
            } else {
                own.push_str(line);
                own.push('\n');
            }
        }
        Self { own, holds_foreign_text }
    }
}

/// From here on the text is a message of somebody else: a mail program's mark, or the head of a mail.
fn begins_forward(lines: &[&str]) -> bool {
    let Some(first) = lines.first().map(|line| line.trim().to_lowercase()) else { return false };
    let bare = first.trim_matches(|c: char| c == '-' || c == '_' || c == '*' || c == ':' || c.is_whitespace());
    let marked = bare.len() < first.len() && MARKS.iter().any(|mark| bare.starts_with(mark));
    let head = |line: &str, names: &[&str]| names.iter().any(|name| line.starts_with(name));
    let headed = head(&first, SENDERS)
        && lines.iter().skip(1).take(HEAD_LINES).any(|line| head(&line.trim().to_lowercase(), HEADERS));
    marked || headed
}

const HEAD_LINES: usize = 6;
const MARKS: &[&str] = &[
    "forwarded message",
    "forwarded",
    "begin forwarded message",
    "original message",
    "original-nachricht",
    "ursprüngliche nachricht",
    "weitergeleitete nachricht",
    "anfang der weitergeleiteten",
    "message transféré",
    "mensaje reenviado",
    "doorgestuurd bericht",
    "messaggio inoltrato",
];
const SENDERS: &[&str] = &["from:", "von:", "de:", "da:", "van:", "*from:*"];
const HEADERS: &[&str] = &[
    "subject:",
    "to:",
    "date:",
    "sent:",
    "cc:",
    "betreff:",
    "an:",
    "datum:",
    "gesendet:",
    "objet:",
    "asunto:",
    "oggetto:",
    "onderwerp:",
    "*subject:*",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_words_are_typed() {
        let table = [
            ("write to bob@home.example", "write to bob@home.example\n", false),
            ("", "", false),
            ("a\n> eve@evil.example\nb", "a\nb\n", true),
            ("look:\n```\nhttps://evil.example\n```\nthanks", "look:\nthanks\n", true),
            ("fyi\n---------- Forwarded message ---------\nFrom: Eve\nmail eve@evil.example", "fyi\n", true),
            ("fyi\nBegin forwarded message:\n\nhi", "fyi\n", true),
            ("fyi\n-----Original Message-----\nhi", "fyi\n", true),
            ("see\nFrom: Eve <eve@evil.example>\nSent: today\nhi", "see\n", true),
            ("Von: Eve\nDatum: heute\nBetreff: hi\n\nhi", "", true),
            ("from: Oslo\nto Bergen by train", "from: Oslo\nto Bergen by train\n", false),
            ("forwarded it already", "forwarded it already\n", false),
        ];
        for (text, own, foreign) in table {
            assert_eq!(Typed::of(text), Typed { own: own.into(), holds_foreign_text: foreign }, "{text}");
        }
    }

    #[test]
    fn what_nobody_types_by_hand_is_a_document() {
        let fits = "x".repeat(limits::TYPED_CHARS);
        assert!(!Typed::of(&fits).holds_foreign_text);
        assert_eq!(Typed::of(&format!("{fits}x")), Typed { own: String::new(), holds_foreign_text: true });
    }
}
