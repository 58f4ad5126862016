//! The door that speaks AG-UI 1.0 over server-sent events: `POST /api/agui`.
//!
//! What a request says: `input`; what its messages are made of: `content`. Which thread it means and what is new to
//! that: `known`. From there to its run: `start`, or `resume` where one was interrupted. The run as events: `telling`.
//! What it waits for, in the protocol's words: `interrupts`, and forms of tools: `form`.

pub mod door;

mod content;
mod form;
mod input;
mod interrupts;
mod known;
mod resume;
mod start;
mod telling;
