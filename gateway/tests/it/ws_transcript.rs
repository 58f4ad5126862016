//! What a client knows after some frames, by the rules of `docs/protocol.md` and nothing else.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// One thread.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) last: i64,
    /// Messages, runs and approvals in the order in which they appeared.
    order: Vec<String>,
    entries: HashMap<String, Value>,
}

impl Transcript {
    pub(crate) fn apply(&mut self, frame: &Value) {
        if frame["type"] != "event" {
            return;
        }
        if let Some(seq) = frame["seq"].as_i64() {
            if seq != self.last + 1 {
                return;
            }
            self.last = seq;
        }
        let event = &frame["event"];
        let run = text(&frame["runId"]);
        match event["type"].as_str().unwrap() {
            "RUN_STARTED" => self.run_started(event, run),
            "RUN_FINISHED" | "RUN_ERROR" => {
                let ended = without(event, &["type", "threadId", "runId"]);
                self.entry(run)["ended"] = ended;
                self.drop_unfinished(run);
            }
            "TEXT_MESSAGE_START" => {
                let message = self.message(text(&event["messageId"]), run);
                message["role"] = event["role"].clone();
                message["text"] = json!("");
                message["done"] = json!(false);
            }
            "TEXT_MESSAGE_CONTENT" => {
                let message = self.entry(text(&event["messageId"]));
                let offset = usize::try_from(frame["offset"].as_u64().expect("an offset")).unwrap();
                let mut units: Vec<u16> = text(&message["text"]).encode_utf16().collect();
                assert!(offset <= units.len(), "a hole before {frame}");
                units.truncate(offset);
                units.extend(text(&event["delta"]).encode_utf16());
                message["text"] = json!(String::from_utf16(&units).unwrap());
            }
            "TEXT_MESSAGE_END" => {
                let message = self.entry(text(&event["messageId"]));
                message["done"] = json!(true);
                message["end"] = event["metadata"].clone();
            }
            "TOOL_CALL_START" => {
                let message = self.message(text(&event["parentMessageId"]), run);
                let call = json!({"name": event["toolCallName"], "arguments": ""});
                message["calls"][text(&event["toolCallId"])] = call;
                message["done"] = json!(true);
            }
            "TOOL_CALL_ARGS" => {
                let call = self.call(text(&event["toolCallId"]));
                call["arguments"] = json!(format!("{}{}", text(&call["arguments"]), text(&event["delta"])));
            }
            "TOOL_CALL_END" => {}
            "TOOL_CALL_RESULT" => {
                let message = self.message(text(&event["messageId"]), run);
                message["result"] = without(event, &["type", "messageId"]);
                // No two runs take equally long.
                let took = &mut message["result"]["metadata"]["tookMs"];
                *took = json!(took.is_u64());
            }
            "CUSTOM" => self.custom(event, run),
            other => panic!("an event of type {other}"),
        }
        if let Some(seq) = frame["seq"].as_i64() {
            self.place(run, seq);
        }
    }

    /// What this number completed has its place now.
    fn place(&mut self, run: &str, seq: i64) {
        let of_run = self.entries.iter_mut().filter(|(id, entry)| *id == run || entry["run"] == run);
        for (_, entry) in of_run.filter(|(_, entry)| entry["place"].is_null()) {
            entry["place"] = json!(seq);
        }
    }

    /// Whether a run of the thread ended.
    pub(crate) fn ended(&self) -> bool {
        self.entries.values().any(|entry| !entry["ended"].is_null())
    }

    pub(crate) fn apply_all(&mut self, frames: &[Value]) {
        for frame in frames {
            self.apply(frame);
        }
    }

    fn run_started(&mut self, event: &Value, run: &str) {
        let messages = event["input"]["messages"].as_array().unwrap();
        if let Some(answered) = event["input"]["forwardedProps"]["answers"].as_str() {
            self.entry(run)["answers"] = json!(answered);
        }
        for message in messages {
            let id = text(&message["id"]);
            let first = self.entries.get(run).is_none_or(|run| run["first"].is_null());
            if first {
                self.entry(run)["first"] = json!(id);
            }
            self.message(id, run)["said"] = without(message, &["id"]);
        }
    }

