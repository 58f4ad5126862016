//! The tool source against servers that are real, and against fakes that fail in every way.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken expectation ends the test")]

mod book;
mod config;
mod conformance;
mod egress;
mod fake;
mod http;
mod own;
mod peers;
mod proof;
mod questions;
mod stdio;
mod support;
