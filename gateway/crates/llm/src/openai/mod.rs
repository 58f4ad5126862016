//! The wire format of `OpenAI` chat completions, as it and most other providers serve it.

pub(crate) mod answer;
mod chunk;
pub(crate) mod request;
