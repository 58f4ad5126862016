//! MCP client bridges: a [`adjutant_core::tool::ToolSource`] over the operator's servers, with one
//! warm session per (user, server). Reads no environment, knows no table, decides no consent.

mod base;
mod bridge;
pub mod config;
mod expand;
mod failure;
mod http;
pub mod options;
pub mod pool;
mod reply;
mod session;
mod stdio;
mod tools;
