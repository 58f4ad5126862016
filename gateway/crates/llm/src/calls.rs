//! Puts the tool calls of one answer together from the fragments of its stream. What a fragment
//! belongs to is told by its index; where providers leave that out or repeat it, by its id.

use adjutant_core::limits;
use adjutant_core::message::without_nul;
use adjutant_core::model::{ModelCall, ModelErrorKind, StopReason};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Of a call's name: a longer one names no tool that there is.
const NAME_BYTES: usize = 256;
/// Of a call's id. Some gateways keep more in it than an id.
const ID_BYTES: usize = 16 * 1024;
/// Calls that are kept; the engine refuses those beyond its own, lower limit one by one.
const KEPT: usize = 4 * limits::CALLS_PER_ANSWER;

/// A fragment of a call, as the format of `OpenAI` has it; others are brought into this shape.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct CallDelta {
    #[serde(default)]
    pub(crate) index: Option<u64>,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) function: Option<FunctionDelta>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct FunctionDelta {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Option<Value>,
}

#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    too_long: bool,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn add(&mut self, delta: CallDelta) -> Result<(), Failure> {
        let id = delta.id.unwrap_or_default();
        let function = delta.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let place = match self.find(delta.index, &id, &name) {
            Some(place) => place,
            None if self.0.len() == KEPT => return Err(Failure::garbled("it holds too many tool calls")),
            None => {
                self.0.push(Call { index: delta.index, ..Call::default() });
                self.0.len() - 1
            }
        };
        let Some(call) = self.0.get_mut(place) else { return Ok(()) };
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name != name && call.name.len() <= NAME_BYTES {
            call.name.push_str(&name);
            call.name.truncate(call.name.floor_char_boundary(NAME_BYTES));
        }
        match function.arguments {
            None | Some(Value::Null) => {}
            Some(Value::String(piece)) => call.extend(&piece),
            Some(whole) => call.extend(&whole.to_string()),
        }
        Ok(())
    }

    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let other_id = |call: &Call| !id.is_empty() && !call.id.is_empty() && call.id != id;
        if index.is_some() {
            let place = self.0.iter().rposition(|call| call.index == index)?;
            return self.0.get(place).filter(|call| !other_id(call)).map(|_| place);
        }
        if !id.is_empty() {
            return self.0.iter().rposition(|call| call.id == id);
        }
        if name.is_empty() { self.0.len().checked_sub(1) } else { None }
    }

    /// The calls in the order in which they began. Arguments that the end of the answer may have cut
    /// make the whole answer a truncated one: nothing may run from them.
    pub(crate) fn finish(self, stop: StopReason) -> Result<Vec<ModelCall>, Failure> {
        self.0.into_iter().map(|call| call.finish(stop)).collect()
    }
}

impl Call {
    fn extend(&mut self, piece: &str) {
        if self.arguments.len() + piece.len() > limits::TOOL_ARGUMENT_BYTES {
            self.too_long = true;
        } else if !self.too_long {
            self.arguments.push_str(piece);
        }
    }

    fn finish(self, stop: StopReason) -> Result<ModelCall, Failure> {
        if self.name.is_empty() {
            return Err(Failure::garbled("a tool call has no name"));
        }
        let arguments = self.arguments.trim();
        let parsed = if arguments.is_empty() { Ok(Value::Null) } else { serde_json::from_str(arguments) };
        let arguments = match parsed {
            Ok(object @ Value::Object(_)) if !self.too_long => Ok(object),
            _ if stop != StopReason::Finished => return Err(cut_short(stop)),
            Ok(Value::Null) if !self.too_long => Ok(Value::Object(Map::new())),
            Ok(_) | Err(_) => Err(self.arguments),
        };
        // An id that cannot be kept is none: the engine gives the call one.
        let fits = self.id.len() <= ID_BYTES && !self.id.contains('\0');
        let provider_id = if fits { self.id } else { String::new() };
        Ok(ModelCall { provider_id, name: without_nul(self.name), arguments })
    }
}

fn cut_short(stop: StopReason) -> Failure {
    let message = if stop == StopReason::Length {
        "the model reached its limit of output tokens in the middle of a tool call"
    } else {
        "the model's answer was stopped by a filter in the middle of a tool call"
    };
    Failure::lasting(ModelErrorKind::Truncated, message)
}
