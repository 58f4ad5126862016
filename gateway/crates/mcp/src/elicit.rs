//! Elicitation: a server's form as a [`Question`], and the answer as the server wants it. What is not of the
//! protocol's restricted schema, or too large, is no question and gets declined.

use adjutant_core::message::{ForeignText, without_nul};
use adjutant_core::question::{Answer, Field, FieldKind, Question};
use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema};
use serde_json::{Map, Value};

use crate::calls::Call;

/// A field's name, its title, and an option.
const NAME_CHARS: usize = 200;
const DESCRIPTION_CHARS: usize = 2_000;

/// Asks whoever watches the call.
pub(crate) async fn put(call: &Call, params: ElicitRequestParams) -> ElicitResult {
    if !call.answers() {
        return ElicitResult::new(ElicitationAction::Cancel);
    }
    let Some(question) = question(params) else { return ElicitResult::new(ElicitationAction::Decline) };
    match call.ask(question).await {
        Some(Answer::Accept(values)) => {
            ElicitResult::new(ElicitationAction::Accept).with_content(Value::Object(values))
        }
        Some(Answer::Decline) | None => ElicitResult::new(ElicitationAction::Decline),
        Some(Answer::Cancel) => ElicitResult::new(ElicitationAction::Cancel),
    }
}

/// `None`: an address to visit, which is not offered, or a form that is not understood.
fn question(params: ElicitRequestParams) -> Option<Question> {
    let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = params else { return None };
    let fields = fields(&requested_schema)?;
    let question = Question { message: ForeignText::new(without_nul(message)), fields };
    question.fits().then_some(question)
}

fn fields(schema: &ElicitationSchema) -> Option<Vec<Field>> {
    let required = schema.required.as_deref().unwrap_or_default();
    if required.iter().any(|name| !schema.properties.contains_key(name)) {
        return None;
    }
    let names: Vec<&String> = match &schema.property_order {
        Some(names) => names.iter().collect(),
        None => schema.properties.keys().collect(),
    };
    let field = |name: &String| {
        let definition = serde_json::to_value(schema.properties.get(name)?).ok()?;
        field(name, &definition, required.contains(name))
    };
    names.into_iter().map(field).collect()
}

fn field(name: &str, definition: &Value, required: bool) -> Option<Field> {
    let definition = definition.as_object()?;
    let kind = kind(definition)?;
    let default = definition.get("default").filter(|default| !default.is_null()).cloned();
    let fits = name.chars().count() <= NAME_CHARS && !name.is_empty() && !name.contains('\0');
    fits.then_some(Field {
        name: name.to_owned(),
        title: text(definition, "title", NAME_CHARS)?,
        description: text(definition, "description", DESCRIPTION_CHARS)?,
        required,
        kind,
        default,
    })
}

fn kind(definition: &Map<String, Value>) -> Option<FieldKind> {
    match definition.get("type")?.as_str()? {
        "string" if definition.contains_key("oneOf") => choice(titled(definition.get("oneOf")?)?, false),
        "string" if definition.contains_key("enum") => {
            choice(plain(definition.get("enum")?, definition.get("enumNames"))?, false)
        }
        "string" => Some(FieldKind::Text {
            min_length: whole(definition, "minLength")?,
            max_length: whole(definition, "maxLength")?,
            format: text(definition, "format", NAME_CHARS)?,
        }),
        "number" => {
            let bound = |name| definition.get(name).map_or(Some(None), |value| value.as_f64().map(Some));
            Some(FieldKind::Number { minimum: bound("minimum")?, maximum: bound("maximum")? })
        }
        "integer" => {
            let bound = |name| definition.get(name).map_or(Some(None), |value| value.as_i64().map(Some));
            Some(FieldKind::Integer { minimum: bound("minimum")?, maximum: bound("maximum")? })
        }
        "boolean" => Some(FieldKind::Boolean),
        "array" => {
            let items = definition.get("items")?.as_object()?;
            let options = match (items.get("anyOf").or_else(|| items.get("oneOf")), items.get("enum")) {
                (Some(options), None) => titled(options)?,
                (None, Some(options)) => plain(options, None)?,
                _ => return None,
            };
            choice(options, true)
        }
        _ => None,
    }
}

fn choice(options: Vec<(String, String)>, multiple: bool) -> Option<FieldKind> {
    let short = |text: &str| text.chars().count() <= NAME_CHARS && !text.contains('\0');
    let fits = !options.is_empty() && options.iter().all(|(value, label)| short(value) && short(label));
    fits.then_some(FieldKind::Choice { options, multiple })
}

