//! What clients send: parsed by hand, field by field, so that each fault gets its code and a sentence that names the
//! field. Unknown fields are ignored. Whether ids exist and texts fit is for others to say.

use std::str::FromStr;

use adjutant_core::ids::{ApprovalId, MessageId, QuestionId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{FilePart, InvalidMessage, Part, Role, accept_user_parts, without_nul};
use adjutant_core::question::Answer;
use adjutant_engine::runs::revise::Revision;
use adjutant_engine::runs::submission::{Draft, Edited, Mode, RunRequest, Submission, Target, TryAgain};
use adjutant_store::approvals::Decision;
use adjutant_store::threads::Kind;
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame {
    Submit(Submit),
    Cancel { run: RunId },
    TryAgain(TryAgain),
    Decide { approval: ApprovalId, decision: Decision, reason: Option<String> },
    Answer { question: QuestionId, answer: Answer },
    Resume { threads: Vec<(ThreadId, i64)> },
    Ping,
}

type Read = fn(&Map<String, Value>) -> Result<ClientFrame, BadFrame>;

/// Every frame that clients may send. Tests generate their matrices from this table.
pub const FRAMES: &[(&str, Read)] = &[
    ("run.submit", |fields| submit(fields).map(ClientFrame::Submit)),
    ("run.retry", |fields| try_again(fields).map(ClientFrame::TryAgain)),
    ("run.cancel", |fields| id(fields, "runId").map(|run| ClientFrame::Cancel { run })),
    ("approval.decide", decide),
    ("question.answer", answer),
    ("resume", resume),
    ("ping", |_| Ok(ClientFrame::Ping)),
];

/// A message to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Submit {
    pub client_message_id: String,
    pub thread: Option<ThreadId>,
    /// The thread that begins with it is in no list, and removed for good a while after what happened last in it.
    pub temporary: bool,
    pub parent: Option<MessageId>,
    /// The message that this one stands beside, instead of behind `parent`.
    pub edited: Option<Edited>,
    pub model: Option<String>,
    pub parts: Vec<Part>,
    pub mode: Mode,
}

impl Submit {
    /// As the engine takes it, with the message that it stands beside, if it is an edited one.
    pub fn into_submission(self) -> Result<(Submission, Option<Edited>), InvalidMessage> {
        let parts = accept_user_parts(self.parts)?;
        let new = if self.temporary { Kind::Temporary } else { Kind::Listed };
        let submission = Submission {
            run_id: RunId::new(),
            thread: self.thread.map_or(Target::New(new), Target::Existing),
            parent: self.parent,
            messages: vec![Draft { role: Role::User, parts }],
            client_message_id: Some(self.client_message_id),
            request: RunRequest { model: self.model, mode: self.mode, ..RunRequest::default() },
        };
        Ok((submission, self.edited))
    }
}

/// A frame that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame {
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Whose message it was, where that could be read.
    pub client_message_id: Option<String>,
}

impl BadFrame {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), client_message_id: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_frame", message)
    }
}

impl ClientFrame {
    /// `serde_json` refuses a frame that is nested too deep.
    pub fn parse(text: &str) -> Result<Self, BadFrame> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| BadFrame::invalid(format!("the frame is not JSON: {error}")))?;
        let Value::Object(fields) = value else { return Err(BadFrame::invalid("the frame is not a JSON object")) };
        let parsed = match fields.get("type") {
            Some(Value::String(kind)) => match FRAMES.iter().find(|(known, _)| known == kind) {
                Some((_, read)) => read(&fields),
                None => {
                    let known: Vec<&str> = FRAMES.iter().map(|(known, _)| *known).collect();
                    let message = format!("the type of the frame is none of {}", known.join(", "));
                    Err(BadFrame::new("unknown_frame", message))
                }
            },
            Some(_) => Err(BadFrame::invalid("type is not a string")),
            None => Err(BadFrame::invalid("type is missing")),
        };
        parsed.map_err(|bad| BadFrame { client_message_id: readable_id(&fields), ..bad })
    }
}

