//! The stored form of a [`RunState`]: versioned plain data of at most
//! [`limits::CHECKPOINT_BYTES`], never messages or results.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::RunState;
use crate::limits;

/// The format that this version writes.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<S> {
    format: u32,
    state: S,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint format {0} is not known to this version")]
    UnknownFormat(u64),
    #[error("the checkpoint is damaged: {0}")]
    Damaged(String),
    #[error("the checkpoint has {bytes} bytes, more than {max}", bytes = .0, max = limits::CHECKPOINT_BYTES)]
    TooLarge(usize),
}

/// The state as JSON text.
pub fn save(state: &RunState) -> Result<String, CheckpointError> {
    let text = serde_json::to_string(&Envelope { format: FORMAT, state })
        .map_err(|error| CheckpointError::Damaged(error.to_string()))?;
    if text.len() > limits::CHECKPOINT_BYTES { Err(CheckpointError::TooLarge(text.len())) } else { Ok(text) }
}

/// Reads a checkpoint of this or an older format; an unknown one is refused, not guessed.
pub fn load(value: Value) -> Result<RunState, CheckpointError> {
    let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
    if format != u64::from(FORMAT) {
        return Err(CheckpointError::UnknownFormat(format));
    }
    serde_json::from_value::<Envelope<RunState>>(value)
        .map(|envelope| envelope.state)
        .map_err(|error| CheckpointError::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MessageId, ToolCallId};
    use crate::run::state::{Call, CallStatus, Phase, RunLimits};

    #[test]
    fn the_fullest_state_fits_and_comes_back_equal() {
        let call = || Call { id: ToolCallId::new(), repeatable: false, status: CallStatus::WithCaller };
        let mut state = RunState::new(MessageId::new(), RunLimits::default());
        state.phase = Phase::Acting { calls: (0..limits::CALLS_PER_ANSWER).map(|_| call()).collect() };
        let text = save(&state).unwrap();
        assert_eq!(load(serde_json::from_str(&text).unwrap()).unwrap(), state);
    }

    #[test]
    fn an_unknown_format_is_refused() {
        let value = serde_json::json!({"format": 2, "state": {}});
        assert_eq!(load(value), Err(CheckpointError::UnknownFormat(2)));
        assert_eq!(load(serde_json::json!({})), Err(CheckpointError::UnknownFormat(0)));
        assert!(matches!(load(serde_json::json!({"format": 1, "state": 7})), Err(CheckpointError::Damaged(_))));
    }
}