fn titled(options: &Value) -> Option<Vec<(String, String)>> {
    let option = |option: &Value| {
        let value = option.get("const")?.as_str()?;
        let label = option.get("title").map_or(Some(value), Value::as_str)?;
        Some((value.to_owned(), label.to_owned()))
    };
    options.as_array()?.iter().map(option).collect()
}

fn plain(values: &Value, names: Option<&Value>) -> Option<Vec<(String, String)>> {
    let values: Vec<&str> = values.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let names: Vec<&str> = match names {
        Some(names) => names.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?,
        None => values.clone(),
    };
    (names.len() == values.len())
        .then(|| values.into_iter().zip(names).map(|(value, name)| (value.to_owned(), name.to_owned())).collect())
}

/// `None` when it is there and no text of that length, `Some(None)` when it is not there.
#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
fn text(definition: &Map<String, Value>, name: &str, chars: usize) -> Option<Option<String>> {
    match definition.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) if text.chars().count() <= chars => Some(Some(without_nul(text.clone()))),
        Some(_) => None,
    }
}

#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
fn whole(definition: &Map<String, Value>, name: &str) -> Option<Option<u64>> {
    definition.get(name).map_or(Some(None), |value| value.as_u64().map(Some))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(schema: &Value) -> Option<Question> {
        let params = json!({"mode": "form", "message": "Which?", "requestedSchema": schema});
        question(serde_json::from_value(params).ok()?)
    }

    fn kinds(question: &Question) -> Vec<(&str, bool, &FieldKind)> {
        question.fields.iter().map(|field| (field.name.as_str(), field.required, &field.kind)).collect()
    }

    #[test]
    fn every_kind_of_field_becomes_a_question() {
        let mut question = asked(&json!({"type": "object", "required": ["mail"], "properties": {
            "mail": {"type": "string", "format": "email", "title": "Mail", "maxLength": 50},
            "age": {"type": "integer", "minimum": 0, "default": 7},
            "ratio": {"type": "number", "maximum": 0.5},
            "sure": {"type": "boolean", "default": true},
            "size": {"type": "string", "enum": ["s", "l"]},
            "old": {"type": "string", "enum": ["s", "l"], "enumNames": ["Small", "Large"]},
            "new": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}]},
            "many": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "titled": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}}
        }}))
        .unwrap();
        let option = |value: &str, label: &str| (value.to_owned(), label.to_owned());
        let choice = |options: Vec<(String, String)>, multiple| FieldKind::Choice { options, multiple };
        let small = vec![option("s", "Small"), option("l", "Large")];
        let mail = FieldKind::Text { min_length: None, max_length: Some(50), format: Some("email".to_owned()) };
        // By name: in which order this test's own values arrive depends on how the JSON crate was built.
        question.fields.sort_by(|one, other| one.name.cmp(&other.name));
        let expected = [
            ("age", false, FieldKind::Integer { minimum: Some(0), maximum: None }),
            ("mail", true, mail),
            ("many", false, choice(vec![option("a", "a"), option("b", "b")], true)),
            ("new", false, choice(vec![option("s", "Small")], false)),
            ("old", false, choice(small, false)),
            ("ratio", false, FieldKind::Number { minimum: None, maximum: Some(0.5) }),
            ("size", false, choice(vec![option("s", "s"), option("l", "l")], false)),
            ("sure", false, FieldKind::Boolean),
            ("titled", false, choice(vec![option("a", "A")], true)),
        ];
        let expected: Vec<_> = expected.iter().map(|(name, required, kind)| (*name, *required, kind)).collect();
        assert_eq!(kinds(&question), expected);
        assert_eq!(question.fields[0].default, Some(json!(7)));
        assert_eq!(question.fields[1].title.as_deref(), Some("Mail"));
    }

    #[test]
    fn what_is_no_form_of_the_protocol_is_no_question() {
        for properties in [
            json!({"a": {"type": "object", "properties": {}}}),
            json!({"a": {"type": "array", "items": {"type": "string"}}}),
            json!({"a": {"type": "string", "enum": []}}),
            json!({"a": {"type": "string", "title": "x".repeat(300)}}),
            json!({"": {"type": "string"}}),
        ] {
            let schema = json!({"type": "object", "properties": properties});
            assert_eq!(asked(&schema), None, "{schema}");
        }
        assert_eq!(asked(&json!({"type": "object", "properties": {}, "required": ["a"]})), None);
        let many: Map<String, Value> = (0..1_000).map(|n| (format!("f{n}"), json!({"type": "boolean"}))).collect();
        assert_eq!(asked(&json!({"type": "object", "properties": many})), None);
        let visit = json!({"mode": "url", "message": "x", "url": "https://example.com", "elicitationId": "1"});
        assert_eq!(question(serde_json::from_value(visit).unwrap()), None);
    }
}
