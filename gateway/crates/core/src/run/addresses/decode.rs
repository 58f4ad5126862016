//! What a text comes to when somebody decodes it: percent signs, base64, hexadecimal, entities, escapes.

use std::collections::BTreeSet;

/// The text and what it decodes to, twice over. Bounded.
pub(super) fn views(text: &str) -> BTreeSet<String> {
    let mut views = BTreeSet::from([text.to_owned()]);
    let mut fresh = vec![text.to_owned()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for view in &fresh {
            for decoded in [percent(view), escapes(view), entities(view)].into_iter().flatten().chain(tokens(view)) {
                if views.len() < VIEWS && views.insert(decoded.clone()) {
                    next.push(decoded);
                }
            }
        }
        fresh = next;
    }
    views
}

const DEPTH: usize = 3;
const VIEWS: usize = 64;
/// Shorter ones are words.
const SHORTEST: usize = 8;

fn percent(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes.get(at + 1..at + 3).and_then(byte).filter(|_| bytes[at] == b'%') {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok().filter(|decoded| decoded != text)
}

/// `\u0040` and `\x40`, as they stand in JSON inside of JSON.
fn escapes(text: &str) -> Option<String> {
    coded(text, |rest| {
        let (length, skip) = if rest.starts_with("\\u") {
            (4, 2)
        } else if rest.starts_with("\\x") {
            (2, 2)
        } else {
            return rest.strip_prefix("\\/").map(|_| ('/', 2));
        };
        let digits = rest.get(skip..skip + length)?;
        Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, skip + length))
    })
}

/// `&#64;`, `&#x40;` and the few names that matter.
fn entities(text: &str) -> Option<String> {
    coded(text, |rest| {
        let inside = rest.strip_prefix('&')?.split_once(';')?.0;
        let c = match inside {
            "commat" => '@',
            "period" => '.',
            "sol" => '/',
            "colon" => ':',
            _ => {
                let number = inside.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        };
        Some((c, inside.len() + 2))
    })
}

/// Replaces what `read` understands at any place: a character, and how many bytes stood for it.
fn coded(text: &str, read: impl Fn(&str) -> Option<(char, usize)>) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (c, length) = read(rest).unwrap_or((c, c.len_utf8()));
        decoded.push(c);
        rest = rest.get(length..)?;
    }
    (decoded != text).then_some(decoded)
}

/// Words that are base64 or hexadecimal of readable text.
fn tokens(text: &str) -> Vec<String> {
    let is_code = |c: char| c.is_ascii_alphanumeric() || "+/-_".contains(c);
    let mut decoded = Vec::new();
    // A code may be cut into lines.
    let unbroken: String = text.split_whitespace().collect();
    for source in [text, unbroken.as_str()] {
        let words = source.split(|c: char| !is_code(c)).filter(|word| word.len() >= SHORTEST).take(VIEWS);
        decoded.extend(words.flat_map(|word| [base64(word), hexadecimal(word)]).flatten());
    }
    decoded
}

fn base64(word: &str) -> Option<String> {
    let mut bits = 0u32;
    let mut held = 0;
    let mut bytes = Vec::with_capacity(word.len());
    for c in word.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
    }
    readable(bytes)
}

fn hexadecimal(word: &str) -> Option<String> {
    let word = word.strip_prefix("0x").unwrap_or(word);
    if !word.len().is_multiple_of(2) {
        return None;
    }
    readable(word.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?)
}

fn byte(digits: &[u8]) -> Option<u8> {
    let digits = digits.iter().map(|c| char::from(*c).to_digit(16)).collect::<Option<Vec<_>>>()?;
    u8::try_from(digits.first()? * 16 + digits.get(1)?).ok()
}

fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    (text.len() > 3 && !text.chars().any(|c| c.is_control() && !c.is_whitespace())).then_some(text)
}
