//! The store against a real server, as the roles that serve.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test"
)]

adjutant_testkit::launcher!();

mod catalog;
mod credentials;
mod doors;
mod isolation;
mod keys;
mod profiles;
mod queries;
mod replica;
mod said;
mod start;
mod support;
