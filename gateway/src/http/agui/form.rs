//! A tool's form in the protocol's words: the JSON schema of its answer, and that answer read back.

use adjutant_core::limits;
use adjutant_core::question::{Answer, Field, FieldKind, InvalidAnswer, Question};
use adjutant_engine::runs::control::ControlError;
use serde_json::{Map, Value, json};

use super::input::{ResumeEntry, ResumeStatus};
use crate::http::openai::failure::Failure;

/// What the payload of an answer looks like. A form without fields is a yes-or-no.
pub(super) fn schema(question: &Question) -> Value {
    if question.fields.is_empty() {
        return json!({"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]});
    }
    let properties: Map<String, Value> =
        question.fields.iter().map(|field| (field.name.clone(), property(field))).collect();
    let required: Vec<&str> =
        question.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn property(field: &Field) -> Value {
    let mut property = match &field.kind {
        FieldKind::Text { min_length, max_length, format } => {
            let longest = max_length.map_or(limits::QUESTION_TEXT_CHARS, |max| max.min(limits::QUESTION_TEXT_CHARS));
            json!({"type": "string", "minLength": min_length, "maxLength": longest, "format": format})
        }
        FieldKind::Number { minimum, maximum } => json!({"type": "number", "minimum": minimum, "maximum": maximum}),
        FieldKind::Integer { minimum, maximum } => json!({"type": "integer", "minimum": minimum, "maximum": maximum}),
        FieldKind::Boolean => json!({"type": "boolean"}),
        FieldKind::Choice { options, multiple: false } => choice(options),
        FieldKind::Choice { options, multiple: true } => {
            json!({"type": "array", "items": choice(options), "uniqueItems": true})
        }
    };
    property["title"] = json!(field.title);
    property["description"] = json!(field.description);
    property["default"] = json!(field.default);
    if let Value::Object(said) = &mut property {
        said.retain(|_, value| !value.is_null());
    }
    property
}

fn choice(options: &[(String, String)]) -> Value {
    let titled: Vec<Value> = options.iter().map(|(value, label)| json!({"const": value, "title": label})).collect();
    json!({"type": "string", "oneOf": titled})
}

/// What a person made of the form. Nothing but a yes is taken for one.
pub(super) fn answer(question: &Question, entry: &ResumeEntry) -> Result<Answer, Failure> {
    let nothing = Value::Null;
    let payload = entry.payload.as_ref().unwrap_or(&nothing);
    if entry.status == ResumeStatus::Cancelled {
        return Ok(if payload["action"] == "decline" { Answer::Decline } else { Answer::Cancel });
    }
    if question.fields.is_empty() {
        return match payload["approved"].as_bool() {
            Some(true) => Ok(Answer::Accept(Map::new())),
            Some(false) => Ok(Answer::Decline),
            None => Err(unfit("approved", "true or false is required")),
        };
    }
    let Value::Object(values) = payload else { return Err(unfit("payload", "expected an object of the fields")) };
    question.accept(values.clone()).map_err(ControlError::InvalidAnswer)?;
    Ok(Answer::Accept(values.clone()))
}

fn unfit(field: &str, reason: &str) -> Failure {
    ControlError::InvalidAnswer(InvalidAnswer { field: field.to_owned(), reason: reason.to_owned() }).into()
}

#[cfg(test)]
mod tests {
    use adjutant_core::message::ForeignText;

    use super::*;

    fn entry(status: ResumeStatus, payload: Value) -> ResumeEntry {
        ResumeEntry { interrupt_id: String::new(), status, payload: Some(payload) }
    }

    #[test]
    fn a_form_is_the_schema_of_its_answer() {
        let field = |name: &str, required, kind| Field {
            name: name.to_owned(),
            title: Some(name.to_uppercase()),
            description: None,
            required,
            kind,
            default: None,
        };
        let options = vec![("s".to_owned(), "Small".to_owned()), ("l".to_owned(), "l".to_owned())];
        let text = |max_length, format: Option<&str>| FieldKind::Text {
            min_length: None,
            max_length,
            format: format.map(str::to_owned),
        };
        let question = Question {
            message: ForeignText::new("?"),
            fields: vec![
                field("a", true, text(Some(9_999), Some("email"))),
                field("b", false, FieldKind::Integer { minimum: Some(1), maximum: None }),
                Field { default: Some(json!(true)), ..field("c", false, FieldKind::Boolean) },
                field("d", true, FieldKind::Choice { options: options.clone(), multiple: false }),
                field("e", false, FieldKind::Choice { options, multiple: true }),
                field("f", false, FieldKind::Number { minimum: None, maximum: Some(1.5) }),
            ],
        };
        let choices = json!([{"const": "s", "title": "Small"}, {"const": "l", "title": "l"}]);
        let properties = json!({
            "a": {"title": "A", "type": "string", "maxLength": limits::QUESTION_TEXT_CHARS, "format": "email"},
            "b": {"title": "B", "type": "integer", "minimum": 1},
            "c": {"title": "C", "type": "boolean", "default": true},
            "d": {"title": "D", "type": "string", "oneOf": choices},
            "e": {"title": "E", "type": "array", "items": {"type": "string", "oneOf": choices}, "uniqueItems": true},
            "f": {"title": "F", "type": "number", "maximum": 1.5},
        });
        let wanted = json!({"type": "object", "properties": properties, "required": ["a", "d"],
            "additionalProperties": false});
        assert_eq!(schema(&question), wanted);
    }

    #[test]
    fn a_form_without_fields_takes_nothing_for_a_yes() {
        let question = Question { message: ForeignText::new("Go on?"), fields: Vec::new() };
        let read = |status, payload: Value| answer(&question, &entry(status, payload)).map_err(|_| ());
        let resolved = ResumeStatus::Resolved;
        assert_eq!(read(resolved, json!({"approved": true})), Ok(Answer::Accept(Map::new())));
        assert_eq!(read(resolved, json!({"approved": false})), Ok(Answer::Decline));
        for odd in [json!({}), json!(null), json!(true), json!("yes"), json!({"approved": "true"})] {
            assert_eq!(read(resolved, odd.clone()), Err(()), "{odd}");
        }
        assert_eq!(read(ResumeStatus::Cancelled, json!({"approved": true})), Ok(Answer::Cancel));
        assert_eq!(read(ResumeStatus::Cancelled, json!({"action": "decline"})), Ok(Answer::Decline));
    }
}
