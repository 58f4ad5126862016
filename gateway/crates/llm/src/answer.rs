//! Reads the events of one stream into an answer. It sees each event as it was sent, because the
//! client crate's own reading loses what must not be lost: whether the answer is whole, calls without
//! an index, arguments that are no string, and which model answered. What an event means is told by
//! its format.

use adjutant_core::limits;
use adjutant_core::message::{ThinkingPart, without_nul};
use adjutant_core::model::{ModelAnswer, PaidBy, StopReason, Usage};
use serde::de::DeserializeOwned;

use crate::anthropic;
use crate::calls::{CallDelta, Calls, FunctionDelta};
use crate::failure::Failure;
use crate::ollama;
use crate::openai;
use crate::redact::Redactor;
use crate::settings::Provider;

const MODEL_NAME_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Reader {
    provider: Provider,
    draft: Draft,
    read: usize,
    /// Something came that is no event, like a page of HTML or a comment.
    noise: bool,
    events: bool,
}

/// What has been read of an answer.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) redactor: Redactor,
    text: String,
    /// Bytes of `text` that were taken.
    taken: usize,
    thoughts: Vec<Thought>,
    /// Thinking that was not taken yet.
    fresh_thinking: String,
    thinking_bytes: usize,
    calls: Calls,
    pub(crate) stop: Option<StopReason>,
    /// The format's own mark of the end came, where that is another than the reason to stop.
    pub(crate) is_ended: bool,
    pub(crate) usage: Usage,
    model: Option<String>,
}

#[derive(Debug, Default)]
struct Thought {
    index: Option<u64>,
    text: String,
    signature: String,
    redacted: Option<String>,
}

impl Reader {
    pub(crate) fn new(provider: Provider, redactor: Redactor) -> Self {
        Self { provider, draft: Draft { redactor, ..Draft::default() }, ..Self::default() }
    }

    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &str) -> Result<(), Failure> {
        if data.is_empty() {
            self.noise = true;
            return Ok(());
        }
        self.read = self.read.saturating_add(data.len());
        if data.len() > limits::MODEL_EVENT_BYTES || self.read > limits::MODEL_STREAM_BYTES {
            return Err(Failure::garbled("it is too long"));
        }
        self.events = true;
        match self.provider {
            Provider::OpenAi => openai::answer::read(&mut self.draft, data),
            Provider::Anthropic => anthropic::answer::read(&mut self.draft, data),
            Provider::Ollama => ollama::answer::read(&mut self.draft, data),
        }
    }

    /// The text that came since the last time.
    pub(crate) fn take_text(&mut self) -> Option<String> {
        let draft = &mut self.draft;
        let fresh = draft.text.get(draft.taken..).filter(|fresh| !fresh.is_empty())?.to_owned();
        draft.taken = draft.text.len();
        Some(fresh)
    }

    /// The thinking that came since the last time.
    pub(crate) fn take_thinking(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.draft.fresh_thinking)).filter(|fresh| !fresh.is_empty())
    }

    /// The model has begun to answer: a second try would say something twice.
    pub(crate) fn has_begun(&self) -> bool {
        let draft = &self.draft;
        !draft.text.is_empty() || !draft.thoughts.is_empty() || !draft.calls.is_empty()
    }

    /// The model has said that this is all.
    pub(crate) fn is_whole(&self) -> bool {
        // Only Anthropic's messages have an end of their own behind the reason to stop.
        self.draft.stop.is_some() && (self.draft.is_ended || self.provider != Provider::Anthropic)
    }

    /// The answer, when the stream is over. `mark` names the provider in what it takes back.
    pub(crate) fn finish(self, asked: &str, mark: &str) -> Result<ModelAnswer, Failure> {
        let whole = self.is_whole();
        let Some(stop) = self.draft.stop.filter(|_| whole) else {
            let no_stream = self.noise && !self.events;
            return Err(if no_stream { Failure::garbled("it is no event stream") } else { Failure::truncated() });
        };
        let draft = self.draft;
        Ok(ModelAnswer {
            text: draft.text,
            thinking: draft.thoughts.into_iter().filter_map(|thought| thought.finish(mark)).collect(),
            calls: draft.calls.finish(stop)?,
            usage: draft.usage,
            stop,
            model: draft.model.unwrap_or_else(|| asked.to_owned()),
            provider: self.provider.as_str().to_owned(),
            paid_by: PaidBy::Operator,
            cost: None,
            passed_over: Vec::new(),
        })
    }
}

