//! Questions that a tool asks a person while its call is under way (MCP elicitation), and the door through
//! which a running call reaches whoever watches it. Deliberately absent: who is asked, and how long.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate};
use futures::channel::{mpsc, oneshot};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::limits;
use crate::message::{ForeignText, without_nul};

/// A form. All of its text was written by a server: it is shown to a person as data and enters no prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    pub message: ForeignText,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub required: bool,
    #[serde(flatten)]
    pub kind: FieldKind,
    /// What a form shows before anybody filled it in; never taken for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FieldKind {
    // Here and not on the enum: the schema does not know `rename_all_fields`.
    #[serde(rename_all = "camelCase")]
    Text {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_length: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_length: Option<u64>,
        /// `email`, `uri`, `date` or `date-time` are checked; others are only shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
    },
    Number {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minimum: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maximum: Option<f64>,
    },
    Integer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minimum: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maximum: Option<i64>,
    },
    Boolean,
    Choice {
        /// Value and label.
        options: Vec<(String, String)>,
        multiple: bool,
    },
}

/// What a person made of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Accept(Map<String, Value>),
    /// No, said on purpose.
    Decline,
    /// Nobody answered, or the form was closed.
    Cancel,
}

/// Why an answer does not fit its question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidAnswer {
    pub field: String,
    pub reason: String,
}

/// What a call says while it is under way.
#[derive(Debug)]
pub enum CallEvent {
    Progress { progress: f64, total: Option<f64>, message: Option<ForeignText> },
    Asks(Question, oneshot::Sender<Answer>),
}

/// Where a running call reports progress and asks questions. Cheap to clone; never holds its call up for
/// long: what finds no room is dropped or cancelled.
#[derive(Clone)]
pub struct CallDoor(Option<Arc<Mutex<mpsc::Sender<CallEvent>>>>);

impl CallDoor {
    /// A door, and the end where its call is heard. It ends when all doors are gone.
    pub fn open() -> (Self, mpsc::Receiver<CallEvent>) {
        let (sender, receiver) = mpsc::channel(limits::CALL_EVENTS);
        (Self(Some(Arc::new(Mutex::new(sender)))), receiver)
    }

    /// The door of those who answer nothing: progress is lost, questions are cancelled.
    pub fn closed() -> Self {
        Self(None)
    }

    /// Whether somebody listens who may answer a question.
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|sender| !sender.lock().unwrap_or_else(PoisonError::into_inner).is_closed())
    }

    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<ForeignText>) {
        self.send(CallEvent::Progress { progress, total, message });
    }

    /// Asks a person and waits for the answer. [`Answer::Cancel`] when there is none.
    pub async fn ask(&self, question: Question) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.send(CallEvent::Asks(question, answer)) {
            answered.await.unwrap_or(Answer::Cancel)
        } else {
            Answer::Cancel
        }
    }

    // One sender behind a lock: each clone of a sender would bring a place of its own, and with it no bound.
    fn send(&self, event: CallEvent) -> bool {
        let Some(sender) = &self.0 else { return false };
        sender.lock().unwrap_or_else(PoisonError::into_inner).try_send(event).is_ok()
    }
}

impl fmt::Debug for CallDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "CallDoor(open)" } else { "CallDoor(closed)" })
    }
}

impl Question {
    /// Whether it is small enough to be stored and shown.
    pub fn fits(&self) -> bool {
        let options = |field: &Field| match &field.kind {
            FieldKind::Choice { options, .. } => options.len(),
            _ => 0,
        };
        self.fields.len() <= limits::QUESTION_FIELDS
            && self.fields.iter().all(|field| options(field) <= limits::QUESTION_OPTIONS)
            && serde_json::to_string(self).is_ok_and(|text| text.len() <= limits::QUESTION_BYTES)
    }

    /// The values of an accepted form, if they fit it: every required field, no foreign one, each of its kind.
    /// An empty optional field may be left out or be null.
    pub fn accept(&self, mut values: Map<String, Value>) -> Result<Map<String, Value>, InvalidAnswer> {
        values.retain(|_, value| !value.is_null());
        if let Some(name) = values.keys().find(|name| !self.fields.iter().any(|field| field.name == **name)) {
            return Err(invalid(name, "the question has no such field"));
        }
        let mut accepted = Map::new();
        for field in &self.fields {
            match values.remove(&field.name) {
                Some(value) => {
                    let value = field.kind.accept(value).map_err(|reason| invalid(&field.name, &reason))?;
                    accepted.insert(field.name.clone(), value);
                }
                None if field.required => return Err(invalid(&field.name, "a value is required")),
                None => {}
            }
        }
        Ok(accepted)
    }
}

