//! The resources of a server for a model: one read-only tool per server that has any, made here. It lists them, or
//! reads one; nothing of them enters a prompt before it is asked for.

use adjutant_core::tool::{AddedBy, Hints, ToolReply, ToolSpec, namespaced};
use rmcp::model::JsonObject;
use serde_json::{Value, json};

use crate::content::{ResourceEntry, ResourcePart};
use crate::options::Limits;
use crate::reply::from_lines;
use crate::session::Session;

/// No tool of a server: the method that answers it.
pub(crate) const TOOL: &str = "resources/read";

pub(crate) fn spec(server: &str, added_by: AddedBy) -> ToolSpec {
    ToolSpec {
        name: namespaced(server, "read_resource"),
        server: server.to_owned(),
        tool: TOOL.to_owned(),
        description: format!("Reads a resource of the server {server} by its uri. Without a uri it lists them."),
        input_schema: json!({"type": "object", "properties": {"uri": {"type": "string"}}}),
        hints: Hints { read_only: Some(true), ..Hints::default() },
        added_by,
    }
}

impl Session {
    pub(crate) async fn read(&self, arguments: &JsonObject, limits: &Limits) -> ToolReply {
        let uri = arguments.get("uri").and_then(Value::as_str).unwrap_or_default();
        let lines = if uri.is_empty() {
            self.resources(limits).await.map(|entries| entries.iter().map(entry).collect())
        } else {
            self.read_resource(uri, limits).await.map(|parts| parts.into_iter().map(part).collect::<Vec<_>>())
        };
        // Reading changes nothing, so that an error is one and never a doubt.
        let (lines, is_error) = match lines {
            Ok(lines) if lines.is_empty() => (vec!["there is nothing".to_owned()], false),
            Ok(lines) => (lines, false),
            Err(reason) => (vec![reason], true),
        };
        from_lines(&lines, is_error, limits.result_bytes)
    }
}

fn entry(entry: &ResourceEntry) -> String {
    let kind = entry.mime_type.as_deref().unwrap_or("unknown type");
    let description = entry.description.as_deref().unwrap_or_default();
    format!("{} ({}, {kind}) {description}", entry.uri, entry.name)
}

fn part(part: ResourcePart) -> String {
    let kind = part.mime_type.as_deref().unwrap_or("unknown type");
    match (part.text, part.blob) {
        (Some(text), _) => text,
        (None, blob) => format!("[{}, {kind}, about {} bytes]", part.uri, blob.map_or(0, |blob| blob.len() / 4 * 3)),
    }
}
