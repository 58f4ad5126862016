//! The body of a chat completion as far as we read it. Unknown fields are skipped unread; lists are
//! bounded while they are read; what is wrong is named by its path.
//!
//! The types are our own and not async-openai's: those are made for clients. As a server's they
//! refuse what OpenAI adds tomorrow, turn 0.7 into an `f32`, read lists without a bound, and leave out
//! the `null` of `content` and `finish_reason` that clients expect.

use std::fmt;
use std::marker::PhantomData;

use adjutant_core::limits;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::failure::Failure;

#[derive(Debug, Deserialize)]
pub(in crate::http) struct ChatRequest {
    pub(in crate::http) model: String,
    pub(in crate::http) messages: Bounded<ChatMessage, { limits::OPENAI_MESSAGES }>,
    pub(in crate::http) stream: Option<bool>,
    pub(in crate::http) stream_options: Option<StreamOptions>,
    pub(in crate::http) temperature: Option<f64>,
    pub(in crate::http) max_tokens: Option<u32>,
    pub(in crate::http) max_completion_tokens: Option<u32>,
    pub(in crate::http) tools: Option<Bounded<Tool, { limits::CALLER_TOOLS }>>,
    pub(in crate::http) tool_choice: Option<Word>,
    pub(in crate::http) n: Option<u32>,
    pub(in crate::http) logprobs: Option<bool>,
    pub(in crate::http) stop: Option<Stop>,
    pub(in crate::http) response_format: Option<Typed>,
    pub(in crate::http) modalities: Option<Bounded<String, 8>>,
    pub(in crate::http) functions: Option<IgnoredAny>,
    pub(in crate::http) function_call: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct StreamOptions {
    pub(in crate::http) include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct ChatMessage {
    pub(in crate::http) role: String,
    pub(in crate::http) content: Option<Content>,
    pub(in crate::http) tool_calls: Option<Bounded<ToolCall, { limits::CALLER_TOOLS }>>,
    pub(in crate::http) tool_call_id: Option<String>,
}

/// Text, or a list of parts.
#[derive(Debug)]
pub(in crate::http) enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct ContentPart {
    #[serde(rename = "type")]
    pub(in crate::http) kind: String,
    pub(in crate::http) text: Option<String>,
    pub(in crate::http) refusal: Option<String>,
    pub(in crate::http) image_url: Option<ImageUrl>,
    pub(in crate::http) file: Option<FileBody>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct ImageUrl {
    pub(in crate::http) url: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct FileBody {
    pub(in crate::http) file_data: Option<String>,
    pub(in crate::http) file_id: Option<String>,
    pub(in crate::http) filename: Option<String>,
}

/// A call in the history, as this door or another service once answered it.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct ToolCall {
    pub(in crate::http) id: String,
    pub(in crate::http) function: Option<CalledFunction>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct CalledFunction {
    pub(in crate::http) name: String,
    #[serde(default)]
    pub(in crate::http) arguments: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct Tool {
    #[serde(rename = "type")]
    pub(in crate::http) kind: String,
    pub(in crate::http) function: Option<Function>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct Function {
    pub(in crate::http) name: String,
    pub(in crate::http) description: Option<String>,
    /// Unread, so that its size is known before it is taken apart.
    pub(in crate::http) parameters: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::http) struct Typed {
    #[serde(rename = "type")]
    pub(in crate::http) kind: String,
}

/// A word, or an object that says more.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) enum Word {
    Plain(String),
    Object,
}

/// Words at which the model should stop; only whether there are any counts.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Stop {
    pub(in crate::http) is_empty: bool,
}

/// A list that is refused while it is read when it has more than `MAX` entries.
#[derive(Debug)]
pub(in crate::http) struct Bounded<T, const MAX: usize>(pub(in crate::http) Vec<T>);

/// Reads a request's body.
pub(in crate::http) fn parse(body: &[u8]) -> Result<ChatRequest, Failure> {
    let text = str::from_utf8(body).map_err(|_| unreadable("the body is not UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() { wrong(path, &error) } else { unreadable(&error.to_string()) }
    })?;
    json.end().map_err(|error| unreadable(&error.to_string()))?;
    Ok(request)
}

fn unreadable(why: &str) -> Failure {
    Failure::invalid("body", shortened(format!("the body cannot be read as JSON: {why}")))
}

/// A value of the wrong type, or a field that is missing.
fn wrong(mut path: String, error: &serde_json::Error) -> Failure {
    let text = error.to_string();
    let said = text.split(" at line ").next().unwrap_or_default();
    if let Some(field) = said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        path = if path == "." { field.to_owned() } else { format!("{path}.{field}") };
    }
    let message = shortened(format!("{path}: {said}"));
    Failure::invalid(path, message)
}

/// The parser may quote a value of the request at length.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(240));
    text
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                collect::<_, _, { limits::MESSAGE_PARTS }>(parts).map(Content::Parts)
            }
        }
        from.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an object")
            }
            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word::Plain(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Word, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Word::Object)
            }
        }
        from.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Stop;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Stop, E> {
                Ok(Stop { is_empty: text.is_empty() })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Stop, A::Error> {
                let mut is_empty = true;
                while words.next_element::<String>()?.is_some() {
                    is_empty = false;
                }
                Ok(Stop { is_empty })
            }
        }
        from.deserialize_any(Reader)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Reader<T, MAX> {
            type Value = Bounded<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} entries")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                collect::<_, _, MAX>(entries).map(Bounded)
            }
        }
        from.deserialize_seq(Reader(PhantomData))
    }
}

fn collect<'de, A: SeqAccess<'de>, T: Deserialize<'de>, const MAX: usize>(mut entries: A) -> Result<Vec<T>, A::Error> {
    let mut read = Vec::new();
    while let Some(entry) = entries.next_element()? {
        if read.len() == MAX {
            return Err(A::Error::custom(format_args!("more than {MAX} entries")));
        }
        read.push(entry);
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