/// A message to be answered; also the body of a REST request.
pub fn submit(fields: &Map<String, Value>) -> Result<Submit, BadFrame> {
    let client_message_id = text(fields, "clientMessageId")?.to_owned();
    let thread = optional(fields, "threadId", id)?;
    let parent = optional(fields, "parentId", id)?;
    let edited = optional(fields, "editedId", id)?;
    if edited.is_some() && (parent.is_some() || thread.is_none()) {
        return Err(BadFrame::invalid("editedId stands with a threadId and without a parentId"));
    }
    let temporary = optional(fields, "temporary", flag)?.unwrap_or_default();
    if temporary && thread.is_some() {
        return Err(BadFrame::invalid("temporary stands without a threadId: a thread is temporary from its beginning"));
    }
    let model = optional(fields, "model", model)?;
    let mode = optional(fields, "mode", mode)?.unwrap_or_default();
    let Content { parts, is_text } = content(fields)?;
    // A new text says nothing about the files; a list of parts says which ones there are.
    let edited = edited.map(|message| Edited { message, keeps_files: is_text });
    Ok(Submit { client_message_id, thread, temporary, parent, edited, model, parts, mode })
}

/// What a message that waits says from now on: the body of a REST request.
pub fn revision(fields: &Map<String, Value>) -> Result<Revision, BadFrame> {
    let Content { parts, is_text } = content(fields)?;
    Ok(Revision { parts, keeps_files: is_text, mode: optional(fields, "mode", mode)? })
}

/// A message that is said otherwise: the body of a REST request.
pub fn saved(fields: &Map<String, Value>) -> Result<(Edited, Vec<Part>), BadFrame> {
    let message = id(fields, "editedId")?;
    let Content { parts, is_text } = content(fields)?;
    Ok((Edited { message, keeps_files: is_text }, parts))
}

struct Content {
    parts: Vec<Part>,
    /// It came as a text, not as a list of parts.
    is_text: bool,
}

fn content(fields: &Map<String, Value>) -> Result<Content, BadFrame> {
    let (parts, is_text) = match present(fields, "content")? {
        Value::String(text) => (vec![Part::text(text.as_str())], true),
        Value::Array(parts) if parts.len() > limits::MESSAGE_PARTS => {
            return Err(BadFrame::invalid(format!("content has more than {} parts", limits::MESSAGE_PARTS)));
        }
        Value::Array(parts) => (parts.iter().map(part).collect::<Result<_, _>>()?, false),
        _ => return Err(BadFrame::invalid("content is neither a string nor an array of parts")),
    };
    Ok(Content { parts, is_text })
}

fn mode(fields: &Map<String, Value>, name: &str) -> Result<Mode, BadFrame> {
    let mode = Mode::parse(text(fields, name)?);
    mode.ok_or_else(|| BadFrame::new("unsupported_mode", format!("{name} is neither queue nor steer")))
}

/// A further answer to a message that is there; also the body of a REST request, which names the thread itself.
pub fn try_again(fields: &Map<String, Value>) -> Result<TryAgain, BadFrame> {
    Ok(TryAgain {
        run_id: RunId::new(),
        thread: id(fields, "threadId")?,
        message: id(fields, "messageId")?,
        client_request_id: Some(text(fields, "clientMessageId")?.to_owned()),
        request: RunRequest { model: optional(fields, "model", model)?, ..RunRequest::default() },
    })
}

fn model(fields: &Map<String, Value>, name: &str) -> Result<String, BadFrame> {
    let model = text(fields, name)?;
    if model.is_empty() || model.len() > MODEL_LONGEST || model.chars().any(char::is_control) {
        return Err(BadFrame::invalid(format!("{name} is not the name of a model")));
    }
    Ok(model.to_owned())
}

const MODEL_LONGEST: usize = 200;

fn part(part: &Value) -> Result<Part, BadFrame> {
    let Value::Object(fields) = part else { return Err(BadFrame::invalid("a part of content is not an object")) };
    match text(fields, "type")? {
        "text" => Ok(Part::text(text(fields, "text")?)),
        "file" => Ok(Part::File(FilePart::named(id(fields, "fileId")?))),
        _ => Err(BadFrame::new("unsupported_part", "parts of content are of the type text or file")),
    }
}

