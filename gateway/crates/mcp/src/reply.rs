//! A tool result as text for the model: text joined, everything else as a short note, all under
//! one limit.

use adjutant_core::message::{ForeignText, without_nul};
use adjutant_core::tool::ToolReply;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// Names, types and addresses inside a note.
const NOTE: usize = 200;

pub(crate) fn from_result(result: &CallToolResult, limit: usize) -> ToolReply {
    let mut out = Capped::new(limit);
    let mut any_text = false;
    for block in &result.content {
        match block {
            ContentBlock::Text(text) => {
                any_text = true;
                out.line(&text.text);
            }
            ContentBlock::Image(image) => out.line(&blob("image", &image.mime_type, &image.data)),
            ContentBlock::Audio(audio) => out.line(&blob("audio", &audio.mime_type, &audio.data)),
            ContentBlock::ResourceLink(link) => {
                let mime = link.mime_type.as_deref().unwrap_or("unknown type");
                let size = link.size.map_or_else(|| "unknown size".to_owned(), |size| format!("{size} bytes"));
                out.line(&format!(
                    "[resource link {} {}, {}, {size}]",
                    short(&link.name),
                    short(&link.uri),
                    short(mime)
                ));
            }
            ContentBlock::Resource(embedded) => match &embedded.resource {
                // The text of an embedded resource is what the tool was asked for.
                ResourceContents::TextResourceContents { uri, mime_type, text, .. } => {
                    any_text = true;
                    let mime = mime_type.as_deref().unwrap_or("text/plain");
                    out.line(&format!("[resource {}, {}, {} bytes]", short(uri), short(mime), text.len()));
                    out.line(text);
                }
                ResourceContents::BlobResourceContents { uri, mime_type, blob: data, .. } => {
                    let mime = mime_type.as_deref().unwrap_or("unknown type");
                    out.line(&blob(&format!("resource {}", short(uri)), mime, data));
                }
                _ => out.line("[resource]"),
            },
            _ => out.line("[content of an unknown kind]"),
        }
    }
    if let (false, Some(structured)) = (any_text, &result.structured_content) {
        out.line(&structured.to_string());
    }
    out.reply(result.is_error.unwrap_or(false))
}

/// Text that was put together from a server's words.
pub(crate) fn from_lines(lines: &[String], is_error: bool, limit: usize) -> ToolReply {
    let mut out = Capped::new(limit);
    for line in lines {
        out.line(line);
    }
    out.reply(is_error)
}

/// An error that the server gave as its answer.
pub(crate) fn from_error(text: &str, limit: usize) -> ToolReply {
    let mut out = Capped::new(limit);
    out.line(text);
    out.reply(true)
}

fn blob(kind: &str, mime: &str, base64: &str) -> String {
    format!("[{kind}, {}, about {} bytes]", short(mime), base64.len() / 4 * 3)
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NOTE).collect()
}

struct Capped {
    text: String,
    limit: usize,
    lines: usize,
    truncated: bool,
}

impl Capped {
    fn new(limit: usize) -> Self {
        Self { text: String::new(), limit, lines: 0, truncated: false }
    }

    fn line(&mut self, text: &str) {
        if self.lines > 0 {
            self.push("\n");
        }
        self.lines += 1;
        self.push(text);
    }

    fn push(&mut self, text: &str) {
        let room = self.limit - self.text.len();
        // Measured as it will be stored: a NUL becomes three bytes.
        let mut kept = 0;
        let mut used = 0;
        if !self.truncated {
            for c in text.chars() {
                let length = if c == '\0' { char::REPLACEMENT_CHARACTER.len_utf8() } else { c.len_utf8() };
                if used + length > room {
                    break;
                }
                used += length;
                kept += c.len_utf8();
            }
        }
        self.truncated |= kept < text.len();
        self.text.push_str(&without_nul(text[..kept].to_owned()));
    }

    fn reply(self, is_error: bool) -> ToolReply {
        ToolReply { content: ForeignText::new(self.text), is_error, truncated: self.truncated }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reply(value: Value, limit: usize) -> (String, bool, bool) {
        let result: CallToolResult = serde_json::from_value(value).unwrap();
        let reply = from_result(&result, limit);
        (reply.content.as_str().to_owned(), reply.is_error, reply.truncated)
    }

    #[test]
    fn every_kind_of_content_becomes_text() {
        let value = json!({"isError": true, "content": [
            {"type": "text", "text": "one"},
            {"type": "text", "text": "t\u{0}wo"},
            {"type": "image", "data": "AAAABBBB", "mimeType": "image/png"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "file:///x", "name": "x", "mimeType": "text/x", "size": 7},
            {"type": "resource", "resource": {"uri": "mem:1", "mimeType": "text/plain", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "mem:2", "blob": "AAAA"}}
        ], "structuredContent": {"ignored": "there is text"}});
        let text = "one\nt\u{fffd}wo\n[image, image/png, about 6 bytes]\n[audio, audio/wav, about 3 bytes]\n\
            [resource link x file:///x, text/x, 7 bytes]\n[resource mem:1, text/plain, 6 bytes]\ninside\n\
            [resource mem:2, unknown type, about 3 bytes]";
        assert_eq!(reply(value, 1000), (text.to_owned(), true, false));
    }

    #[test]
    fn structured_content_stands_in_for_missing_text() {
        assert_eq!(reply(json!({"structuredContent": {"a": 1}}), 100), (r#"{"a":1}"#.to_owned(), false, false));
        assert_eq!(reply(json!({"content": []}), 100), (String::new(), false, false));
    }

    #[test]
    fn a_long_result_is_cut_between_characters() {
        let value = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        assert_eq!(reply(value("äää"), 5), ("ää".to_owned(), false, true));
        assert_eq!(reply(value("äää"), 6), ("äää".to_owned(), false, false));
        assert_eq!(reply(value("a\u{0}"), 3), ("a".to_owned(), false, true));
        let two = json!({"content": [{"type": "text", "text": "äää"}, {"type": "text", "text": "b"}]});
        assert_eq!(reply(two, 5), ("ää".to_owned(), false, true));
    }
}
