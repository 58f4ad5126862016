//! One thread as this client knows it, by the rules of `docs/protocol.md`. Pure: frames go in, what is to be shown comes
//! out. Frames of other threads are none of its business.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::form::Form;

#[derive(Default)]
pub(super) struct Conversation {
    pub(super) thread: Option<String>,
    /// The number of the last event seen.
    pub(super) last: i64,
    /// The ids of messages that this client sent.
    pub(super) sent: HashSet<String>,
    only_mine: bool,
    /// Runs that have not ended, oldest first.
    pub(super) going: Vec<String>,
    texts: HashMap<String, Text>,
    calls: HashMap<String, Call>,
    seen_runs: HashSet<String>,
    /// Those that this client began.
    my_runs: HashSet<String>,
    /// The newest message of a person: what is answered once more, or edited.
    pub(super) newest: Option<String>,
}

/// An answer: what came of it, and how much of that was shown.
#[derive(Default)]
struct Text {
    come: String,
    shown: String,
}

#[derive(Default)]
struct Call {
    name: String,
    arguments: String,
    shown: bool,
}

/// A question whether a tool may run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Approval {
    pub(super) id: String,
    pub(super) run: String,
    pub(super) name: String,
    pub(super) server: String,
    pub(super) risk: String,
    /// Exactly what would be sent.
    pub(super) arguments: Value,
    /// What asks for consent, as the server names it.
    pub(super) why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Show {
    /// A piece of an answer.
    Text(String),
    /// A piece of what the model thinks before it answers.
    Thought(String),
    EndOfText {
        partial: bool,
    },
    /// Somebody wrote this in the thread.
    Said(String),
    Call {
        name: String,
        arguments: String,
    },
    Result {
        name: String,
        outcome: String,
        text: String,
    },
    Ask(Approval),
    /// A tool asks, while it runs.
    Question(Form),
    Answered {
        question: String,
        action: String,
    },
    Progress(String),
    Decided {
        approval: String,
        decision: String,
    },
    State {
        run: String,
        state: String,
        reason: Option<String>,
        /// The run that took this one in.
        joined: Option<String>,
    },
    Finished {
        run: String,
        cancelled: bool,
    },
    Failed {
        run: String,
        code: String,
        message: String,
    },
    Acked {
        client_message_id: String,
        run: String,
        seq: i64,
    },
    Refused {
        code: String,
        client_message_id: Option<String>,
        message: String,
    },
}

impl Conversation {
    /// Shows only what answers messages of this client.
    pub(super) fn mine_only() -> Self {
        Self { only_mine: true, ..Self::default() }
    }

    pub(super) fn apply(&mut self, frame: &Value) -> Vec<Show> {
        match text(&frame["type"]) {
            "ack" => self.acked(frame),
            "event" => self.event(frame),
            "error" => {
                let client_message_id = frame["clientMessageId"].as_str().map(str::to_owned);
                vec![Show::Refused {
                    code: owned(&frame["code"]),
                    client_message_id,
                    message: owned(&frame["message"]),
                }]
            }
            _ => Vec::new(),
        }
    }

    fn acked(&mut self, frame: &Value) -> Vec<Show> {
        let client_message_id = owned(&frame["clientMessageId"]);
        if !self.sent.contains(&client_message_id) {
            return Vec::new();
        }
        self.thread.get_or_insert_with(|| owned(&frame["threadId"]));
        let seq = frame["seq"].as_i64().unwrap_or_default();
        vec![Show::Acked { client_message_id, run: owned(&frame["runId"]), seq }]
    }

    fn event(&mut self, frame: &Value) -> Vec<Show> {
        let event = &frame["event"];
        if self.thread.is_none() && self.is_answer_to_mine(event) {
            self.thread = Some(owned(&frame["threadId"]));
        }
        if self.thread.as_deref() != frame["threadId"].as_str() {
            return Vec::new();
        }
        let seq = frame["seq"].as_i64();
        // Known already, or told before the server read what this client asked for: then it comes again.
        if seq.is_some_and(|seq| seq != self.last + 1) {
            return Vec::new();
        }
        self.last = seq.unwrap_or(self.last);
        let run = text(&frame["runId"]);
        if self.is_answer_to_mine(event) {
            self.my_runs.insert(run.to_owned());
        }
        let shows = self.show(event, run, frame["offset"].as_u64());
        if self.only_mine && !self.my_runs.contains(run) { Vec::new() } else { shows }
    }

    fn is_answer_to_mine(&self, event: &Value) -> bool {
        let messages = event["input"]["messages"].as_array();
        messages.into_iter().flatten().any(|message| self.sent.contains(text(&message["metadata"]["clientMessageId"])))
    }