fn decide(fields: &Map<String, Value>) -> Result<ClientFrame, BadFrame> {
    let approval = id(fields, "approvalId")?;
    let decision = Decision::parse(text(fields, "decision")?)
        .ok_or_else(|| BadFrame::invalid("decision is not once, always or deny"))?;
    let reason = optional(fields, "reason", text)?;
    if reason.is_some_and(|reason| reason.chars().count() > limits::REASON_CHARS) {
        return Err(BadFrame::invalid(format!("reason is longer than {} characters", limits::REASON_CHARS)));
    }
    let reason = reason.map(|reason| without_nul(reason.to_owned()));
    Ok(ClientFrame::Decide { approval, decision, reason })
}

fn answer(fields: &Map<String, Value>) -> Result<ClientFrame, BadFrame> {
    let question = id(fields, "questionId")?;
    let values = match fields.get("values") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(values)) => values.clone(),
        Some(_) => return Err(BadFrame::invalid("values is not an object")),
    };
    let answer = match text(fields, "action")? {
        "accept" => Answer::Accept(values),
        "decline" => Answer::Decline,
        "cancel" => Answer::Cancel,
        _ => return Err(BadFrame::invalid("action is not accept, decline or cancel")),
    };
    Ok(ClientFrame::Answer { question, answer })
}

fn resume(fields: &Map<String, Value>) -> Result<ClientFrame, BadFrame> {
    let Value::Object(threads) = present(fields, "threads")? else {
        return Err(BadFrame::invalid("threads is not an object"));
    };
    if threads.len() > limits::RESUME_THREADS {
        return Err(BadFrame::invalid(format!("threads names more than {}", limits::RESUME_THREADS)));
    }
    let position = |(id, seq): (&String, &Value)| {
        let id = ThreadId::from_str(id).map_err(|_| BadFrame::invalid("a key of threads is not an id"))?;
        let seq = seq.as_i64().filter(|seq| *seq >= 0);
        let seq = seq.ok_or_else(|| BadFrame::invalid("a value of threads is not a whole number from 0 on"))?;
        Ok((id, seq))
    };
    Ok(ClientFrame::Resume { threads: threads.iter().map(position).collect::<Result<_, _>>()? })
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value, BadFrame> {
    fields.get(name).ok_or_else(|| BadFrame::invalid(format!("{name} is missing")))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, BadFrame> {
    present(fields, name)?.as_str().ok_or_else(|| BadFrame::invalid(format!("{name} is not a string")))
}

fn id<T: FromStr>(fields: &Map<String, Value>, name: &str) -> Result<T, BadFrame> {
    text(fields, name)?.parse().map_err(|_| BadFrame::invalid(format!("{name} is not an id")))
}

fn flag(fields: &Map<String, Value>, name: &str) -> Result<bool, BadFrame> {
    present(fields, name)?.as_bool().ok_or_else(|| BadFrame::invalid(format!("{name} is neither true nor false")))
}

/// `null` means absent.
fn optional<'a, T>(
    fields: &'a Map<String, Value>,
    name: &str,
    read: impl FnOnce(&'a Map<String, Value>, &str) -> Result<T, BadFrame>,
) -> Result<Option<T>, BadFrame> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => read(fields, name).map(Some),
    }
}

fn readable_id(fields: &Map<String, Value>) -> Option<String> {
    fields.get("clientMessageId")?.as_str().and_then(echoed).map(str::to_owned)
}