impl Draft {
    pub(crate) fn add_text(&mut self, piece: &str) -> Result<(), Failure> {
        self.text.push_str(piece);
        if self.text.len() > limits::ANSWER_BYTES { Err(Failure::garbled("its text is too long")) } else { Ok(()) }
    }

    /// A piece of what the model thinks. `index` tells thoughts apart where the format numbers them.
    pub(crate) fn add_thinking(&mut self, index: Option<u64>, piece: &str) -> Result<(), Failure> {
        if piece.is_empty() {
            return Ok(());
        }
        self.count_thinking(piece.len())?;
        self.fresh_thinking.push_str(piece);
        self.thought(index).text.push_str(piece);
        Ok(())
    }

    pub(crate) fn add_signature(&mut self, index: Option<u64>, piece: &str) -> Result<(), Failure> {
        self.count_thinking(piece.len())?;
        self.thought(index).signature.push_str(piece);
        Ok(())
    }

    /// A thought that the provider seals.
    pub(crate) fn add_redacted(&mut self, index: Option<u64>, data: String) -> Result<(), Failure> {
        self.count_thinking(data.len())?;
        self.thought(index).redacted = Some(data);
        Ok(())
    }

    pub(crate) fn add_call(&mut self, delta: CallDelta) -> Result<(), Failure> {
        self.calls.add(delta)
    }

    /// A call that came in one piece: never a part of another, whatever its id.
    pub(crate) fn add_whole_call(&mut self, id: Option<String>, function: FunctionDelta) -> Result<(), Failure> {
        let index = u64::try_from(self.calls.len()).ok();
        self.calls.add(CallDelta { index, id, function: Some(function) })
    }

    /// The first name counts. Providers write into it what they like.
    pub(crate) fn set_model(&mut self, model: Option<String>) {
        if self.model.is_none() {
            self.model = model.filter(|model| !model.is_empty()).map(|mut model| {
                model.truncate(model.floor_char_boundary(MODEL_NAME_BYTES));
                without_nul(model)
            });
        }
    }

    fn count_thinking(&mut self, bytes: usize) -> Result<(), Failure> {
        self.thinking_bytes = self.thinking_bytes.saturating_add(bytes);
        if self.thinking_bytes > limits::THINKING_BYTES {
            Err(Failure::garbled("its thinking is too long"))
        } else {
            Ok(())
        }
    }

    fn thought(&mut self, index: Option<u64>) -> &mut Thought {
        let place = self.thoughts.iter().rposition(|thought| thought.index == index).unwrap_or_else(|| {
            self.thoughts.push(Thought { index, ..Thought::default() });
            self.thoughts.len() - 1
        });
        &mut self.thoughts[place]
    }
}

impl Thought {
    fn finish(self, mark: &str) -> Option<ThinkingPart> {
        let signature = Some(self.signature).filter(|signature| !signature.is_empty());
        if self.text.is_empty() && signature.is_none() && self.redacted.is_none() {
            return None;
        }
        let (text, redacted) = (without_nul(self.text), self.redacted);
        Some(ThinkingPart { text, signature, redacted, provider: mark.to_owned() })
    }
}

/// One event as its format has it. The end of a stream may cut it anywhere.
pub(crate) fn parse<T: DeserializeOwned>(data: &str, what: &str) -> Result<T, Failure> {
    match serde_json::from_str(data) {
        Ok(event) => Ok(event),
        Err(error) if error.is_eof() => Err(Failure::truncated()),
        Err(_) => Err(Failure::garbled(what)),
    }
}
