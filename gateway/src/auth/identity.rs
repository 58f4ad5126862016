//! What a credential says of its bearer. Resolved once, at the edge.

use adjutant_core::scope::{ProfileName, Role, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub key_id: String,
    /// The signed-in browser that stands in for the key; its rights are the key's.
    pub device: Option<String>,
    pub user: UserId,
    /// `None`: every profile of the user; the client picks one.
    pub profile: Option<ProfileName>,
    pub role: Role,
    pub allow_operator_llm: bool,
}

impl Identity {
    /// Whether this is, or depends on, the key or device of this id.
    pub fn is_of(&self, id: &str) -> bool {
        self.key_id == id || self.device.as_deref() == Some(id)
    }
}
