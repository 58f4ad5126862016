//! MCP client bridges: a [`adjutant_core::tool::ToolSource`] over the operator's servers and users' own, with
//! one warm session per (user, profile, server). Reads no environment, knows no table, decides no consent.

mod base;
mod bridge;
mod calls;
pub mod config;
pub mod content;
pub mod directory;
pub mod egress;
mod elicit;
mod expand;
mod failure;
mod handler;
mod handshake;
mod http;
pub mod options;
pub mod pool;
mod reading;
mod reply;
mod secrets;
mod session;
mod stdio;
mod tools;
