//! A server's list of tools as it is offered to the model: named, sorted, and under limits, with a
//! note on what was left out.

use adjutant_core::limits::MCP_DEFINITION_BYTES;
use adjutant_core::message::{is_deep, value_without_nul};
use adjutant_core::tool::{AddedBy, Hints, ToolSpec, namespaced};
use rmcp::model::Tool;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::directory::Definition;
use crate::options::Limits;

/// The name that a server gives to a tool.
const NAME_BYTES: usize = 256;
/// Names in the note.
const NAMED: usize = 5;

#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
    /// One safe sentence on what was left out.
    pub(crate) trouble: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) spec: ToolSpec,
    pub(crate) definition: Definition,
}

impl Tools {
    pub(crate) fn accept(server: &str, added_by: AddedBy, tools: Vec<Tool>, limits: &Limits) -> Self {
        let (mut entries, mut large) = (Vec::with_capacity(tools.len()), Vec::new());
        for tool in tools {
            let name = namespaced(server, &tool.name);
            if tool.name.is_empty() || tool.name.len() > NAME_BYTES || tool.name.contains(char::is_control) {
                large.push(name);
                continue;
            }
            match spec(server, name, &tool, limits) {
                Ok(spec) => {
                    let definition = definition(&tool);
                    entries.push(Entry { spec: ToolSpec { added_by, ..spec }, definition });
                }
                Err(name) => large.push(name),
            }
        }
        entries.sort_by(|a, b| (&a.spec.name, &a.spec.tool).cmp(&(&b.spec.name, &b.spec.tool)));
        let before = entries.len();
        entries.dedup_by(|a, b| a.spec.name == b.spec.name);
        if entries.len() < before {
            tracing::warn!(mcp.server = server, dropped = before - entries.len(), "an MCP server lists tools twice");
        }
        let over = entries.len().saturating_sub(limits.tools);
        entries.truncate(limits.tools);
        Self { entries, trouble: trouble(&large, over, limits) }
    }

    pub(crate) fn get(&self, tool: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.spec.tool == tool)
    }
}

fn spec(server: &str, name: String, tool: &Tool, limits: &Limits) -> Result<ToolSpec, String> {
    let mut schema = Value::Object(tool.input_schema.as_ref().clone());
    // Required by the protocol, left out by some servers, refused by model providers when missing.
    if schema.get("type").is_none() {
        schema["type"] = json!("object");
    }
    let schema = value_without_nul(schema);
    if schema.to_string().len() > limits.schema_bytes || is_deep(&schema) {
        return Err(name);
    }
    let mut description = visible(tool.description.as_deref().unwrap_or_default());
    description.truncate(description.floor_char_boundary(limits.description_bytes));
    let hints = tool.annotations.as_ref().map_or_else(Hints::default, |claims| Hints {
        read_only: claims.read_only_hint,
        destructive: claims.destructive_hint,
        idempotent: claims.idempotent_hint,
        open_world: claims.open_world_hint,
    });
    let tool = tool.name.clone().into_owned();
    let added_by = AddedBy::default();
    Ok(ToolSpec { name, server: server.to_owned(), tool, description, input_schema: schema, hints, added_by })
}

/// The text without what a person who looks at it would not see: a model would read it.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).filter(|&c| !hidden(c)).collect()
}

/// Name, description, input and annotations: what a person looks at before trusting a tool, and a model reads.
fn definition(tool: &Tool) -> Definition {
    let value = json!({
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": tool.annotations,
    });
    let mut text = String::new();
    canonical(&value, &mut text);
    let hash = Sha256::digest(&text).into();
    text.truncate(text.floor_char_boundary(MCP_DEFINITION_BYTES));
    Definition { tool: tool.name.clone().into_owned(), hash, text }
}

