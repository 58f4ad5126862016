//! The keys of a vault as an operator writes them: `id:key` between commas or lines, the current one first, each key 32
//! bytes in base64 or hex. Faults never quote what they are about: it may be a key.

use std::fmt;

use adjutant_core::limits;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const ID_MAX: usize = 32;
/// Before the id of a key that was given none: the rest follows from the key, so that a mistyped key shows.
const DERIVED: char = 'k';
const DERIVED_HEX: usize = 12;

type KeyBytes = Zeroizing<[u8; 32]>;

/// At least one key, the current one first.
#[derive(Clone)]
pub struct KeyRing(Vec<(String, KeyBytes)>);

/// What is wrong with the text; says which entry, never what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    #[error("holds no key; `openssl rand -base64 32` makes one")]
    Empty,
    #[error("holds more than {} keys", limits::VAULT_KEYS)]
    TooMany,
    #[error("key {0} is not 32 bytes in base64 or hex; `openssl rand -base64 32` makes a good one")]
    Form(usize),
    #[error("key {0} has an id that is not 1 to {ID_MAX} characters of a-z, 0-9, '-' and '_'")]
    Id(usize),
    #[error("key {0} is damaged: its id belongs to another key")]
    Damaged(usize),
    #[error("key {0} is all one byte, so it is none; `openssl rand -base64 32` makes a good one")]
    Weak(usize),
    #[error("key {0} has the id of an earlier one")]
    Twice(usize),
}

impl KeyRing {
    /// Lines that begin with `#` are left out.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
        let mut keys: Vec<(String, KeyBytes)> = Vec::new();
        for (number, entry) in (1..).zip(entries) {
            if number > limits::VAULT_KEYS {
                return Err(InvalidKeys::TooMany);
            }
            let (id, key) = read(number, entry)?;
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(InvalidKeys::Twice(number));
            }
            keys.push((id, key));
        }
        if keys.is_empty() { Err(InvalidKeys::Empty) } else { Ok(Self(keys)) }
    }

    /// One fresh key.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = KeyBytes::default();
        getrandom::fill(key.as_mut_slice())?;
        Ok(Self(vec![(derived_id(&key), key)]))
    }

    /// The keys of `other` behind ours, for reading what they encrypted.
    #[must_use]
    pub fn followed_by(mut self, other: Self) -> Self {
        for (id, key) in other.0 {
            if !self.0.iter().any(|(known, _)| *known == id) {
                self.0.push((id, key));
            }
        }
        self
    }

    pub fn current_id(&self) -> &str {
        self.0.first().map_or("", |(id, _)| id)
    }

    /// As [`KeyRing::parse`] reads it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for (id, key) in &self.0 {
            let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(key.as_slice()));
            text.push_str(id);
            text.push(':');
            text.push_str(&encoded);
            text.push('\n');
        }
        text
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &[u8; 32])> {
        self.0.iter().map(|(id, key)| (id.as_str(), &**key))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

fn read(number: usize, entry: &str) -> Result<(String, KeyBytes), InvalidKeys> {
    let (id, text) = match entry.split_once(':') {
        Some((id, text)) => (Some(id.trim()), text.trim()),
        None => (None, entry),
    };
    let key = decode(text).ok_or(InvalidKeys::Form(number))?;
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(InvalidKeys::Weak(number));
    }
    let derived = derived_id(&key);
    let Some(id) = id else { return Ok((derived, key)) };
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(plain) {
        return Err(InvalidKeys::Id(number));
    }
    if looks_derived(id) && id != derived {
        return Err(InvalidKeys::Damaged(number));
    }
    Ok((id.to_owned(), key))
}

/// 64 hexadecimal digits would be base64 of 48 bytes too, so that the two cannot be confused.
fn decode(text: &str) -> Option<KeyBytes> {
    let mut key = KeyBytes::default();
    if text.len() == 64 {
        return hex::decode_to_slice(text, key.as_mut_slice()).ok().map(|()| key);
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        if let Ok(bytes) = GeneralPurpose::new(alphabet, config).decode(text).map(Zeroizing::new)
            && bytes.len() == key.len()
        {
            key.copy_from_slice(&bytes);
            return Some(key);
        }
    }
    None
}

