//! Threads as such: what people change of them, copies of them, summaries of their older part, messages that are said
//! otherwise, their titles, and their removal for good.

pub mod change;
mod compact;
pub mod fork;
pub mod purge;
pub mod save;
