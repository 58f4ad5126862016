//! Makes a provider's words fit to be shown: short, one line, without keys and addresses. Providers
//! quote the key they refuse, whole or in part.

use secrecy::{ExposeSecret, SecretString};

use crate::settings::Provider;

const SHOWN_CHARS: usize = 200;
/// So many characters in a row of the key are taken for the key.
const KEY_WINDOW: usize = 6;
/// Words of this length are no words.
const WORD_CHARS: usize = 40;
const MARK: &str = "[redacted]";

#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    key: Option<SecretString>,
    provider: Provider,
    is_users: bool,
}

impl Redactor {
    pub(crate) fn new(key: Option<SecretString>, provider: Provider, is_users: bool) -> Self {
        Self { key, provider, is_users }
    }

    /// What to do about a key that is refused.
    pub(crate) fn key_advice(&self) -> String {
        match (self.is_users, self.provider) {
            (true, provider) => format!("check your key llm_{}", provider.as_str()),
            (false, provider) => format!("check {}", provider.key_setting()),
        }
    }

    /// What to do about an address that answers something else.
    pub(crate) fn address_advice(&self) -> String {
        if self.is_users {
            return "check the address that your key is stored for".to_owned();
        }
        format!("check {}", self.provider.url_setting())
    }

    /// What to do about a model that is not known.
    pub(crate) fn model_advice(&self) -> String {
        if self.is_users {
            return "check the name of the model".to_owned();
        }
        format!("check LLM_MODEL and {}", self.provider.url_setting())
    }

    pub(crate) fn clean(&self, text: &str) -> String {
        let mut clean = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if !clean.is_empty() {
                clean.push(' ');
            }
            clean.push_str(if self.is_secret(word) { MARK } else { word });
            if clean.len() > 4 * SHOWN_CHARS {
                break;
            }
        }
        match clean.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &clean[..end]),
            None => clean,
        }
    }

    fn is_secret(&self, word: &str) -> bool {
        let lower = word.to_ascii_lowercase();
        lower.contains("sk-")
            || lower.contains("sk_")
            || lower.contains("://")
            || lower.contains("www.")
            || word.contains("**")
            || word.chars().count() > WORD_CHARS
            || self.shares_with_key(word)
    }

    fn shares_with_key(&self, word: &str) -> bool {
        let Some(key) = &self.key else { return false };
        let key = key.expose_secret().trim().as_bytes();
        if key.is_empty() {
            return false;
        }
        let window = KEY_WINDOW.min(key.len());
        key.windows(window).any(|part| word.as_bytes().windows(window).any(|piece| piece == part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(Some(SecretString::from("local-test-0123456789")), Provider::OpenAi, false)
    }

    #[test]
    fn keys_and_addresses_are_taken_out() {
        let cases = [
            ("Incorrect API key provided: sk-abc12.", "Incorrect API key provided: [redacted]"),
            ("key \"local-test-0123456789\" is wrong", "key [redacted] is wrong"),
            ("key local-*****6789 is wrong", "key [redacted] is wrong"),
            ("key …456789 is wrong", "key [redacted] is wrong"),
            ("see https://x.example/?key=1 now", "see [redacted] now"),
            ("two\r\nlines\u{0}and\u{1b}[31m more", "two lines and [31m more"),
            ("maximum context length is 8192 tokens", "maximum context length is 8192 tokens"),
        ];
        for (said, shown) in cases {
            assert_eq!(redactor().clean(said), shown);
        }
    }

    #[test]
    fn long_texts_and_long_words_are_cut() {
        let long = redactor().clean(&"ä b ".repeat(4_000));
        assert_eq!(long.chars().count(), SHOWN_CHARS + 1);
        assert_eq!(redactor().clean(&"x".repeat(41)), MARK);
    }
}
