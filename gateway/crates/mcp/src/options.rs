//! What the caller decides: where tasks run, what a child process inherits, and the limits, which
//! tests make small.

use std::time::Duration;

use adjutant_core::limits;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::egress::Lookup;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Every task of this crate runs here.
    pub tasks: TaskTracker,
    /// Ends all bridges. [`crate::pool::Bridges::shutdown`] cancels a child of it.
    pub stop: CancellationToken,
    /// All that a stdio server inherits besides its configured `env`: `PATH`, `HOME`, `LANG`, `TZ`.
    /// The gateway's own secrets must not be among them.
    pub child_env: Vec<(String, String)>,
    /// Somebody may answer a tool's questions: sessions announce it.
    pub asks: bool,
    /// How the names of users' servers become addresses.
    pub lookup: Lookup,
    pub limits: Limits,
}

/// The numbers of [`adjutant_core::limits`], and three that nobody else needs to know.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One attempt to start and greet a server.
    pub connect: Duration,
    /// How long a listing or a call waits for a server that is being connected.
    pub grace: Duration,
    /// One listing of tools.
    pub list: Duration,
    /// A bridge without use is closed.
    pub idle: Duration,
    /// The first pause after a failed attempt; it doubles up to `backoff`.
    pub first_backoff: Duration,
    pub backoff: Duration,
    /// Between closing a child's input, SIGTERM and SIGKILL.
    pub kill_grace: Duration,
    pub tools: usize,
    pub message_bytes: usize,
    pub result_bytes: usize,
    pub description_bytes: usize,
    pub schema_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: limits::MCP_CONNECT,
            grace: limits::MCP_CONNECT_GRACE,
            list: limits::MCP_LIST,
            idle: limits::MCP_IDLE,
            first_backoff: Duration::from_secs(1),
            backoff: limits::MCP_BACKOFF,
            kill_grace: Duration::from_secs(2),
            tools: limits::MCP_TOOLS,
            message_bytes: limits::MCP_MESSAGE_BYTES,
            result_bytes: limits::TOOL_RESULT_BYTES,
            description_bytes: 2 * 1024,
            schema_bytes: 16 * 1024,
        }
    }
}
