//! Threads as such: what people change of them, copies of them, messages that are said otherwise, their titles, and their
//! removal for good.

pub mod change;
pub mod fork;
pub mod purge;
pub mod save;
