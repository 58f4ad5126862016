//! A question that a tool asks while it runs, put to the person field by field. Everything in it was written by the
//! tool's server, so it is shown on one line and cut. Pure.

use serde_json::{Map, Value, json};

use crate::cli::plain::line;

const WORDS: usize = 400;
const LABEL: usize = 80;
/// As many choices as a screen holds.
const CHOICES: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub(super) id: String,
    pub(super) run: String,
    /// Which tool asks, as `server__tool`.
    tool: String,
    message: String,
    fields: Vec<Field>,
    values: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: String,
    label: String,
    required: bool,
    default: Option<Value>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Text,
    Number,
    Integer,
    Boolean,
    Choice { options: Vec<(String, String)>, multiple: bool },
}

/// What an answer to the next field came to.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// It does not fit; ask again.
    Again(String),
    /// There are more fields.
    More,
    /// The frame that answers the question.
    Done(Value),
}

impl Form {
    pub(super) fn read(value: &Value, run: &str) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let fields = value["fields"].as_array().into_iter().flatten().map(Field::read).collect();
        Self {
            id: text("questionId"),
            run: run.to_owned(),
            tool: text("name"),
            message: text("message"),
            fields,
            values: Map::new(),
        }
    }

    /// What is asked, before the first field.
    pub(super) fn introduction(&self) -> String {
        let tool = line(&self.tool, LABEL);
        let server = tool.split("__").next().unwrap_or_default();
        format!(
            "{server} asks, while it runs {tool}: {}\n(/no declines, /cancel takes it back)",
            line(&self.message, WORDS)
        )
    }

    /// The next field, or the yes-or-no of a question without fields.
    pub(super) fn question(&self) -> String {
        let Some(field) = self.next() else { return "y = yes, n = no:".to_owned() };
        let mut question = String::new();
        if let Kind::Choice { options, .. } = &field.kind {
            for (number, (_, label)) in (1..).zip(options.iter().take(CHOICES)) {
                question = format!("{question}  {number}  {}\n", line(label, LABEL));
            }
        }
        let how = match &field.kind {
            Kind::Text => "",
            Kind::Boolean => " (y or n)",
            Kind::Choice { multiple: true, .. } => " (numbers, between commas)",
            Kind::Number | Kind::Integer | Kind::Choice { .. } => " (a number)",
        };
        let without = match (&field.default, field.required) {
            (Some(default), _) => format!(" [{}]", line(&plain_value(default), LABEL)),
            (None, true) => String::new(),
            (None, false) => " [Enter leaves it out]".to_owned(),
        };
        format!("{question}{}{how}{without}:", line(&field.label, LABEL))
    }

    pub(super) fn take(&mut self, typed: &str) -> Taken {
        match typed {
            "/no" => return Taken::Done(self.frame("decline")),
            "/cancel" => return Taken::Done(self.frame("cancel")),
            _ => {}
        }
        let Some(field) = self.next() else {
            return match typed.to_lowercase().as_str() {
                "y" | "yes" => Taken::Done(self.frame("accept")),
                "n" | "no" => Taken::Done(self.frame("decline")),
                _ => Taken::Again("please answer y or n".to_owned()),
            };
        };
        let value = match (typed, &field.default) {
            ("", Some(default)) => default.clone(),
            ("", None) if !field.required => Value::Null,
            ("", None) => return Taken::Again("this must be answered".to_owned()),
            _ => match field.kind.value(typed) {
                Ok(value) => value,
                Err(sentence) => return Taken::Again(sentence),
            },
        };
        let name = field.name.clone();
        self.values.insert(name, value);
        if self.next().is_some() { Taken::More } else { Taken::Done(self.frame("accept")) }
    }

    /// Asks from the first field on again, because the server refused the values.
    pub(super) fn begin_again(&mut self) {
        self.values.clear();
    }

    fn next(&self) -> Option<&Field> {
        self.fields.iter().find(|field| !self.values.contains_key(&field.name))
    }

    fn frame(&self, action: &str) -> Value {
        let mut frame = json!({"type": "question.answer", "questionId": self.id, "action": action});
        if action == "accept" {
            let values = self.values.iter().filter(|(_, value)| !value.is_null());
            frame["values"] = values.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into();
        }
        frame
    }
}

impl Field {
    fn read(field: &Value) -> Self {
        let text = |name: &str| field[name].as_str().filter(|text| !text.trim().is_empty());
        let name = text("name").unwrap_or_default().to_owned();
        let title = text("title").unwrap_or(&name);
        let label = text("description").map_or_else(|| title.to_owned(), |about| format!("{title} ({about})"));
        Self {
            label,
            required: field["required"] == true,
            default: Some(field["default"].clone()).filter(|default| !default.is_null()),
            kind: Kind::read(field),
            name,
        }
    }
}

