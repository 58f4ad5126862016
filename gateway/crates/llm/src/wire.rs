//! What the wire formats share when they turn a prompt into what the client crate sends: ids of calls,
//! arguments, and files. Ids of tool calls go back as the provider gave them, unless they cannot serve
//! as ids.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use adjutant_core::ids::ToolCallId;
use adjutant_core::message::{FilePart, Part, ThinkingPart, joined_text};
use adjutant_core::model::{FileContent, ModelRequest, PromptMessage};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genai::chat::{ContentPart, Tool};
use serde_json::{Map, Value, json};

/// The model that a request is written for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) model: &'a str,
    /// Marks the thinking that this provider takes back.
    pub(crate) mark: &'a str,
    pub(crate) sees_images: bool,
    pub(crate) reads_pdf: bool,
}

pub(crate) fn tools(request: &ModelRequest) -> Vec<Tool> {
    let tool = |tool: &adjutant_core::tool::ToolSpec| {
        Tool::new(tool.name.as_str()).with_description(tool.description.as_str()).with_schema(tool.input_schema.clone())
    };
    request.tools.iter().map(tool).collect()
}

/// The thinking of a message that this provider wrote.
pub(crate) fn own_thinking<'a>(
    message: &'a PromptMessage,
    reader: &Reader<'_>,
) -> impl Iterator<Item = &'a ThinkingPart> {
    let mark = reader.mark.to_owned();
    message.parts.iter().filter_map(move |part| match part {
        Part::Thinking(thinking) if thinking.provider == mark => Some(thinking),
        _ => None,
    })
}

pub(crate) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What a message of the user holds: its text, images and documents where the model takes them, and
/// else a sentence that says what is not shown.
pub(crate) fn user_content(message: &PromptMessage, request: &ModelRequest, reader: &Reader<'_>) -> Vec<ContentPart> {
    let mut content = Vec::new();
    for part in &message.parts {
        if let Part::File(file) = part {
            content.push(file_content(file, request.files.get(&file.file_id), reader));
        }
    }
    let text = joined_text(&message.parts);
    if content.is_empty() || !text.is_empty() {
        content.push(ContentPart::Text(text));
    }
    content
}

fn file_content(file: &FilePart, content: Option<&Arc<FileContent>>, reader: &Reader<'_>) -> ContentPart {
    let name = shown_name(&file.name);
    let media = media_type(content.map_or(file.media_type.as_str(), |content| content.media_type.as_str()));
    let unshown = |why: &str| {
        ContentPart::Text(format!("[The file \"{name}\" ({media}, {} bytes) is attached, but {why}.]", file.size))
    };
    let Some(content) = content else { return unshown("its content is not part of this request") };
    if is_image(&media) {
        if reader.sees_images {
            return ContentPart::from_binary_base64(media, STANDARD.encode(&content.bytes), Some(name));
        }
        return unshown("this model cannot see images");
    }
    if media == "application/pdf" {
        if reader.reads_pdf {
            return ContentPart::from_binary_base64(media, STANDARD.encode(&content.bytes), Some(name));
        }
        return unshown("this model cannot read PDF documents");
    }
    match std::str::from_utf8(&content.bytes) {
        Ok(text) if is_text(&media) => {
            let text = text.replace("</attached_file", "<\\/attached_file");
            ContentPart::Text(format!("<attached_file name=\"{name}\" type=\"{media}\">\n{text}\n</attached_file>"))
        }
        _ => unshown("this kind of file cannot be shown to a model"),
    }
}

fn is_image(media: &str) -> bool {
    matches!(media, "image/png" | "image/jpeg" | "image/gif" | "image/webp")
}

fn is_text(media: &str) -> bool {
    media.starts_with("text/") || matches!(media, "application/json" | "application/xml" | "application/x-ndjson")
}

/// Without parameters, and with nothing that could leave its quotation.
fn media_type(text: &str) -> String {
    let plain = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    plain.chars().filter(|c| c.is_ascii_alphanumeric() || "/.+-".contains(*c)).take(100).collect()
}

