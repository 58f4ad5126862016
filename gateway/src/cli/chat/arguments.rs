//! The arguments of a tool call as a person reads them: in short beside the conversation, and exactly where they are
//! asked for consent. Pure.

use serde_json::Value;

use crate::cli::plain::exact;

/// `city: Paris, days: 3`. What is no object stays as it is.
pub(super) fn short(arguments: &str) -> String {
    let Ok(Value::Object(values)) = serde_json::from_str::<Value>(arguments) else { return arguments.to_owned() };
    let pairs = values.iter().map(|(name, value)| format!("{name}: {}", words(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

/// One row each, as JSON writes them; what could not be seen is an escape.
pub(super) fn rows(arguments: &Value) -> Vec<String> {
    match arguments {
        Value::Object(values) => {
            values.iter().map(|(name, value)| format!("{}: {}", exact(name), exact(&value.to_string()))).collect()
        }
        other => vec![exact(&other.to_string())],
    }
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_words_and_where_it_counts_exact() {
        assert_eq!(short(r#"{"city": "Paris", "days": 3, "with": ["a"]}"#), r#"city: Paris, days: 3, with: ["a"]"#);
        assert_eq!((short("{}").as_str(), short("not JSON").as_str()), ("", "not JSON"));
        let exactly = rows(&json!({"key": "a\u{1b}\n\u{202e}b", "n": 1.5}));
        assert_eq!(exactly, [r#"key: "a\u001b\n\u{202e}b""#, "n: 1.5"]);
        assert_eq!(rows(&json!(null)), ["null"]);
    }
}