impl FieldKind {
    fn accept(&self, value: Value) -> Result<Value, String> {
        match (self, value) {
            (Self::Text { min_length, max_length, format }, Value::String(text)) => {
                let text = without_nul(text);
                let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
                if length > min_of(*max_length, limits::QUESTION_TEXT_CHARS) {
                    return Err(format!("at most {} characters", min_of(*max_length, limits::QUESTION_TEXT_CHARS)));
                }
                if let Some(min) = min_length.filter(|min| length < *min) {
                    return Err(format!("at least {min} characters"));
                }
                if let Some(format) = format.as_deref().filter(|format| !is_of_format(&text, format)) {
                    return Err(format!("not a valid {format}"));
                }
                Ok(Value::String(text))
            }
            (Self::Number { minimum, maximum }, Value::Number(number)) => {
                let value = number.as_f64().filter(|value| value.is_finite()).ok_or("not a number")?;
                within(value, *minimum, *maximum)?;
                Ok(Value::Number(number))
            }
            (Self::Integer { minimum, maximum }, Value::Number(number)) => {
                let value = whole(&number).ok_or("not a whole number")?;
                within(value, *minimum, *maximum)?;
                Ok(value.into())
            }
            (Self::Boolean, Value::Bool(value)) => Ok(Value::Bool(value)),
            (Self::Choice { options, multiple: false }, Value::String(chosen)) => {
                if is_option(options, &chosen) {
                    Ok(Value::String(chosen))
                } else {
                    Err("not one of the choices".into())
                }
            }
            (Self::Choice { options, multiple: true }, Value::Array(chosen)) => {
                let mut seen = std::collections::HashSet::new();
                let fits = |value: &Value| value.as_str().is_some_and(|text| is_option(options, text));
                if !chosen.iter().all(fits) {
                    return Err("not all of these are among the choices".into());
                }
                if !chosen.iter().filter_map(Value::as_str).all(|text| seen.insert(text)) {
                    return Err("a choice is there twice".into());
                }
                Ok(Value::Array(chosen))
            }
            (kind, _) => Err(format!("expected {}", kind.wanted())),
        }
    }

    fn wanted(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Number { .. } => "a number",
            Self::Integer { .. } => "a whole number",
            Self::Boolean => "true or false",
            Self::Choice { multiple: false, .. } => "one of the choices",
            Self::Choice { multiple: true, .. } => "a list of choices",
        }
    }
}

fn invalid(field: &str, reason: &str) -> InvalidAnswer {
    InvalidAnswer { field: field.to_owned(), reason: reason.to_owned() }
}

fn min_of(wanted: Option<u64>, bound: u64) -> u64 {
    wanted.map_or(bound, |wanted| wanted.min(bound))
}

fn within<N: Copy + PartialOrd + fmt::Display>(value: N, minimum: Option<N>, maximum: Option<N>) -> Result<(), String> {
    match (minimum, maximum) {
        (Some(minimum), _) if value < minimum => Err(format!("at least {minimum}")),
        (_, Some(maximum)) if value > maximum => Err(format!("at most {maximum}")),
        _ => Ok(()),
    }
}

/// 5 and 5.0 are whole, 5.5 and what no 64 bits hold are not.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let text = number.as_f64().filter(|value| value.fract() == 0.0)?.to_string();
        text.parse().ok()
    })
}

fn is_option(options: &[(String, String)], chosen: &str) -> bool {
    options.iter().any(|(value, _)| value == chosen)
}