fn derived_id(key: &KeyBytes) -> String {
    let hash = Sha256::new_with_prefix(b"adjutant vault key id\0").chain_update(key.as_slice()).finalize();
    format!("{DERIVED}{}", hex::encode(&hash[..DERIVED_HEX / 2]))
}

fn looks_derived(id: &str) -> bool {
    id.strip_prefix(DERIVED).is_some_and(|hex| {
        hex.len() == DERIVED_HEX && hex.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn ids(text: &str) -> Vec<String> {
        KeyRing::parse(text).unwrap().keys().map(|(id, _)| id.to_owned()).collect()
    }

    #[test]
    fn one_key_has_one_id_however_it_is_written() {
        let id = ids(HEX).remove(0);
        let unpadded = BASE64.trim_end_matches('=');
        for text in [
            BASE64,
            unpadded,
            &HEX.to_uppercase(),
            &format!("{id}:{HEX}"),
            &format!(" {BASE64} ,\n# a note, with a comma\n"),
        ] {
            assert_eq!(ids(text), [id.as_str()], "{text}");
        }
    }

    #[test]
    fn keys_stand_between_commas_or_lines_and_the_first_is_current() {
        let other = HEX.replace('0', "7");
        let ring = KeyRing::parse(&format!("new:{other},old:{HEX}\nolder:{}", HEX.replace('1', "9"))).unwrap();
        assert_eq!(ring.keys().map(|(id, _)| id).collect::<Vec<_>>(), ["new", "old", "older"]);
        assert_eq!(ring.current_id(), "new");
        let again = KeyRing::parse(&ring.to_text()).unwrap();
        assert!(again.keys().eq(ring.keys()));
    }

    #[test]
    fn bad_keys_are_refused_without_showing_them() {
        let id = ids(HEX).remove(0);
        let damaged = format!("{id}:{}", HEX.replace("1f", "2f"));
        let numbered = |n: usize| format!("k{n}:{}", HEX.replace("00", &format!("{n:02x}")));
        let many = (0..=limits::VAULT_KEYS).map(numbered).collect::<Vec<_>>().join("\n");
        for (text, expected) in [
            ("", InvalidKeys::Empty),
            (" , # ", InvalidKeys::Form(1)),
            ("# only a note", InvalidKeys::Empty),
            ("hunter2", InvalidKeys::Form(1)),
            (&format!("a:{HEX},b:{}", &HEX[2..]), InvalidKeys::Form(2)),
            (&format!("a:{HEX}00"), InvalidKeys::Form(1)),
            (&format!("A:{HEX}"), InvalidKeys::Id(1)),
            (&format!(":{HEX}"), InvalidKeys::Id(1)),
            (&format!("a:{HEX},a:{BASE64}"), InvalidKeys::Twice(2)),
            (&"0".repeat(64), InvalidKeys::Weak(1)),
            (&damaged, InvalidKeys::Damaged(1)),
            (&many, InvalidKeys::TooMany),
        ] {
            let error = KeyRing::parse(text).err();
            assert_eq!(error, Some(expected), "{text}");
            assert!(!error.unwrap().to_string().contains("hunter2"));
        }
        assert!(!format!("{:?}", KeyRing::parse(HEX)).contains("0102"));
    }

    #[test]
    fn made_keys_differ_and_old_ones_follow() {
        let (one, two) = (KeyRing::generate().unwrap(), KeyRing::generate().unwrap());
        assert_ne!(one.current_id(), two.current_id());
        let both = one.clone().followed_by(two.clone()).followed_by(one.clone());
        assert_eq!(both.keys().count(), 2);
        assert_eq!(both.current_id(), one.current_id());
    }
}