/// A client message id as errors repeat it: not when it is too long to be one.
pub fn echoed(id: &str) -> Option<&str> {
    id.chars().nth(limits::CLIENT_MESSAGE_ID_CHARS).is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::forms;

    const ID: &str = "0196f0aa-0000-7000-8000-000000000001";

    #[test]
    fn a_message_comes_as_text_or_as_parts_and_unknown_fields_are_ignored() {
        let plain = json!({"type": "run.submit", "clientMessageId": "a", "content": "hi", "later": {"x": []}});
        let parts = json!({
            "type": "run.submit", "clientMessageId": "a", "threadId": ID, "parentId": null, "mode": "queue",
            "content": [{"type": "text", "text": "h", "cache": true}, {"type": "text", "text": "i"}],
        });
        let submit = |thread: Option<&str>, parts: Vec<Part>| {
            let thread = thread.map(|id| id.parse().unwrap());
            let (client_message_id, parent, temporary) = ("a".to_owned(), None, false);
            let (edited, model, mode) = (None, None, Mode::Queue);
            let submit = Submit { client_message_id, thread, temporary, parent, edited, model, parts, mode };
            Ok(ClientFrame::Submit(submit))
        };
        assert_eq!(ClientFrame::parse(&plain.to_string()), submit(None, vec![Part::text("hi")]));
        assert_eq!(ClientFrame::parse(&parts.to_string()), submit(Some(ID), vec![Part::text("h"), Part::text("i")]));
    }

    #[test]
    fn an_edited_text_keeps_its_files_and_edited_parts_name_them() {
        let edited = |content: Value| {
            let frame = json!({
                "type": "run.submit", "clientMessageId": "a", "threadId": ID, "editedId": ID, "content": content,
            });
            let Ok(ClientFrame::Submit(submit)) = ClientFrame::parse(&frame.to_string()) else { panic!("{frame}") };
            (submit.edited.unwrap().keeps_files, submit.parts)
        };
        assert_eq!(edited(json!("new")), (true, vec![Part::text("new")]));
        let file = Part::File(FilePart::named(ID.parse().unwrap()));
        assert_eq!(edited(json!([{"type": "file", "fileId": ID, "name": "claimed"}])), (false, vec![file]));
    }

    #[test]
    fn a_message_can_join_and_a_question_can_be_answered() {
        let steer = json!({"type": "run.submit", "clientMessageId": "a", "content": "hi", "mode": "steer"});
        let ClientFrame::Submit(submit) = ClientFrame::parse(&steer.to_string()).unwrap() else { panic!("no submit") };
        assert_eq!(submit.mode, Mode::Steer);
        let accept = json!({"type": "question.answer", "questionId": ID, "action": "accept", "values": {"size": "s"}});
        let values = Map::from_iter([("size".to_owned(), json!("s"))]);
        let answer = ClientFrame::Answer { question: ID.parse().unwrap(), answer: Answer::Accept(values) };
        assert_eq!(ClientFrame::parse(&accept.to_string()), Ok(answer));
    }

    /// The document describes what is read here.
    #[test]
    fn the_form_of_each_frame_is_read_and_no_other_type_is_described() {
        let whole = [
            json!({
                "type": "run.submit", "clientMessageId": "a", "content": "hi", "threadId": ID, "editedId": ID,
                "model": "openai/m", "mode": "steer",
            }),
            json!({
                "type": "run.submit", "clientMessageId": "a", "threadId": null, "parentId": ID,
                "content": [{"type": "text", "text": "hi"}, {"type": "file", "fileId": ID}],
            }),
            json!({"type": "run.submit", "clientMessageId": "a", "content": "hi", "temporary": true}),
            json!({"type": "run.retry", "clientMessageId": "a", "threadId": ID, "messageId": ID, "model": "m"}),
            json!({"type": "run.cancel", "runId": ID}),
            json!({"type": "approval.decide", "approvalId": ID, "decision": "always", "reason": "why not"}),
            json!({"type": "question.answer", "questionId": ID, "action": "accept", "values": {"a": 1}}),
            json!({"type": "question.answer", "questionId": ID, "action": "decline"}),
            json!({"type": "resume", "threads": {ID: 0}}),
            json!({"type": "ping"}),
        ];
        let required = |frame: &Value| {
            let schema = serde_json::to_value(<forms::ClientFrame as utoipa::PartialSchema>::schema()).unwrap();
            let variants = schema["oneOf"].as_array().unwrap().clone();
            let named = |variant: &Value| variant["properties"]["type"]["enum"] == json!([frame["type"]]);
            variants.into_iter().find(named).unwrap_or_else(|| panic!("{frame} is not described: {schema}"))["required"]
                .clone()
        };
        for frame in &whole {
            assert!(ClientFrame::parse(&frame.to_string()).is_ok(), "{frame}");
            let form = serde_json::from_value::<forms::ClientFrame>(frame.clone());
            assert!(form.is_ok(), "{frame}: {form:?}");
            for (name, _) in frame.as_object().unwrap() {
                let mut less = frame.clone();
                less.as_object_mut().unwrap().remove(name);
                let needed = required(frame).as_array().unwrap().contains(&json!(name));
                let read = ClientFrame::parse(&less.to_string());
                // An edited message needs its thread, which no schema of ours says.
                let is_edited = name == "threadId" && less.get("editedId").is_some();
                assert!(read.is_err() == (needed || is_edited), "{name} of {frame}");
            }
        }
        for (kind, _) in FRAMES {
            assert!(whole.iter().any(|frame| frame["type"] == *kind), "{kind} is not described");
        }
    }

    #[test]
    fn each_fault_has_its_code() {
        let table = [
            (
                json!({"type": "run.submit", "clientMessageId": "a", "content": "x", "mode": "later"}),
                "unsupported_mode",
            ),
            (json!({"type": "run.submit", "clientMessageId": "a", "content": [{"type": "image"}]}), "unsupported_part"),
            (json!({"type": "run.submit", "clientMessageId": "a", "content": 7}), "invalid_frame"),
            (json!({"type": "run.submit", "clientMessageId": "a", "content": "x", "model": ""}), "invalid_frame"),
            (json!({"type": "run.submit", "clientMessageId": "a", "content": "x", "editedId": ID}), "invalid_frame"),
            (json!({"type": "run.submit", "clientMessageId": "a", "content": [{"type": "file"}]}), "invalid_frame"),
            (
                json!({"type": "run.submit", "clientMessageId": "a", "content": "x", "temporary": "yes"}),
                "invalid_frame",
            ),
            (
                json!({"type": "run.submit", "clientMessageId": "a", "content": "x", "temporary": true, "threadId": ID}),
                "invalid_frame",
            ),
            (json!({"type": "run.retry", "clientMessageId": "a", "threadId": ID}), "invalid_frame"),
            (json!({"type": "run.submit", "clientMessageId": "a", "threadId": "x", "content": ""}), "invalid_frame"),
            (json!({"type": "run.sumbit"}), "unknown_frame"),
            (json!({"type": 1}), "invalid_frame"),
            (json!([]), "invalid_frame"),
            (json!({"type": "run.cancel"}), "invalid_frame"),
            (json!({"type": "approval.decide", "approvalId": ID, "decision": "maybe"}), "invalid_frame"),
            (json!({"type": "question.answer", "questionId": ID, "action": "maybe"}), "invalid_frame"),
            (json!({"type": "question.answer", "questionId": ID, "action": "accept", "values": []}), "invalid_frame"),
            (json!({"type": "resume", "threads": {ID: -1}}), "invalid_frame"),
            (json!({"type": "resume", "threads": {ID: 1.5}}), "invalid_frame"),
            (json!({"type": "resume", "threads": {"x": 1}}), "invalid_frame"),
        ];
        for (frame, code) in table {
            let bad = ClientFrame::parse(&frame.to_string()).unwrap_err();
            let named = frame.get("clientMessageId").map(|_| "a");
            assert_eq!((bad.code, bad.client_message_id.as_deref()), (code, named), "{frame}");
        }
        let deep = format!(r#"{{"type":"resume","x":{}"#, "[".repeat(100_000));
        for text in ["", "{", "nul", "\u{0}", r#"{"type":"run.cancel","runId":"\ud800"}"#, &deep] {
            assert_eq!(ClientFrame::parse(text).unwrap_err().code, "invalid_frame");
        }
    }
}
