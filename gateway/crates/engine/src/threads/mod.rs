//! Threads as such: what people change of them, copies of them, their titles, and their removal for good.

pub mod change;
pub mod fork;
pub mod purge;
