//! The port to tools: what a tool says of itself, how it is called, and what its risk is.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::message::ForeignText;
use crate::question::CallDoor;
use crate::scope::Scope;

/// Where tools come from: the user's MCP servers in production.
pub trait ToolSource: Send + Sync {
    /// The tools this scope can use now. Answers from what is connected; a server that is dead or
    /// slow is listed as trouble and never holds up the others beyond the connect grace in
    /// [`crate::limits`], and that only on its first connection.
    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, ToolCatalogue>;

    /// Calls a tool. Dropping the future cancels the call at the server (best effort).
    fn call<'a>(&'a self, scope: &'a Scope, request: ToolRequest) -> BoxFuture<'a, Result<ToolReply, ToolError>>;
}

#[derive(Debug, Clone, Default)]
pub struct ToolCatalogue {
    /// Sorted by name, so that equal sets give equal prompts.
    pub tools: Vec<ToolSpec>,
    pub troubles: Vec<ServerTrouble>,
}

/// A server whose tools are not available now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerTrouble {
    pub server: String,
    /// One safe sentence.
    pub reason: String,
}

/// One tool as offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec {
    /// Unique in a catalogue; at most 64 of `A-Z a-z 0-9 _ -`, made by [`namespaced`].
    pub name: String,
    pub server: String,
    /// The server's own name of the tool.
    pub tool: String,
    pub description: String,
    pub input_schema: Value,
    pub hints: Hints,
    #[serde(default)]
    pub added_by: AddedBy,
}

/// Who brought the server of a tool: the consent policies differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddedBy {
    /// The operator's `mcp.json`.
    #[default]
    Operator,
    /// The user, by REST.
    User,
}

/// What a server claims of a tool (MCP tool annotations). Absent means not claimed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    pub read_only: Option<bool>,
    pub destructive: Option<bool>,
    pub idempotent: Option<bool>,
    pub open_world: Option<bool>,
}

/// What running a tool may do, as far as its server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    ReadOnly,
    /// Has effects; explicitly declared destructive.
    Destructive,
    /// Has effects, or does not say.
    Effects,
}

impl Hints {
    pub fn risk(self) -> Risk {
        if self.read_only == Some(true) {
            Risk::ReadOnly
        } else if self.destructive == Some(true) {
            Risk::Destructive
        } else {
            Risk::Effects
        }
    }

    /// May be sent again when nobody knows whether it already happened.
    pub fn repeatable(self) -> bool {
        self.read_only == Some(true) || self.idempotent == Some(true)
    }
}

#[derive(Debug, Clone)]
pub struct ToolRequest {
    pub server: String,
    pub tool: String,
    /// Always a JSON object.
    pub arguments: Value,
    pub timeout: Duration,
    /// Where the call reports progress and asks a person.
    pub door: CallDoor,
}

/// What a tool answered, already capped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolReply {
    pub content: ForeignText,
    /// The tool says that it failed (`isError`).
    pub is_error: bool,
    pub truncated: bool,
}

/// A call without an answer. The sentences are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// Nothing was sent: not connected, or no such tool there.
    #[error("{0}")]
    Unavailable(String),
    /// The server refused the request itself (unknown tool, invalid arguments): it did not run.
    #[error("{0}")]
    Refused(String),
    /// The request left and no answer came: it may have happened.
    #[error("{0}")]
    Lost(String),
}

/// `server__tool`, made fit for every provider: foreign characters become `_`, and a name over 64
/// characters keeps its beginning and gets a hash of the whole.
pub fn namespaced(server: &str, tool: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let plain: String = format!("{server}__{tool}").chars().map(clean).collect();
    let unchanged = plain.len() == server.len() + 2 + tool.len();
    if plain.len() <= NAME_MAX && unchanged && plain == format!("{server}__{tool}") {
        return plain;
    }
    let digest = fnv1a(server, tool);
    let keep = NAME_MAX - 9;
    format!("{}_{digest:08x}", &plain[..plain.len().min(keep)])
}

const NAME_MAX: usize = 64;

/// FNV-1a, 32 bits: stable over releases, which the standard library's hasher does not promise.
fn fnv1a(server: &str, tool: &str) -> u32 {
    let bytes = server.bytes().chain([0]).chain(tool.bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_every_provider_and_stay_apart() {
        assert_eq!(namespaced("time", "get_current_time"), "time__get_current_time");
        let long = namespaced("server", &"x".repeat(80));
        let other = namespaced("server", &"x".repeat(81));
        assert_eq!((long.len(), other.len()), (64, 64));
        assert_ne!(long, other);
        assert_ne!(namespaced("a", "b c"), namespaced("a", "b_c"));
        assert!(namespaced("ü", "名前").bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-'));
    }

    #[test]
    fn only_claims_lower_the_risk() {
        assert_eq!(Hints::default().risk(), Risk::Effects);
        assert!(!Hints::default().repeatable());
        let read_only = Hints { read_only: Some(true), destructive: Some(true), ..Hints::default() };
        assert_eq!(read_only.risk(), Risk::ReadOnly);
        assert!(Hints { idempotent: Some(true), ..Hints::default() }.repeatable());
    }
}
