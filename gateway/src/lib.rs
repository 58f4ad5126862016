//! The gateway: doors, configuration, boot. A library so that tests can own port and end; `main` is
//! thin. Deliberately absent: SQL, model and tool protocols, business rules.

pub mod app;
pub mod auth;
pub mod boot;
pub mod cli;
pub mod config;
pub mod http;
pub mod problem;
pub mod telemetry;
pub mod ui;
pub mod wire;
pub mod ws;
