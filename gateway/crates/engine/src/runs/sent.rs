//! The record of what a model call was sent: each message and the list of tools as JSON, by digest. Keys are no part
//! of it; of files it holds the name and the id, their bytes are stored once elsewhere.

use std::collections::HashSet;

use adjutant_core::message::Part;
use adjutant_core::model::{ModelRequest, PromptMessage};
use adjutant_core::tool::ToolSpec;
use adjutant_store::error::StoreError;
use adjutant_store::sent::{Piece, PieceDigest, SentStep};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What is kept of a request while its answer comes.
pub(super) struct Sent {
    models: Vec<String>,
    parameters: Value,
    tools: Vec<ToolSpec>,
    messages: Vec<PromptMessage>,
    at: DateTime<Utc>,
}

/// A step, and those of its pieces that may not be stored yet.
pub(super) struct SentRecord {
    pub(super) step: SentStep,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a [Part],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

impl Sent {
    pub(super) fn of(request: &ModelRequest, at: DateTime<Utc>) -> Self {
        Self {
            models: request.models.clone(),
            parameters: json!({"maxOutputTokens": request.max_output_tokens, "temperature": request.temperature}),
            tools: request.tools.clone(),
            messages: request.messages.clone(),
            at,
        }
    }

    /// The record of it as this step. `stored` knows the pieces that this worker has stored before.
    pub(super) fn record(self, number: i32, stored: &HashSet<PieceDigest>) -> Result<SentRecord, StoreError> {
        let mut pieces = Vec::new();
        let mut keep = |content: String| {
            let digest: PieceDigest = Sha256::digest(content.as_bytes()).into();
            if !stored.contains(&digest) && !pieces.iter().any(|piece: &Piece| piece.digest == digest) {
                pieces.push(Piece { digest, content });
            }
            digest
        };
        let tool = |tool: &'_ ToolSpec| {
            let shown = Tool { name: &tool.name, description: &tool.description, input_schema: &tool.input_schema };
            serde_json::to_value(shown)
        };
        let tools: Vec<Value> = self.tools.iter().map(tool).collect::<Result<_, _>>().map_err(StoreError::bug)?;
        let tools = keep(serde_json::to_string(&tools).map_err(StoreError::bug)?);
        let mut messages = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let shown = Message { role: message.role.as_str(), content: &message.parts };
            messages.push(keep(serde_json::to_string(&shown).map_err(StoreError::bug)?));
        }
        let (models, parameters) = (self.models, self.parameters);
        Ok(SentRecord { step: SentStep { number, models, parameters, tools, messages, sent_at: self.at }, pieces })
    }
}
