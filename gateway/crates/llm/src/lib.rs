//! Clients for language models behind `adjutant_core::model::LlmClient`. The crate `genai` shapes
//! requests, sends them and cuts the stream into events; which model is asked with whose key, retries,
//! limits, the reading of answers, prices and the wording of errors are here. Deliberately absent:
//! conversations, prompts, tools that run.

pub mod client;
pub mod offers;
pub mod prices;
pub mod router;
pub mod settings;
pub mod trial;

mod answer;
mod anthropic;
mod attempt;
mod calls;
mod circuit;
mod egress;
mod failure;
mod http;
mod ollama;
mod openai;
mod redact;
mod retry;
mod wire;

use crate::client::Client;
use crate::settings::{Settings, SetupError};

/// The client of one provider, to ask it for its models. Cheap to clone; holds one connection pool.
pub fn client(settings: Settings) -> Result<Client, SetupError> {
    Client::new(settings)
}

/// What every call says where no model is configured.
pub fn advice() -> &'static str {
    router::plan::ADVICE
}