fn is_of_format(text: &str, format: &str) -> bool {
    match format {
        "email" => {
            text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
                && !text.contains(char::is_whitespace)
        }
        "uri" => url::Url::parse(text).is_ok(),
        "date" => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        "date-time" => DateTime::parse_from_rfc3339(text).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, StreamExt};
    use serde_json::json;

    use super::*;

    fn form() -> Question {
        let field = |name: &str, required, kind| Field {
            name: name.into(),
            title: None,
            description: None,
            required,
            kind,
            default: None,
        };
        let text = |format: Option<&str>| FieldKind::Text {
            min_length: Some(2),
            max_length: Some(20),
            format: format.map(str::to_owned),
        };
        let options = vec![("s".to_owned(), "Small".to_owned()), ("l".to_owned(), "Large".to_owned())];
        Question {
            message: ForeignText::new("Which table?"),
            fields: vec![
                field("name", true, text(None)),
                field("mail", false, text(Some("email"))),
                field("day", false, text(Some("date"))),
                field("people", false, FieldKind::Integer { minimum: Some(1), maximum: Some(8) }),
                field("budget", false, FieldKind::Number { minimum: Some(0.5), maximum: None }),
                field("outside", false, FieldKind::Boolean),
                field("size", false, FieldKind::Choice { options: options.clone(), multiple: false }),
                field("sizes", false, FieldKind::Choice { options, multiple: true }),
            ],
        }
    }

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("not an object") };
        fields
    }

    #[test]
    fn an_answer_must_fit_its_form() {
        let table = [
            (json!({"name": "Ana"}), None),
            (
                json!({"name": "Ana", "mail": "a@b.example", "day": "2026-02-28", "people": 8, "budget": 0.5,
                    "outside": false, "size": "s", "sizes": ["l", "s"]}),
                None,
            ),
            (json!({"name": "Ana", "mail": null}), None),
            (json!({}), Some("name")),
            (json!({"name": null}), Some("name")),
            (json!({"name": "A"}), Some("name")),
            (json!({"name": "A".repeat(21)}), Some("name")),
            (json!({"name": 7}), Some("name")),
            (json!({"name": "Ana", "else": 1}), Some("else")),
            (json!({"name": "Ana", "mail": "a b@c"}), Some("mail")),
            (json!({"name": "Ana", "day": "2026-02-30"}), Some("day")),
            (json!({"name": "Ana", "people": 9}), Some("people")),
            (json!({"name": "Ana", "people": 1.5}), Some("people")),
            (json!({"name": "Ana", "budget": 0.4}), Some("budget")),
            (json!({"name": "Ana", "outside": "yes"}), Some("outside")),
            (json!({"name": "Ana", "size": "m"}), Some("size")),
            (json!({"name": "Ana", "sizes": ["m"]}), Some("sizes")),
            (json!({"name": "Ana", "sizes": ["s", "s"]}), Some("sizes")),
        ];
        for (values, refused) in table {
            let found = form().accept(fields(values.clone())).err().map(|error| error.field);
            assert_eq!(found.as_deref(), refused, "{values}");
        }
        assert_eq!(form().accept(fields(json!({"name": "Ana", "people": 2.0}))).unwrap()["people"], json!(2));
    }

    #[test]
    fn a_form_is_stored_and_read_back_equal() {
        let stored = serde_json::to_value(form()).unwrap();
        assert_eq!(
            stored["fields"][3],
            json!({"name": "people", "required": false, "kind": "integer",
                                               "minimum": 1, "maximum": 8})
        );
        assert_eq!(serde_json::from_value::<Question>(stored).unwrap(), form());
    }

    #[test]
    fn a_form_beyond_the_bounds_does_not_fit() {
        assert!(form().fits());
        let many = Question { fields: vec![form().fields[0].clone(); limits::QUESTION_FIELDS + 1], ..form() };
        let long = Question { message: ForeignText::new("x".repeat(limits::QUESTION_BYTES)), ..form() };
        assert!(!many.fits() && !long.fits());
    }

    #[test]
    fn a_question_comes_back_with_its_answer() {
        let (door, mut heard) = CallDoor::open();
        door.progress(1.0, Some(2.0), None);
        let mut asked = pin!(door.ask(form()));
        assert_eq!(asked.as_mut().now_or_never(), None);
        assert!(matches!(heard.next().now_or_never(), Some(Some(CallEvent::Progress { .. }))));
        let Some(Some(CallEvent::Asks(question, answer))) = heard.next().now_or_never() else { panic!("no question") };
        assert_eq!(question, form());
        answer.send(Answer::Decline).unwrap();
        assert_eq!(asked.now_or_never(), Some(Answer::Decline));
    }

    #[test]
    fn without_anybody_a_question_is_cancelled() {
        assert_eq!(CallDoor::closed().ask(form()).now_or_never(), Some(Answer::Cancel));
        let (door, heard) = CallDoor::open();
        drop(heard);
        assert!(!door.is_open());
        assert_eq!(door.ask(form()).now_or_never(), Some(Answer::Cancel));
    }

    #[test]
    fn a_call_that_nobody_hears_fills_no_memory() {
        let (door, heard) = CallDoor::open();
        for _ in 0..10 * limits::CALL_EVENTS {
            door.clone().progress(1.0, None, None);
        }
        drop(door);
        let kept = heard.count().now_or_never().unwrap();
        assert!(kept <= limits::CALL_EVENTS + 1, "{kept}");
    }
}
