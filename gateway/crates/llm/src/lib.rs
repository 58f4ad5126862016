//! Clients for language models behind `adjutant_core::model::LlmClient`. The crate `genai` shapes
//! requests, sends them and cuts the stream into events; retries, limits, the reading of answers and
//! the wording of errors are here. Deliberately absent: conversations, prompts, tools that run.

pub mod client;
pub mod offers;
pub mod settings;
pub mod unconfigured;

mod attempt;
mod failure;
mod http;
mod openai;
mod redact;
mod retry;

use crate::client::Client;
use crate::settings::{Settings, SetupError};

/// The client of one provider. Cheap to clone; holds one connection pool.
pub fn client(settings: Settings) -> Result<Client, SetupError> {
    Client::new(settings)
}