/// A file's name comes from outside.
fn shown_name(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !"\"<>[]".contains(*c)).take(200).collect()
}

/// Providers read the arguments of earlier calls again and fail on anything but an object.
pub(crate) fn object(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null => Value::Object(Map::new()),
        other => json!({"invalid_arguments": other}),
    }
}

/// The ids of tool calls within one prompt. A provider's id may be empty, the same for two calls, or
/// of another provider whose ids this one refuses; then the call's own id takes its place, for the call
/// and for its result.
#[derive(Default)]
pub(crate) struct WireIds {
    used: HashSet<String>,
    by_call: HashMap<ToolCallId, String>,
    /// Only `A-Z a-z 0-9 _ -` are taken.
    plain_only: bool,
}

impl WireIds {
    pub(crate) fn plain() -> Self {
        Self { plain_only: true, ..Self::default() }
    }

    pub(crate) fn give(&mut self, call: ToolCallId, provider_id: &str) -> String {
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        let fits = !provider_id.is_empty()
            && !self.used.contains(provider_id)
            && (!self.plain_only || (provider_id.len() <= 64 && provider_id.bytes().all(plain)));
        let id = if fits { provider_id.to_owned() } else { format!("call_{}", call.as_uuid().simple()) };
        self.used.insert(id.clone());
        self.by_call.insert(call, id.clone());
        id
    }

    pub(crate) fn find(&self, call: ToolCallId, provider_id: &str) -> String {
        self.by_call.get(&call).map_or(provider_id, String::as_str).to_owned()
    }
}

/// Whether a model takes images and PDF documents, as far as its provider, its name and the operator tell. A wrong
/// yes fails the call, a wrong no costs a picture: what is not known is no.
pub(crate) mod sight {
    use crate::settings::{Provider, Seeing};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Sight {
        pub(crate) images: bool,
        pub(crate) documents: bool,
    }

    impl Sight {
        pub(crate) fn of(provider: Provider, is_own_address: bool, model: &str, seeing: &Seeing) -> Self {
            Self {
                images: seeing.holds(provider, model) || sees_images(provider, model),
                // Whoever says that a model sees does not say that it reads.
                documents: reads_pdf(provider, is_own_address, model),
            }
        }
    }

    /// In the names of open models that see.
    const SEEING: [&str; 16] = [
        "vision",
        "-vl",
        "vl-",
        "vl:",
        "llava",
        "bakllava",
        "moondream",
        "minicpm-v",
        "pixtral",
        "gemma3",
        "gemma-3",
        "llama4",
        "llama-4",
        "mistral-small3",
        "internvl",
        "molmo",
    ];
    /// Families of closed models that see, also behind gateways.
    const CLOSED: [&str; 6] = ["gpt-4o", "gpt-4.1", "gpt-5", "gpt-6", "gemini", "claude"];
    /// Of Anthropic's models those that do not.
    const BLIND: [&str; 2] = ["claude-2", "claude-instant"];

    pub(crate) fn sees_images(provider: Provider, model: &str) -> bool {
        let model = model.to_ascii_lowercase();
        let names = |parts: &[&str]| parts.iter().any(|part| model.contains(part));
        match provider {
            Provider::Anthropic => !names(&BLIND),
            Provider::OpenAi => names(&CLOSED) || names(&SEEING) || model.starts_with("o3") || model.starts_with("o4"),
            Provider::Ollama => names(&SEEING),
        }
    }

    pub(crate) fn reads_pdf(provider: Provider, is_own_address: bool, model: &str) -> bool {
        match provider {
            Provider::Anthropic => sees_images(provider, model),
            // Others that serve this format mostly refuse such a part.
            Provider::OpenAi => is_own_address && sees_images(provider, model),
            Provider::Ollama => false,
        }
    }
}

#[cfg(test)]
mod tests;
