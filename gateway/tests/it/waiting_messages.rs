//! Messages that wait for their turn, and those that were cancelled before it: no part of the tree, until their run begins.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::{Answer, KEY, answer};
use super::ws_support::{Client, House, acks, ends_run, is, is_custom};

/// Answers at once, but to "hold" only when the gate opens.
fn held(gate: &Arc<Semaphore>) -> impl Fn(&Turn) -> Reply + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move |turn| match turn.last_user().as_str() {
        "hold" => Reply::Stream(vec![Piece::Text("held".to_owned()), Piece::Hold(Arc::clone(&gate))]),
        text => Reply::text(&format!("echo {text}")),
    }
}

/// A thread whose first message is being answered.
pub(crate) struct Held {
    pub(crate) house: House,
    pub(crate) client: Client,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) thread: String,
    pub(crate) first: Value,
}

impl Held {
    pub(crate) async fn new() -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let house = House::new(held(&gate)).await;
        let mut client = house.owner().await;
        client.say(None, "hold", "hold").await;
        let frames = client.until_all(&[&|frame| is(frame, "TEXT_MESSAGE_CONTENT"), &acks("hold")]).await;
        let first = frames.into_iter().find(acks("hold")).unwrap();
        let thread = first["threadId"].as_str().unwrap().to_owned();
        Self { house, client, gate, thread, first }
    }

    /// A message that waits; its ack.
    pub(crate) async fn waits(&mut self, id: &str, more: &[(&str, &Value)]) -> Value {
        let mut frame = json!({"type": "run.submit", "clientMessageId": id, "threadId": self.thread, "content": format!("say {id}")});
        for (field, value) in more {
            frame[field] = (*value).clone();
        }
        self.client.send(frame).await;
        let is_queued = |frame: &Value| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "queued";
        let frames = self.client.until_all(&[&is_queued, &acks(id)]).await;
        frames.into_iter().find(acks(id)).unwrap()
    }

    pub(crate) async fn cancel(&mut self, ack: &Value) {
        self.client.send(json!({"type": "run.cancel", "runId": ack["runId"]})).await;
        self.client.until(|frame| ends_run(frame) && frame["runId"] == ack["runId"]).await;
    }

    pub(crate) async fn messages(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/threads/{}/messages{query}", self.thread);
        let page = self.house.server.get(&path, KEY).await;
        assert_eq!(page.status, 200, "{page:?}");
        page.body["items"].as_array().unwrap().clone()
    }

    /// The siblings that all branches tell, by what was said.
    async fn siblings(&self) -> Vec<(String, Vec<String>)> {
        let all = self.messages("").await;
        let text = |message: &Value| message["content"][0]["text"].as_str().unwrap().to_owned();
        let named = |id: &Value| all.iter().find(|message| message["id"] == *id).map_or("?".to_owned(), text);
        let of = |message: &Value| message["siblingIds"].as_array().unwrap().iter().map(named).collect();
        all.iter().map(|message| (text(message), of(message))).collect()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        answer(self.house.server.request(method, path).bearer_auth(KEY).json(body)).await
    }
}

/// What stands beside what, as a test writes it.
fn beside(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |text: &&str| (*text).to_owned();
    expected.iter().map(|(text, ids)| (owned(text), ids.iter().map(owned).collect())).collect()
}

