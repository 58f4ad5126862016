//! The engine against a real database, with a scripted model and scripted tools.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here is a failed test")]

adjutant_testkit::launcher!();

mod consent;
mod policies;
mod questions;
mod queue;
mod recovery;
mod rights;
mod steer;
mod submit;
mod support;
