//! What a key says of its bearer. Resolved once, at the edge.

use adjutant_core::scope::{ProfileName, Role, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub key_id: String,
    pub user: UserId,
    /// `None`: every profile of the user; the client picks one.
    pub profile: Option<ProfileName>,
    pub role: Role,
    pub allow_operator_llm: bool,
}