    fn custom(&mut self, event: &Value, run: &str) {
        let value = &event["value"];
        match event["name"].as_str().unwrap() {
            "run.state" => {
                self.entry(run)["state"] = without(value, &["parentId"]);
                if let Some(parent) = value["parentId"].as_str() {
                    let first = text(&self.entries[run]["first"]).to_owned();
                    self.entry(&first)["said"]["metadata"]["parentId"] = json!(parent);
                }
            }
            "thread.changed" => {
                self.entry("thread")["is"] = value.clone();
                self.entry("thread")["place"] = json!(0);
            }
            "messages.copied" => {
                for message in value["messages"].as_array().unwrap() {
                    self.message(text(&message["id"]), run)["said"] = without(message, &["id"]);
                }
            }
            "approval.requested" => {
                let approval = self.message(text(&value["approvalId"]), run);
                approval["asked"] = without(value, &["approvalId"]);
            }
            "approval.decided" => {
                self.entry(text(&value["approvalId"]))["decided"] = value["decision"].clone();
            }
            "question.asked" => {
                let question = self.message(text(&value["questionId"]), run);
                question["asked"] = without(value, &["questionId"]);
            }
            "question.answered" => {
                self.entry(text(&value["questionId"]))["decided"] = value["action"].clone();
            }
            "tool.progress" => {}
            other => panic!("an event named {other}"),
        }
    }

    /// A run that ended leaves no message open.
    fn drop_unfinished(&mut self, run: &str) {
        let open: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry["run"] == run && entry["done"] == false)
            .map(|(id, _)| id.clone())
            .collect();
        self.entries.retain(|id, _| !open.contains(id));
        self.order.retain(|id| !open.contains(id));
    }

    fn entry(&mut self, id: &str) -> &mut Value {
        if !self.entries.contains_key(id) {
            self.order.push(id.to_owned());
        }
        self.entries.entry(id.to_owned()).or_insert_with(|| json!({}))
    }

    /// Something of a run.
    fn message(&mut self, id: &str, run: &str) -> &mut Value {
        let entry = self.entry(id);
        entry["run"] = json!(run);
        entry
    }

    fn call(&mut self, id: &str) -> &mut Value {
        let entry = self.entries.values_mut().find(|entry| entry["calls"].get(id).is_some()).expect("the call began");
        &mut entry["calls"][id]
    }

    /// With small numbers for ids, so that two runs of the same script can be compared.
    pub(crate) fn normal(&self) -> Value {
        let mut names = HashMap::new();
        let mut order = self.order.clone();
        order.sort_by_key(|id| self.entries[id]["place"].as_i64().unwrap_or(i64::MAX));
        let mut entries: Vec<(&String, Value)> = order.iter().map(|id| (id, self.entries[id].clone())).collect();
        // Which of the calls that run at once is settled first is chance: their results stand in the order of the calls,
        // whose ids grow.
        for results in entries.chunk_by_mut(|(_, one), (_, next)| !one["result"].is_null() && !next["result"].is_null())
        {
            let places: Vec<Value> = results.iter().map(|(_, entry)| entry["place"].clone()).collect();
            results.sort_by_key(|(_, entry)| text(&entry["result"]["toolCallId"]).to_owned());
            for ((_, entry), place) in results.iter_mut().zip(places) {
                entry["place"] = place;
            }
        }
        renamed(&json!({"last": self.last, "entries": entries}), &mut names)
    }
}

/// Every id becomes a number by the order of its first appearance.
pub(crate) fn renamed(value: &Value, names: &mut HashMap<String, usize>) -> Value {
    let mut name = |text: &str| {
        let is_id = text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
        let next = names.len();
        if is_id { format!("#{}", names.entry(text.to_owned()).or_insert(next)) } else { text.to_owned() }
    };
    match value {
        Value::String(text) => Value::String(name(text)),
        Value::Array(items) => Value::Array(items.iter().map(|item| renamed(item, names)).collect()),
        Value::Object(fields) => {
            let mut other = Map::new();
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            for (key, field) in fields {
                let key = renamed(&Value::String(key.clone()), names);
                other.insert(text(&key).to_owned(), renamed(field, names));
            }
            Value::Object(other)
        }
        other => other.clone(),
    }
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !fields.contains(&name.as_str()));
    }
    value
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
