//! `PostgreSQL`: the only crate that contains SQL. Two doors lead in ([`store::Store::scoped`] and
//! [`store::Store::system`]); query functions, one module per noun, take the transaction that a door opened.
//! Deliberately absent: network calls, business rules, and any way to a bare connection.

pub mod approvals;
pub mod error;
pub mod events;
pub mod hints;
pub mod ledger;
pub mod messages;
pub mod runs;
pub mod steps;
pub mod store;
pub mod threads;
pub mod tx;
