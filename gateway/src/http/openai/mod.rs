//! The door that speaks OpenAI's chat completions: `POST /v1/chat/completions` and `GET /v1/models`.
//!
//! Which parameters count: `options`. Which messages count: `history` and `thread`. How an answer is
//! put together from a run's events: `follow` and `visible`, the same for a stream and for a whole.

pub mod chat;
pub mod failure;
pub mod models;

mod answer;
mod calls;
mod follow;
mod guard;
mod headers;
mod history;
mod options;
mod request;
mod start;
mod stream;
mod telling;
mod thread;
mod visible;
mod waiting;
