//! Addresses in the arguments of a tool call: hosts, mail addresses and phone numbers to which bytes could go,
//! however they are written there, and whether the user named them. In doubt it is one that nobody named.
//! What a tool would have to decode by a secret of its own is beyond this.

mod decode;
mod scan;

use std::collections::BTreeSet;

use serde_json::Value;

use self::scan::{found_in, plain};

/// What the user said in their own words in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    addresses: BTreeSet<String>,
    /// The words, each between blanks.
    words: String,
}

impl Named {
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut named = Self { addresses: BTreeSet::new(), words: " ".to_owned() };
        for text in texts {
            named.addresses.extend(found_in(text));
            named.words.push_str(&words(text));
        }
        named
    }

    fn covers(&self, address: &str) -> bool {
        let bare = address.strip_prefix("www.").unwrap_or(address);
        self.addresses.contains(bare) || self.addresses.contains(&format!("www.{bare}"))
    }

    fn says(&self, value: &str) -> bool {
        let words = words(value);
        words.trim().chars().nth(1).is_some() && self.words.contains(&format!(" {words}"))
    }
}

/// How closely the arguments are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The tool only reads: what looks like an address, and what stands under a name such as `url`.
    Reading,
    /// The tool acts: also whatever stands under a name such as `to` or `channel`.
    Acting,
}

/// Whether a call with these arguments could reach somebody whom the user did not name.
pub fn reaches_strangers(arguments: &Value, named: &Named, look: Look) -> bool {
    let mut leaves = Vec::new();
    collect(arguments, false, look, &mut leaves);
    let stranger = |text: &str| decode::views(text).iter().any(|view| found_in(view).iter().any(|a| !named.covers(a)));
    for leaf in &leaves {
        let unnamed_goal = leaf.is_goal && !named.says(&leaf.text) && !is_covered_address(&leaf.text, named);
        if unnamed_goal || stranger(&leaf.text) {
            return true;
        }
    }
    // Cut in pieces: put together they must not make what none of them is.
    let whole = |text: &String| !found_in(text).is_empty();
    let texts: Vec<String> = leaves.into_iter().map(|leaf| leaf.text).collect();
    if texts.len() < 2 || texts.iter().any(whole) {
        return false;
    }
    let forward = texts.concat();
    let backward = texts.iter().rev().map(String::as_str).collect::<String>();
    [forward, backward].iter().any(|joined| scan::is_explicit(joined) && stranger(joined))
}

struct Leaf {
    text: String,
    /// It stands under a name that says where something goes.
    is_goal: bool,
}

fn collect(value: &Value, is_goal: bool, look: Look, leaves: &mut Vec<Leaf>) {
    match value {
        Value::String(text) if !text.trim().is_empty() => leaves.push(Leaf { text: text.clone(), is_goal }),
        Value::Number(number) if is_goal => leaves.push(Leaf { text: number.to_string(), is_goal }),
        Value::Array(entries) => entries.iter().for_each(|entry| collect(entry, is_goal, look, leaves)),
        Value::Object(fields) => {
            for (key, entry) in fields {
                // A key can carry text as well as a value can.
                leaves.push(Leaf { text: key.clone(), is_goal: false });
                collect(entry, is_goal || names_goal(key, look), look, leaves);
            }
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The value is one address, and the user named it.
fn is_covered_address(text: &str, named: &Named) -> bool {
    let found = found_in(text);
    !found.is_empty() && found.iter().all(|address| named.covers(address))
}

fn names_goal(key: &str, look: Look) -> bool {
    let words = key_words(key);
    match look {
        Look::Reading => words.last().is_some_and(|last| PLACES.contains(&last.as_str())),
        Look::Acting => words.iter().any(|word| PLACES.contains(&word.as_str()) || PEOPLE.contains(&word.as_str())),
    }
}

const PLACES: &[&str] = &[
    "url", "urls", "uri", "href", "host", "hosts", "hostname", "domain", "domains", "tld", "endpoint", "webhook",
    "callback", "website", "proxy", "feed", "email", "emails", "mail", "phone", "tel",
];
const PEOPLE: &[&str] = &[
    "to",
    "cc",
    "bcc",
    "recipient",
    "recipients",
    "receiver",
    "address",
    "addresses",
    "link",
    "server",
    "site",
    "number",
    "mobile",
    "fax",
    "sms",
    "chat",
    "channel",
    "room",
    "group",
    "user",
    "users",
    "username",
    "handle",
    "contact",
    "contacts",
    "person",
    "people",
    "member",
    "members",
    "attendee",
    "attendees",
    "guest",
    "guests",
    "invitee",
    "invitees",
    "participants",
    "share",
    "destination",
    "dest",
    "target",
    "payee",
    "account",
    "iban",
    "wallet",
    "beneficiary",
    "remote",
    "repo",
    "repository",
    "bucket",
    "topic",
];

/// `replyTo` and `reply_to` are both reply, to.
fn key_words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in plain(key).chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = c.is_lowercase();
        if let Some(last) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// In lower case, letters and digits alone, a blank after each word.
fn words(text: &str) -> String {
    let mut words = String::new();
    for word in plain(text).to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words.push_str(word);
        words.push(' ');
    }
    words
}

#[cfg(test)]
mod tests;