    fn show(&mut self, event: &Value, run: &str, offset: Option<u64>) -> Vec<Show> {
        let run = run.to_owned();
        match text(&event["type"]) {
            "RUN_STARTED" => self.started(event, run),
            "RUN_FINISHED" => {
                self.going.retain(|going| *going != run);
                vec![Show::Finished { run, cancelled: event["outcome"]["type"] == "cancelled" }]
            }
            "RUN_ERROR" => {
                self.going.retain(|going| *going != run);
                vec![Show::Failed { run, code: owned(&event["code"]), message: owned(&event["message"]) }]
            }
            "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START" => {
                self.texts.entry(owned(&event["messageId"])).or_default().come.clear();
                Vec::new()
            }
            "TEXT_MESSAGE_CONTENT" => self.content(event, offset.unwrap_or_default()),
            "REASONING_MESSAGE_CONTENT" => {
                let shows = self.content(event, offset.unwrap_or_default());
                let thought = |show| if let Show::Text(text) = show { Show::Thought(text) } else { show };
                shows.into_iter().map(thought).collect()
            }
            "REASONING_MESSAGE_END" => vec![Show::EndOfText { partial: false }],
            "TEXT_MESSAGE_END" => vec![Show::EndOfText { partial: event["metadata"]["partial"] == true }],
            "TOOL_CALL_START" => {
                let call = self.calls.entry(owned(&event["toolCallId"])).or_default();
                call.name = owned(&event["toolCallName"]);
                call.arguments.clear();
                Vec::new()
            }
            "TOOL_CALL_ARGS" => {
                self.calls.entry(owned(&event["toolCallId"])).or_default().arguments.push_str(text(&event["delta"]));
                Vec::new()
            }
            "TOOL_CALL_END" => match self.calls.get_mut(text(&event["toolCallId"])) {
                Some(call) if !call.shown => {
                    call.shown = true;
                    vec![Show::Call { name: call.name.clone(), arguments: call.arguments.clone() }]
                }
                _ => Vec::new(),
            },
            "TOOL_CALL_RESULT" => {
                let name = self.calls.get(text(&event["toolCallId"])).map(|call| call.name.clone()).unwrap_or_default();
                let outcome = owned(&event["metadata"]["outcome"]);
                vec![Show::Result { name, outcome, text: owned(&event["content"]) }]
            }
            "CUSTOM" => {
                let value = &event["value"];
                if text(&event["name"]) == "run.state" && value["state"] == "joined" {
                    self.going.retain(|going| *going != run);
                }
                custom(text(&event["name"]), value, run)
            }
            _ => Vec::new(),
        }
    }

    fn started(&mut self, event: &Value, run: String) -> Vec<Show> {
        if !self.seen_runs.insert(run.clone()) {
            return Vec::new();
        }
        self.going.push(run);
        let messages = event["input"]["messages"].as_array().into_iter().flatten();
        let of_people = messages.filter(|message| message["role"] == "user");
        if let Some(newest) = of_people.clone().next_back() {
            self.newest = newest["id"].as_str().map(str::to_owned);
        }
        of_people
            .filter(|message| !self.sent.contains(text(&message["metadata"]["clientMessageId"])))
            .map(|message| Show::Said(said(&message["content"])))
            .collect()
    }

    /// The piece replaces everything from its offset on; only what was not shown yet is.
    fn content(&mut self, event: &Value, offset: u64) -> Vec<Show> {
        let Text { come, shown } = self.texts.entry(owned(&event["messageId"])).or_default();
        come.truncate(byte_at(come, offset));
        come.push_str(text(&event["delta"]));
        if shown.starts_with(&*come) {
            return Vec::new();
        }
        if let Some(fresh) = come.strip_prefix(&**shown) {
            let fresh = fresh.to_owned();
            shown.push_str(&fresh);
            return vec![Show::Text(fresh)];
        }
        // The model was asked again and says something else.
        shown.clone_from(come);
        vec![Show::EndOfText { partial: true }, Show::Text(come.clone())]
    }
}

fn custom(name: &str, value: &Value, run: String) -> Vec<Show> {
    match name {
        "run.state" => {
            vec![Show::State {
                run,
                state: owned(&value["state"]),
                reason: value["reason"].as_str().map(str::to_owned),
                joined: value["joinedRunId"].as_str().map(str::to_owned),
            }]
        }
        "approval.requested" => vec![Show::Ask(Approval {
            id: owned(&value["approvalId"]),
            run,
            name: owned(&value["name"]),
            server: owned(&value["server"]),
            risk: owned(&value["risk"]),
            arguments: value["arguments"].clone(),
            why: owned(&value["why"]),
        })],
        "question.asked" => vec![Show::Question(Form::read(value, &run))],
        "question.answered" => {
            vec![Show::Answered { question: owned(&value["questionId"]), action: owned(&value["action"]) }]
        }
        "tool.progress" => vec![Show::Progress(progress(value))],
        "approval.decided" => {
            vec![Show::Decided { approval: owned(&value["approvalId"]), decision: owned(&value["decision"]) }]
        }
        _ => Vec::new(),
    }
}

