//! What clients are told of threads: the events, and their way to whoever listens now.

pub mod event;
pub mod hub;
pub mod replay;
