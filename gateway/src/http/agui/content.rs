//! What a message is made of, in the protocol's words.

use adjutant_core::limits;
use serde_json::Value;

use crate::http::files::inline::Inline;
use crate::http::files::pieces::Piece;
use crate::http::openai::failure::Failure;
use crate::http::openai::request::{Content, ContentPart};
use crate::problem::Problem;

/// Whose files are named by id, as our own events say it.
const PROVIDER: &str = "adjutant";

/// Reads what a person wrote.
pub(super) fn of_person(content: Value, path: &str) -> Result<Vec<Piece>, Failure> {
    match content {
        Value::String(text) => Ok(vec![Piece::Text(text)]),
        Value::Array(parts) if parts.len() <= limits::MESSAGE_PARTS => {
            parts.iter().enumerate().map(|(at, part)| piece(part, &format!("{path}[{at}]"))).collect()
        }
        _ => Err(no_content(path)),
    }
}

/// Reads what others said, which is text.
pub(super) fn of_others(content: Value, path: &str) -> Result<Content, Failure> {
    match content {
        Value::String(text) => Ok(Content::Text(text)),
        Value::Array(parts) if parts.len() <= limits::MESSAGE_PARTS => {
            let parts = parts.into_iter().map(|part| {
                let kind = part["type"].as_str().ok_or_else(|| no_content(path))?;
                if kind != "text" {
                    let message = "only messages of the user bring files: send text";
                    return Err(Failure::unsupported(format!("{path}.type"), message));
                }
                Ok(text_part(part["text"].as_str()))
            });
            Ok(Content::Parts(parts.collect::<Result<_, Failure>>()?))
        }
        _ => Err(no_content(path)),
    }
}

fn text_part(text: Option<&str>) -> ContentPart {
    ContentPart { kind: "text".to_owned(), text: text.map(str::to_owned), ..ContentPart::default() }
}

fn no_content(path: &str) -> Failure {
    Failure::invalid(path, "content is text or a list of parts")
}

fn piece(part: &Value, path: &str) -> Result<Piece, Failure> {
    match part["type"].as_str().ok_or_else(|| no_content(path))? {
        "text" => {
            let text = part["text"].as_str();
            let text = text.ok_or_else(|| Failure::invalid(format!("{path}.text"), "the part has no text"))?;
            Ok(Piece::Text(text.to_owned()))
        }
        "image" | "audio" | "video" | "document" => {
            let given = &part["metadata"];
            let name = given["name"].as_str().or_else(|| given["filename"].as_str());
            source(&part["source"], name, &format!("{path}.source"))
        }
        // The one part for files before the protocol's 1.0.
        "binary" => {
            let named = part["filename"].as_str();
            match (part["data"].as_str(), part["id"].as_str(), part["url"].as_str()) {
                (Some(data), ..) => brought(Inline::of_base64(named, data), &format!("{path}.data")),
                (None, Some(id), _) => stored(id, &format!("{path}.id")),
                (None, None, Some(url)) => brought(Inline::of_url(named, url), &format!("{path}.url")),
                (None, None, None) => Err(Failure::invalid(path, "the part has neither data nor id")),
            }
        }
        _ => {
            let message = "a part is of the type text, image, audio, video or document";
            Err(Failure::invalid(format!("{path}.type"), message))
        }
    }
}

fn source(source: &Value, name: Option<&str>, path: &str) -> Result<Piece, Failure> {
    let value = source["value"].as_str();
    let value = value.ok_or_else(|| Failure::invalid(format!("{path}.value"), "the source has no value"))?;
    match source["type"].as_str() {
        Some("data") => brought(Inline::of_base64(name, value), path),
        Some("url") => brought(Inline::of_url(name, value), path),
        Some("file") if source["provider"].as_str().is_none_or(|provider| provider == PROVIDER) => stored(value, path),
        Some("file") => {
            let message = "only files that are stored here are known: upload it with POST /api/files and name its id";
            Err(Failure::unsupported(format!("{path}.provider"), message))
        }
        _ => Err(Failure::invalid(format!("{path}.type"), "a source is of the type data or file")),
    }
}

fn stored(id: &str, path: &str) -> Result<Piece, Failure> {
    let id = id.parse().map_err(|_| Failure::invalid(path, "this is not the id of a file"))?;
    Ok(Piece::Stored(id))
}

/// A refusal says which part it means.
fn brought(read: Result<Inline, Problem>, path: &str) -> Result<Piece, Failure> {
    let file = read.map_err(|problem| Problem { detail: format!("{path}: {}", problem.detail).into(), ..problem })?;
    Ok(Piece::Brought(file))
}
