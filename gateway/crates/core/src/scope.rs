//! Who acts, for which profile, by which right and from where. A [`Scope`] is made once, at the edge.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The text is not a slug: 1 to 40 of `a-z`, `0-9`, `-`, `_`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is 1 to 40 characters of a-z, 0-9, '-' and '_', and starts with a letter or digit")]
pub struct InvalidSlug {
    what: &'static str,
}

const SLUG_MAX: usize = 40;

fn parse_slug(text: &str, what: &'static str) -> Result<Arc<str>, InvalidSlug> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let fits = (1..=SLUG_MAX).contains(&bytes.len())
        && plain(bytes[0])
        && bytes.iter().all(|&c| plain(c) || c == b'-' || c == b'_');
    if fits { Ok(text.into()) } else { Err(InvalidSlug { what }) }
}

macro_rules! slugs {
    ($($(#[$doc:meta])* $name:ident = $what:literal)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,39}$")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
                parse_slug(text, $what).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

slugs! {
    /// A person who can sign in.
    UserId = "user id"
    /// One assistant identity of a user, such as `personal` or `work`.
    ProfileName = "profile name"
}

/// What a key may do. `cos_internal` is no role: it is [`Origin::Internal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Personal,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "personal" => Some(Self::Personal),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// The door through which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    WebSocket,
    Rest,
    OpenAi,
    /// An in-process call by the server itself, such as recovery after a crash.
    Internal,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "web_socket",
            Self::Rest => "rest",
            Self::OpenAi => "open_ai",
            Self::Internal => "internal",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::WebSocket, Self::Rest, Self::OpenAi, Self::Internal].into_iter().find(|origin| origin.as_str() == text)
    }
}

/// Who acts, for which profile, by which right, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub user: UserId,
    pub profile: ProfileName,
    pub role: Role,
    pub origin: Origin,
    /// The operator's model keys may pay: the user's grant and the key's flag, which only narrows it.
    pub operator_llm: bool,
    /// The key that it was made from; `None`: none, as for what the server itself begins.
    pub key: Option<Arc<str>>,
}

impl Scope {
    /// A scope without a key, which may use the operator's model keys.
    pub fn new(user: UserId, profile: ProfileName, role: Role, origin: Origin) -> Self {
        Self { user, profile, role, origin, operator_llm: true, key: None }
    }

    /// What decides visibility of rows: two scopes with equal owners see the same data.
    pub fn owner(&self) -> Owner {
        Owner { user: self.user.clone(), profile: self.profile.clone() }
    }
}

/// What a run may do at this moment, whatever its scope could do when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// The user is not disabled, and the key that the run was asked for with is not revoked.
    pub is_active: bool,
    /// The user's grant and the key's flag.
    pub operator_llm: bool,
    pub role: Role,
}

/// A user and one of their profiles: the owner of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    pub user: UserId,
    pub profile: ProfileName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_lower_case_and_plain() {
        for good in ["a", "varun", "anna-2", "7of9", "a_b"] {
            assert!(UserId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "Anna", "a b", "ä", "a/b", &"x".repeat(41)] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }
}
