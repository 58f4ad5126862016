//! For tests only: a real database per test, a scripted provider, model and tools.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test support: a failure here is a failed test"
)]

pub mod cluster;
pub mod db;
pub mod effects;
pub mod model;
pub mod provider;
pub mod tools;
pub mod world;
