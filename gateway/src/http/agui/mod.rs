//! The door that speaks AG-UI 1.0 over server-sent events: `POST /api/agui`.
//!
//! What a request says: `input`; what its messages are made of: `content`. Which thread it means and what is new to that: `known`. From there to its run:
//! `start`. The run as events: `telling`. What it waits for, in the protocol's words: `interrupts`.

pub mod door;

mod content;
mod input;
mod interrupts;
mod known;
mod start;
mod telling;