impl Kind {
    fn read(field: &Value) -> Self {
        match field["kind"].as_str() {
            Some("number") => Self::Number,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            Some("choice") => {
                let pair = |option: &Value| {
                    let value = option[0].as_str()?.to_owned();
                    Some((value, option[1].as_str().unwrap_or_default().to_owned()))
                };
                let options = field["options"].as_array().into_iter().flatten().filter_map(pair).collect();
                Self::Choice { options, multiple: field["multiple"] == true }
            }
            _ => Self::Text,
        }
    }

    fn value(&self, typed: &str) -> Result<Value, String> {
        match self {
            Self::Text => Ok(typed.into()),
            Self::Integer => typed.parse::<i64>().map(Value::from).map_err(|_| "please type a whole number".to_owned()),
            Self::Number => {
                let number = typed.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                number.map(Value::Number).ok_or_else(|| "please type a number".to_owned())
            }
            Self::Boolean => match typed.to_lowercase().as_str() {
                "y" | "yes" => Ok(true.into()),
                "n" | "no" => Ok(false.into()),
                _ => Err("please answer y or n".to_owned()),
            },
            Self::Choice { options, multiple: false } => chosen(options, typed).map(Value::from),
            Self::Choice { options, multiple: true } => {
                let each = typed.split(',').map(str::trim).filter(|typed| !typed.is_empty());
                each.map(|typed| chosen(options, typed)).collect::<Result<Vec<_>, _>>().map(Value::from)
            }
        }
    }
}

fn chosen(options: &[(String, String)], typed: &str) -> Result<String, String> {
    let number = typed.parse::<usize>().ok().and_then(|number| options.get(number.checked_sub(1)?));
    let named = || options.iter().find(|(value, label)| value == typed || label == typed);
    let found = number.or_else(named).map(|(value, _)| value.clone());
    found.ok_or_else(|| format!("please type a number from 1 to {}", options.len()))
}

fn plain_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &Value) -> Form {
        let value = json!({"questionId": "q", "name": "shop__order", "message": "Which\u{1b}[2J one?\nReally", "fields": fields});
        Form::read(&value, "r")
    }

    #[test]
    fn a_form_is_asked_field_by_field_and_answered_in_one_frame() {
        let size = json!({"name": "size", "title": "Size", "required": true, "kind": "choice",
                          "options": [["s", "Small"], ["l", "Large\u{7}"]], "multiple": false});
        let count = json!({"name": "count", "title": "How many", "required": true, "kind": "integer", "default": 1});
        let gift = json!({"name": "gift", "required": false, "kind": "boolean"});
        let extras = json!({"name": "extras", "required": true, "kind": "choice", "options": [["a", "A"], ["b", "B"]], "multiple": true});
        let mut form = form(&json!([size, count, gift, extras]));
        assert_eq!(
            form.introduction().lines().next(),
            Some("shop asks, while it runs shop__order: Which[2J one? Really")
        );
        assert_eq!(form.question(), "  1  Small\n  2  Large\nSize (a number):");
        assert!(matches!(form.take("3"), Taken::Again(_)) && matches!(form.take(""), Taken::Again(_)));
        assert_eq!(form.take("2"), Taken::More);
        assert_eq!(form.question(), "How many (a number) [1]:");
        assert!(matches!(form.take("many"), Taken::Again(_)));
        assert_eq!(form.take(""), Taken::More);
        assert_eq!(form.take(""), Taken::More, "an optional field may be left out");
        let values = json!({"size": "l", "count": 1, "extras": ["a", "b"]});
        let frame = json!({"type": "question.answer", "questionId": "q", "action": "accept", "values": values});
        assert_eq!(form.take("1, b"), Taken::Done(frame));
    }

    #[test]
    fn a_question_without_fields_is_a_yes_or_no_and_each_can_be_declined() {
        let frame = |action: &str| json!({"type": "question.answer", "questionId": "q", "action": action});
        let mut yes = frame("accept");
        yes["values"] = json!({});
        assert_eq!(form(&json!([])).take("y"), Taken::Done(yes));
        assert_eq!(form(&json!([])).take("n"), Taken::Done(frame("decline")));
        assert!(matches!(form(&json!([])).take("perhaps"), Taken::Again(_)));
        let text = json!([{"name": "a", "kind": "text", "required": true}]);
        assert_eq!(form(&text).take("/no"), Taken::Done(frame("decline")));
        assert_eq!(form(&text).take("/cancel"), Taken::Done(frame("cancel")));
    }
}
