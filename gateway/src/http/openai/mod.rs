//! The door that speaks OpenAI's chat completions: `POST /v1/chat/completions` and `GET /v1/models`.
//!
//! Which parameters count: `options`. What messages hold: `content`. Which count: `history` and `thread`. How an answer is
//! put together from a run's events: `follow` and `visible`, the same for a stream and for a whole.

pub mod chat;
pub mod failure;
pub mod models;

mod answer;
pub(super) mod calls;
mod content;
mod follow;
mod guard;
pub(super) mod headers;
pub(super) mod history;
pub(super) mod options;
pub(super) mod request;
pub(super) mod start;
mod stream;
pub(super) mod telling;
pub(super) mod thread;
pub(super) mod visible;
pub(super) mod waiting;
