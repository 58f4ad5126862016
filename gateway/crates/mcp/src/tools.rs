//! A server's list of tools as it is offered to the model: named, sorted, and under limits, with a
//! note on what was left out.

use adjutant_core::message::{value_without_nul, without_nul};
use adjutant_core::tool::{AddedBy, Hints, ToolSpec, namespaced};
use rmcp::model::Tool;
use serde_json::{Value, json};

use crate::options::Limits;

/// The name that a server gives to a tool.
const NAME_BYTES: usize = 256;
/// Names in the note.
const NAMED: usize = 5;

#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    /// Sorted by name.
    pub(crate) specs: Vec<ToolSpec>,
    /// One safe sentence on what was left out.
    pub(crate) trouble: Option<String>,
}

impl Tools {
    pub(crate) fn accept(server: &str, tools: Vec<Tool>, limits: &Limits) -> Self {
        let (mut specs, mut large) = (Vec::with_capacity(tools.len()), Vec::new());
        for tool in tools {
            let name = namespaced(server, &tool.name);
            if tool.name.is_empty() || tool.name.len() > NAME_BYTES || tool.name.contains(char::is_control) {
                large.push(name);
                continue;
            }
            match spec(server, name, &tool, limits) {
                Ok(spec) => specs.push(spec),
                Err(name) => large.push(name),
            }
        }
        specs.sort_by(|a, b| (&a.name, &a.tool).cmp(&(&b.name, &b.tool)));
        let before = specs.len();
        specs.dedup_by(|a, b| a.name == b.name);
        if specs.len() < before {
            tracing::warn!(mcp.server = server, dropped = before - specs.len(), "an MCP server lists tools twice");
        }
        let over = specs.len().saturating_sub(limits.tools);
        specs.truncate(limits.tools);
        Self { specs, trouble: trouble(&large, over, limits) }
    }

    /// Whether the server has a tool of this name.
    pub(crate) fn has(&self, tool: &str) -> bool {
        self.specs.iter().any(|spec| spec.tool == tool)
    }
}

fn spec(server: &str, name: String, tool: &Tool, limits: &Limits) -> Result<ToolSpec, String> {
    let mut schema = Value::Object(tool.input_schema.as_ref().clone());
    // Required by the protocol, left out by some servers, refused by model providers when missing.
    if schema.get("type").is_none() {
        schema["type"] = json!("object");
    }
    let schema = value_without_nul(schema);
    if schema.to_string().len() > limits.schema_bytes {
        return Err(name);
    }
    let mut description = without_nul(tool.description.clone().unwrap_or_default().into_owned());
    description.truncate(description.floor_char_boundary(limits.description_bytes));
    let hints = tool.annotations.as_ref().map_or_else(Hints::default, |claims| Hints {
        read_only: claims.read_only_hint,
        destructive: claims.destructive_hint,
        idempotent: claims.idempotent_hint,
        open_world: claims.open_world_hint,
    });
    let tool = tool.name.clone().into_owned();
    Ok(ToolSpec {
        name,
        server: server.to_owned(),
        tool,
        description,
        input_schema: schema,
        hints,
        added_by: AddedBy::default(),
    })
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
        tools.specs.iter().map(|spec| spec.name.as_str()).collect()
    }

    #[test]
    fn tools_are_named_sorted_and_unique() {
        let listed = tools(json!([
            {"name": "b", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true, "openWorldHint": false}},
            {"name": "a", "description": "first\u{0}", "inputSchema": {}},
            {"name": "a", "description": "second", "inputSchema": {}}
        ]));
        let tools = Tools::accept("s", listed, &Limits::default());
        assert_eq!(names(&tools), ["s__a", "s__b"]);
        assert_eq!(tools.trouble, None);
        assert_eq!(tools.specs[0].description, "first\u{fffd}");
        assert_eq!(tools.specs[0].input_schema, json!({"type": "object"}));
        let hints = Hints { read_only: Some(true), open_world: Some(false), ..Hints::default() };
        assert_eq!(tools.specs[1].hints, hints);
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
        let tools = Tools::accept("s", listed, &limits);
        assert_eq!(names(&tools), ["s__a"]);
        assert_eq!(tools.specs[0].description, "ä");
        let trouble = tools.trouble.unwrap();
        assert!(
            trouble.starts_with("2 tools left out for a schema over 100 bytes or an unfit name: s__b, s__d"),
            "{trouble}"
        );
        assert!(trouble.ends_with("; 1 tool left out beyond the first 1"), "{trouble}");
    }
}
