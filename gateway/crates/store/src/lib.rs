//! `PostgreSQL`: the only crate that contains SQL. Two doors lead in ([`store::Store::scoped`] and
//! [`store::Store::system`]); query functions, one module per noun, take the transaction that a door opened.
//! Deliberately absent: network calls, business rules, and any way to a bare connection.

pub mod account;
pub mod approvals;
pub mod check;
pub mod client_threads;
pub mod consents;
pub mod credentials;
pub mod devices;
pub mod diagnose;
pub mod error;
pub mod events;
pub mod export;
pub mod files;
pub mod hints;
pub mod keys;
pub mod ledger;
pub mod listen;
pub mod mcp_servers;
pub mod messages;
pub mod migrate;
mod password;
pub mod policies;
pub mod pool;
pub mod profiles;
pub mod purge;
pub mod questions;
mod roles;
pub mod run_list;
pub mod runs;
pub mod said;
pub mod search;
pub mod sent;
pub mod steps;
pub mod store;
pub mod summaries;
pub mod thread_costs;
pub mod threads;
pub mod tickets;
pub mod tool_pins;
pub mod tree;
pub mod tx;
pub mod users;
pub mod vault;
pub mod waiting;