fn progress(value: &Value) -> String {
    let number = |name: &str| value[name].as_f64();
    let how_far = match (number("progress"), number("total")) {
        (Some(done), Some(total)) if total > 0.0 => format!("{:.0} %", (done / total * 100.0).clamp(0.0, 100.0)),
        (Some(done), _) => done.to_string(),
        _ => String::new(),
    };
    format!("{} {how_far}", text(&value["message"])).trim().to_owned()
}

/// The text of a message's content, which is text or parts, and the names of its files.
pub(super) fn said(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            let named = |part: &Value| part["name"].as_str().or(part["metadata"]["name"].as_str()).map(str::to_owned);
            let files = parts.iter().filter(|part| part["text"].is_null()).filter_map(named);
            files.fold(texts, |said, name| format!("{said} [{name}]"))
        }
        _ => String::new(),
    }
}

/// Where the character stands that has `units` UTF-16 code units before it.
fn byte_at(text: &str, units: u64) -> usize {
    let mut before = 0;
    for (index, c) in text.char_indices() {
        if before >= units {
            return index;
        }
        before += c.len_utf16() as u64;
    }
    text.len()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn owned(value: &Value) -> String {
    text(value).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open() -> Conversation {
        Conversation { thread: Some("t".to_owned()), ..Conversation::default() }
    }

    fn event(seq: Option<i64>, offset: Option<usize>, event: &Value) -> Value {
        json!({"type": "event", "threadId": "t", "runId": "r", "seq": seq, "offset": offset, "event": event})
    }

    fn piece(offset: usize, delta: &str) -> Value {
        event(None, Some(offset), &json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": delta}))
    }

    #[test]
    fn an_answer_that_begins_anew_after_a_cut_is_not_shown_twice() {
        let mut conversation = open();
        let start = event(None, None, &json!({"type": "TEXT_MESSAGE_START", "messageId": "m"}));
        let mut shown = String::new();
        for frame in [&start, &piece(0, "Grüß 🐈"), &piece(7, " di"), &start, &piece(0, "Grüß 🐈 dich")] {
            for show in conversation.apply(frame) {
                let Show::Text(text) = show else { panic!("{show:?}") };
                shown.push_str(&text);
            }
        }
        assert_eq!(shown, "Grüß 🐈 dich");
        let other = [Show::EndOfText { partial: true }, Show::Text("Grüß Gott".to_owned())];
        conversation.apply(&start);
        assert_eq!(conversation.apply(&piece(0, "Grüß Gott")), other);
    }

    #[test]
    fn what_is_thought_is_told_apart_from_what_is_said_and_not_shown_twice() {
        let mut conversation = open();
        let thought = |delta: &str, offset| {
            let content = json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": "t", "delta": delta});
            event(None, Some(offset), &content)
        };
        let start = event(None, None, &json!({"type": "REASONING_MESSAGE_START", "messageId": "t"}));
        assert_eq!(conversation.apply(&thought("Let me", 0)), [Show::Thought("Let me".to_owned())]);
        assert_eq!(conversation.apply(&start), []);
        assert_eq!(conversation.apply(&thought("Let me see", 0)), [Show::Thought(" see".to_owned())]);
        assert_eq!(conversation.apply(&piece(0, "Yes")), [Show::Text("Yes".to_owned())]);
    }

    #[test]
    fn a_number_that_is_not_the_next_and_another_thread_change_nothing() {
        let mut conversation = open();
        let end = |seq| event(Some(seq), None, &json!({"type": "TEXT_MESSAGE_END", "messageId": "m"}));
        assert_eq!(conversation.apply(&end(1)), [Show::EndOfText { partial: false }]);
        assert_eq!(conversation.apply(&end(1)), []);
        assert_eq!(conversation.apply(&end(3)), []);
        let mut other = end(2);
        other["threadId"] = json!("other");
        assert_eq!(conversation.apply(&other), []);
        assert_eq!(conversation.last, 1);
    }

    #[test]
    fn a_new_thread_is_known_by_the_message_that_began_it() {
        let mut conversation = Conversation::default();
        let started = |id: &str| {
            let message = json!({"id": "u", "role": "user", "content": "hi", "metadata": {"clientMessageId": id}});
            event(Some(1), None, &json!({"type": "RUN_STARTED", "input": {"messages": [message]}}))
        };
        conversation.sent.insert("mine".to_owned());
        assert_eq!(conversation.apply(&started("another's")), []);
        assert_eq!(conversation.thread, None);
        assert_eq!(conversation.apply(&started("mine")), []);
        assert_eq!((conversation.thread.as_deref(), conversation.going.len()), (Some("t"), 1));
    }
}