/// Compact JSON with sorted keys: equal definitions give equal texts.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            out.push('{');
            for (number, name) in names.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                canonical(&fields[name], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn trouble(large: &[String], over: usize, limits: &Limits) -> Option<String> {
    let mut parts = Vec::new();
    if !large.is_empty() {
        let named = large.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if large.len() > NAMED { ", …" } else { "" };
        let limit = limits.schema_bytes;
        parts.push(format!(
            "{} left out for a schema over {limit} bytes or an unfit name: {named}{more}",
            count(large.len())
        ));
    }
    if over > 0 {
        parts.push(format!("{} left out beyond the first {}", count(over), limits.tools));
    }
    if parts.is_empty() { None } else { Some(parts.join("; ")) }
}

fn count(tools: usize) -> String {
    if tools == 1 { "1 tool".to_owned() } else { format!("{tools} tools") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(value: Value) -> Vec<Tool> {
        serde_json::from_value(value).unwrap()
    }

    fn names(tools: &Tools) -> Vec<&str> {
        tools.entries.iter().map(|entry| entry.spec.name.as_str()).collect()
    }

    #[test]
    fn tools_are_named_sorted_and_unique() {
        let listed = tools(json!([
            {"name": "b", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true, "openWorldHint": false}},
            {"name": "a", "description": "first\u{0}", "inputSchema": {}},
            {"name": "a", "description": "second", "inputSchema": {}}
        ]));
        let tools = Tools::accept("s", AddedBy::User, listed, &Limits::default());
        assert_eq!(names(&tools), ["s__a", "s__b"]);
        assert_eq!(tools.trouble, None);
        assert_eq!(tools.entries[0].spec.description, "first\u{fffd}");
        assert_eq!(tools.entries[0].spec.input_schema, json!({"type": "object"}));
        let hints = Hints { read_only: Some(true), open_world: Some(false), ..Hints::default() };
        assert_eq!(tools.entries[1].spec.hints, hints);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_said() {
        let listed = tools(json!([
            {"name": "a", "description": "äöü", "inputSchema": {}},
            {"name": "b", "inputSchema": {"description": "x".repeat(200)}},
            {"name": "c", "inputSchema": {}},
            {"name": "d\n", "inputSchema": {}}
        ]));
        let limits = Limits { tools: 1, description_bytes: 3, schema_bytes: 100, ..Limits::default() };
        let tools = Tools::accept("s", AddedBy::User, listed, &limits);
        assert_eq!(names(&tools), ["s__a"]);
        assert_eq!(tools.entries[0].spec.description, "ä");
        let trouble = tools.trouble.unwrap();
        assert!(
            trouble.starts_with("2 tools left out for a schema over 100 bytes or an unfit name: s__b, s__d"),
            "{trouble}"
        );
        assert!(trouble.ends_with("; 1 tool left out beyond the first 1"), "{trouble}");
    }

    #[test]
    fn equal_definitions_have_equal_hashes_and_others_do_not() {
        let base = json!({"name": "a", "description": "d", "inputSchema": {"type": "object", "properties": {"x": {}, "y": {}}},
            "annotations": {"readOnlyHint": true}});
        let hash = |value: Value| definition(&tools(json!([value]))[0]).hash;
        let reordered = json!({"annotations": {"readOnlyHint": true}, "inputSchema": {"properties": {"y": {}, "x": {}},
            "type": "object"}, "description": "d", "name": "a"});
        assert_eq!(hash(base.clone()), hash(reordered));
        for (path, value) in [
            ("/name", json!("b")),
            ("/description", json!("D")),
            ("/inputSchema/properties/x", json!({"type": "string"})),
            ("/annotations/readOnlyHint", json!(false)),
        ] {
            let mut changed = base.clone();
            *changed.pointer_mut(path).unwrap() = value;
            assert_ne!(hash(base.clone()), hash(changed), "{path}");
        }
    }

    #[test]
    fn the_model_reads_nothing_that_a_person_would_not_see() {
        let seen = visible("a\u{200b}b\u{202e}c\u{e0041}d\u{1b}[2Je\nf");
        assert_eq!(seen, "abcd[2Je\nf");
    }
}
