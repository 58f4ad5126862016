//! A profile: one assistant of a user, and everything that varies between two of them. Its name is in
//! [`crate::scope`]; where it is stored and who may change it is not decided here.

use chrono_tz::Tz;

use crate::limits;
use crate::message::without_nul;

/// The profile that every user has.
pub const PERSONAL: &str = "personal";

/// What a person or the operator's file says of a profile. Made by [`ProfileSettings::accept`] where it
/// comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSettings {
    pub display_name: String,
    /// What may answer, in order of preference, as `provider/model` or `model`; empty: the operator's order.
    pub models: Vec<String>,
    /// `None`: [`crate::prompt::SYSTEM`].
    pub system_prompt: Option<String>,
    /// What the user told about themselves; part of every prompt.
    pub user_context: Option<String>,
    pub time_zone: Tz,
    /// Which of the operator's MCP servers it may use; `None`: all. The user's own are not concerned.
    pub allowed_servers: Option<Vec<String>>,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self {
            display_name: String::new(),
            models: Vec::new(),
            system_prompt: None,
            user_context: None,
            time_zone: Tz::UTC,
            allowed_servers: None,
        }
    }
}

/// Who wrote a profile last. What a person wrote is never overwritten from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileOrigin {
    /// Made beside a user or a key, with nothing in it.
    System,
    File,
    Person,
}

impl ProfileOrigin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::File => "file",
            Self::Person => "person",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::File, Self::Person].into_iter().find(|origin| origin.as_str() == text)
    }
}

/// A setting of a profile that cannot be, in a sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct InvalidProfile {
    /// As REST names it.
    pub field: &'static str,
    pub reason: String,
}

impl ProfileSettings {
    /// Checks what came from outside. Texts of nothing but space count as absent, NUL is replaced.
    pub fn accept(self) -> Result<Self, InvalidProfile> {
        let accepted = Self {
            display_name: self.display_name.trim().to_owned(),
            system_prompt: self.system_prompt.map(without_nul).filter(|text| !text.trim().is_empty()),
            user_context: self.user_context.map(without_nul).filter(|text| !text.trim().is_empty()),
            ..self
        };
        check_display_name(&accepted.display_name).map_err(|reason| invalid("displayName", reason))?;
        check_length("systemPrompt", accepted.system_prompt.as_deref(), limits::SYSTEM_PROMPT_BYTES)?;
        check_length("userContext", accepted.user_context.as_deref(), limits::USER_CONTEXT_BYTES)?;
        check_list("models", &accepted.models, limits::PROFILE_MODELS, limits::MODEL_NAME_CHARS)?;
        let servers = accepted.allowed_servers.as_deref().unwrap_or_default();
        check_list("allowedServers", servers, limits::PROFILE_SERVERS, limits::DISPLAY_NAME_CHARS)?;
        Ok(accepted)
    }
}

/// The zone of an IANA name, such as `Europe/Berlin`.
pub fn parse_time_zone(name: &str) -> Result<Tz, InvalidProfile> {
    let unknown = "is no time zone; write it as Europe/Berlin or UTC";
    name.parse().map_err(|_| invalid("timeZone", unknown))
}

/// Whether a name may stand in lists; the reason when not.
pub fn check_display_name(name: &str) -> Result<(), String> {
    let fits = name.chars().count() <= limits::DISPLAY_NAME_CHARS && !name.chars().any(char::is_control);
    let reason = || format!("is at most {} characters on one line", limits::DISPLAY_NAME_CHARS);
    if fits { Ok(()) } else { Err(reason()) }
}

fn check_length(field: &'static str, text: Option<&str>, limit: usize) -> Result<(), InvalidProfile> {
    let fits = text.is_none_or(|text| text.len() <= limit);
    if fits { Ok(()) } else { Err(invalid(field, format!("is longer than {limit} bytes"))) }
}

fn check_list(field: &'static str, entries: &[String], count: usize, chars: usize) -> Result<(), InvalidProfile> {
    if entries.len() > count {
        return Err(invalid(field, format!("has more than {count} entries")));
    }
    let plain = |entry: &String| {
        (1..=chars).contains(&entry.chars().count()) && !entry.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if !entries.iter().all(plain) {
        return Err(invalid(field, format!("has an entry that is not 1 to {chars} characters without spaces")));
    }
    let twice = entries.iter().enumerate().any(|(index, entry)| entries[..index].contains(entry));
    if twice { Err(invalid(field, "names something twice")) } else { Ok(()) }
}

fn invalid(field: &'static str, reason: impl Into<String>) -> InvalidProfile {
    InvalidProfile { field, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: ProfileSettings) -> &'static str {
        settings.accept().map_or_else(|invalid| invalid.field, |_| "nothing")
    }

    #[test]
    fn texts_and_lists_are_bounded() {
        let with = ProfileSettings::default;
        let long = |bytes: usize| Some("x".repeat(bytes));
        let many = |count: usize| (0..count).map(|n| format!("m{n}")).collect::<Vec<_>>();
        assert_eq!(refused(with()), "nothing");
        assert_eq!(refused(ProfileSettings { display_name: "x".repeat(101), ..with() }), "displayName");
        assert_eq!(refused(ProfileSettings { display_name: "a\nb".to_owned(), ..with() }), "displayName");
        let over = long(limits::SYSTEM_PROMPT_BYTES + 1);
        assert_eq!(refused(ProfileSettings { system_prompt: over.clone(), ..with() }), "systemPrompt");
        assert_eq!(refused(ProfileSettings { user_context: over, ..with() }), "userContext");
        assert_eq!(refused(ProfileSettings { user_context: long(limits::USER_CONTEXT_BYTES), ..with() }), "nothing");
        assert_eq!(refused(ProfileSettings { models: many(limits::PROFILE_MODELS + 1), ..with() }), "models");
        for bad in ["", "a b", "a\0b", &"x".repeat(201)] {
            assert_eq!(refused(ProfileSettings { models: vec![bad.to_owned()], ..with() }), "models", "{bad}");
        }
        let twice = Some(vec!["time".to_owned(), "time".to_owned()]);
        assert_eq!(refused(ProfileSettings { allowed_servers: twice, ..with() }), "allowedServers");
        assert_eq!(refused(ProfileSettings { allowed_servers: Some(Vec::new()), ..with() }), "nothing");
    }

    #[test]
    fn empty_texts_are_absent_and_nul_is_replaced() {
        let settings = ProfileSettings {
            display_name: " Work ".to_owned(),
            system_prompt: Some(" \n".to_owned()),
            user_context: Some("a\0b".to_owned()),
            ..ProfileSettings::default()
        };
        let accepted = settings.accept().unwrap();
        assert_eq!((accepted.display_name.as_str(), accepted.system_prompt), ("Work", None));
        assert_eq!(accepted.user_context.as_deref(), Some("a\u{fffd}b"));
    }

    #[test]
    fn time_zones_are_those_of_iana() {
        assert_eq!(parse_time_zone("Europe/Berlin").unwrap(), Tz::Europe__Berlin);
        for bad in ["", "Berlin", "europe/berlin", "+02:00", "Europe/Berlin\0"] {
            assert_eq!(parse_time_zone(bad).unwrap_err().field, "timeZone", "{bad}");
        }
    }
}
