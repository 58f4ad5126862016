//! Files that people attach to messages: uploads, what they are, and the way back out.

pub(in crate::http) mod inline;
pub mod kind;
pub mod name;
pub(in crate::http) mod pieces;
pub mod routes;
mod upload;
