//! The tool source against servers that are real, and against fakes that fail in every way.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken expectation ends the test")]

mod config;
mod fake;
mod http;
mod peers;
mod stdio;
mod support;
