//! Bytes of a terminal as keys. A sequence may come in pieces; what is not known is dropped. Pure.

const ESC: u8 = 0x1b;
const PASTE: &[u8] = b"\x1b[200~";
const PASTED: &[u8] = b"\x1b[201~";
/// More than this before the end of a paste is taken as it is.
const LONGEST_PASTE: usize = 4 * 1024 * 1024;
/// No sequence is longer.
const LONGEST_SEQUENCE: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    /// Pasted, with its line breaks.
    Paste(String),
    Enter,
    /// A line break within the message.
    Break,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    KillWord,
    KillBefore,
    KillAfter,
    /// Ctrl-D.
    Close,
    /// Ctrl-L.
    Clear,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// What has come and is no whole key yet.
    rest: Vec<u8>,
}

impl Keys {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.rest.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Some((length, key)) = first(&self.rest) {
            self.rest.drain(..length);
            match (keys.last_mut(), key) {
                // Letters that come together are one piece of work.
                (Some(Key::Text(text)), Some(Key::Text(more))) => text.push_str(&more),
                (_, Some(key)) => keys.push(key),
                (_, None) => {}
            }
        }
        keys
    }
}

/// The first key and how many bytes it takes; `None` where more must come first.
fn first(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let byte = *bytes.first()?;
    if byte == ESC {
        return escaped(bytes);
    }
    let key = match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        8 | 127 => Key::Backspace,
        1 => Key::Home,
        2 => Key::Left,
        4 => Key::Close,
        5 => Key::End,
        6 => Key::Right,
        11 => Key::KillAfter,
        12 => Key::Clear,
        14 => Key::Down,
        16 => Key::Up,
        21 => Key::KillBefore,
        23 => Key::KillWord,
        0..=31 => return Some((1, None)),
        _ => return letter(bytes),
    };
    Some((1, Some(key)))
}

fn letter(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let length = match bytes[0] {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return Some((1, None)),
    };
    let whole = bytes.get(..length)?;
    match std::str::from_utf8(whole) {
        Ok(text) => Some((length, Some(Key::Text(text.to_owned())))),
        Err(_) => Some((1, None)),
    }
}

fn escaped(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    if bytes.starts_with(PASTE) {
        return pasted(bytes);
    }
    match *bytes.get(1)? {
        b'[' | b'O' => {}
        b'\r' | b'\n' => return Some((2, Some(Key::Break))),
        b'b' => return Some((2, Some(Key::WordLeft))),
        b'f' => return Some((2, Some(Key::WordRight))),
        8 | 127 => return Some((2, Some(Key::KillWord))),
        ESC => return Some((1, None)),
        _ => return Some((2, None)),
    }
    // Parameters, then one final letter.
    let end = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte));
    let Some(end) = end.map(|end| end + 2) else {
        return (bytes.len() > LONGEST_SEQUENCE).then_some((bytes.len(), None));
    };
    let parameters = &bytes[2..end];
    let by_word = parameters.ends_with(b";5") || parameters.ends_with(b";3");
    let key = match (bytes[end], parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if by_word => Key::WordRight,
        (b'D', _) if by_word => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::Delete,
        _ => return Some((end + 1, None)),
    };
    Some((end + 1, Some(key)))
}

fn pasted(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let inner = &bytes[PASTE.len()..];
    let end = inner.windows(PASTED.len()).position(|window| window == PASTED);
    let (text, length) = match end {
        Some(end) => (&inner[..end], PASTE.len() + end + PASTED.len()),
        None if inner.len() > LONGEST_PASTE => (inner, bytes.len()),
        None => return None,
    };
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
    Some((length, Some(Key::Paste(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pieces: &[&[u8]]) -> Vec<Key> {
        let mut keys = Keys::default();
        pieces.iter().flat_map(|piece| keys.feed(piece)).collect()
    }

    fn text(text: &str) -> Key {
        Key::Text(text.to_owned())
    }

    #[test]
    fn letters_and_sequences_are_known_however_they_are_cut() {
        assert_eq!(keys(&["Grüß 🐈\n".as_bytes()]), [text("Grüß 🐈"), Key::Enter]);
        assert_eq!(keys(&[b"\xf0\x9f", b"\x90\x88\x1b", b"[", b"D"]), [text("🐈"), Key::Left]);
        assert_eq!(keys(&[b"\x1b[1;5C\x1bOH\x1b[3~\x1b\r"]), [Key::WordRight, Key::Home, Key::Delete, Key::Break]);
        // A mouse, a function key, a broken byte.
        assert_eq!(keys(&[b"\x1b[<0;1;1M\x1b[15~\xff\x00a"]), [text("a")]);
    }

    #[test]
    fn a_paste_is_one_piece_with_its_lines() {
        let expected = [Key::Paste("a\nb\n\u{1b}[Dc".to_owned()), Key::Enter];
        assert_eq!(keys(&[b"\x1b[200~a\r\nb\r\x1b[Dc\x1b[201~\n"]), expected);
        assert_eq!(keys(&[b"\x1b[20", b"0~a\r\nb\r\x1b[", b"Dc\x1b[2", b"01~", b"\n"]), expected);
    }
}
