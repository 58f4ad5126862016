//! The wire format of Ollama's own chat, and how a local Ollama is found.

pub(crate) mod answer;
pub(crate) mod local;
pub(crate) mod request;