pub(crate) fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"][0]["text"].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn what_waits_or_was_cancelled_before_its_turn_is_nobodys_sibling_and_in_no_active_branch() {
    let mut held = Held::new().await;
    let first = held.first["messageId"].clone();
    let gone = held.waits("gone", &[]).await;
    let stays = held.waits("stays", &[]).await;
    let edit = held.waits("edit", &[("editedId", &first)]).await;
    let undone = held.waits("undone", &[("editedId", &first)]).await;
    let alone = beside(&[
        ("hold", &["hold"]),
        ("say gone", &["say gone"]),
        ("say stays", &["say stays"]),
        ("say edit", &["say edit"]),
        ("say undone", &["say undone"]),
    ]);
    assert_eq!(held.siblings().await, alone, "while they wait");
    held.cancel(&gone).await;
    held.cancel(&undone).await;
    assert_eq!(held.siblings().await, alone, "cancelled before their turn");
    let head = held.house.server.get(&format!("/api/threads/{}", held.thread), KEY).await.body["headId"].clone();
    assert_eq!(head, first);
    let of_it = held.messages(&format!("?branch={}", gone["messageId"].as_str().unwrap())).await;
    assert_eq!((texts(&of_it), &of_it[0]["siblingIds"]), (vec!["say gone"], &json!([gone["messageId"]])));

    held.gate.add_permits(1);
    for ack in [&stays, &edit] {
        held.client.until(|frame| ends_run(frame) && frame["runId"] == ack["runId"]).await;
    }
    let both: &[&str] = &["hold", "say edit"];
    assert_eq!(
        held.siblings().await,
        beside(&[
            ("hold", both),
            ("say gone", &["say gone"]),
            ("say stays", &["say stays"]),
            ("say edit", both),
            ("say undone", &["say undone"]),
            ("held", &["held"]),
            ("echo say stays", &["echo say stays"]),
            ("echo say edit", &["echo say edit"]),
        ]),
        "each has its place once its run has begun"
    );
    let branch = format!("?branch={}", stays["messageId"].as_str().unwrap());
    assert_eq!(texts(&held.messages(&branch).await), ["hold", "held", "say stays"]);
    assert_eq!(texts(&held.messages("?branch=head").await), ["say edit", "echo say edit"]);
    let asked = held.house.provider.turns();
    let sent: Vec<String> = asked.iter().map(|turn| turn.body.to_string()).collect();
    assert!(sent.iter().all(|sent| !sent.contains("say gone") && !sent.contains("say undone")), "{sent:?}");
}

#[tokio::test]
async fn nothing_goes_on_from_a_message_that_has_no_place() {
    let mut held = Held::new().await;
    let first = held.first["messageId"].clone();
    let waits = held.waits("waits", &[]).await;
    let edit = held.waits("edit", &[("editedId", &first)]).await;
    let thread = format!("/api/threads/{}", held.thread);
    let tries = |message: &Value| {
        let new = json!({"clientMessageId": "x", "threadId": held.thread, "content": "new"});
        let with = |field: &str| {
            let mut body = new.clone();
            body[field] = message.clone();
            body
        };
        [
            ("POST", "/api/messages".to_owned(), with("parentId")),
            ("POST", "/api/messages".to_owned(), with("editedId")),
            ("POST", format!("{thread}/retry"), json!({"clientMessageId": "x", "messageId": message})),
            ("PATCH", thread.clone(), json!({"headId": message})),
            ("POST", format!("{thread}/fork"), json!({"messageId": message})),
        ]
    };
    let queued = (409, "message_queued");
    let missing = (404, "message_not_found");
    for message in [&waits["messageId"], &edit["messageId"]] {
        let expected = [queued, queued, queued, (409, "thread_busy"), missing];
        for ((method, path, body), (status, code)) in tries(message).into_iter().zip(expected) {
            held.send(method, &path, &body).await.is_problem(status, code, &format!("{method} {path} {body}"));
        }
    }
    let asked = [tries(&waits["messageId"]), tries(&edit["messageId"])];
    held.cancel(&waits).await;
    held.cancel(&edit).await;
    held.cancel(&held.first.clone()).await;
    let expected = [(404, "parent_not_found"), missing, missing, missing, missing];
    for ((method, path, body), (status, code)) in asked.into_iter().flat_map(|tries| tries.into_iter().zip(expected)) {
        held.send(method, &path, &body).await.is_problem(status, code, &format!("cancelled: {method} {path} {body}"));
    }
    // The conversation goes on where it was.
    held.client.say(Some(&held.thread.clone()), "on", "on").await;
    held.client.until(ends_run).await;
    assert_eq!(texts(&held.messages("?branch=head").await), ["hold", "held", "on", "echo on"]);
}
