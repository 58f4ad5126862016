//! The client against a server that misbehaves byte by byte, and against an independent peer.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on panics; its server is a task and its peer a process of its own"
)]

mod answers;
mod cuts;
mod fake;
mod formats;
mod http_errors;
mod judge;
mod load;
mod peer;
mod requests;
mod router;
mod secrets;
mod setup;
mod support;
