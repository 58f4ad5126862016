//! Branches of a conversation: edited messages, further answers, forks, and the switch between them; over the socket and
//! over REST.

use std::sync::Arc;

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::{Answer, KEY, answer};
use super::ws_support::{Client, House, acks, ends_run, is, is_custom};
use super::ws_transcript::Transcript;

fn echo(turn: &Turn) -> Reply {
    match turn.last_user().as_str() {
        "hold" => Reply::Stream(vec![Piece::Text("so far".to_owned()), Piece::Hold(Arc::new(Semaphore::new(0)))]),
        "effect" if turn.round() == 0 => Reply::call("effects__look", &json!({"key": "a"})),
        "effect" if turn.round() == 1 => Reply::call("effects__effect", &json!({"key": "b"})),
        text => Reply::text(&format!("echo {text}")),
    }
}

/// Says something and waits for the end of the run; the ack.
async fn said(client: &mut Client, thread: Option<&str>, id: &str, text: &str) -> Value {
    client.say(thread, id, text).await;
    settled(client).await
}

/// The ack that comes next, when its run has ended.
async fn settled(client: &mut Client) -> Value {
    let (mut ack, mut ended) = (Value::Null, false);
    while ack.is_null() || !ended {
        let frame = client.next().await;
        assert_ne!(frame["type"], "error", "{frame}");
        ended |= ends_run(&frame);
        if frame["type"] == "ack" {
            ack = frame;
        }
    }
    ack
}

async fn messages(house: &House, path: &str) -> Vec<Value> {
    let page = house.server.get(path, KEY).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().unwrap().clone()
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"][0]["text"].as_str().unwrap_or("-")).collect()
}

async fn send(house: &House, method: &str, path: &str, body: &Value) -> Answer {
    answer(house.server.request(method, path).bearer_auth(KEY).json(body)).await
}

#[tokio::test]
async fn an_edited_message_stands_beside_the_old_one_and_both_branches_stay() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    let second = said(&mut client, Some(&thread), "c2", "two").await;
    for (id, edited) in [("c3", &second["messageId"]), ("c4", &first["messageId"])] {
        let frame = json!({
            "type": "run.submit", "clientMessageId": id, "threadId": thread, "editedId": edited, "content": format!("new {id}"),
        });
        client.send(frame.clone()).await;
        let ack = settled(&mut client).await;
        // The same once more is the same message.
        client.send(frame).await;
        let again = client.until(|frame| frame["type"] == "ack").await.pop().unwrap();
        assert_eq!(again, ack);
    }
    let path = format!("/api/threads/{thread}/messages");
    let all = messages(&house, &path).await;
    let shown = ["one", "echo one", "two", "echo two", "new c3", "echo new c3", "new c4", "echo new c4"];
    assert_eq!(texts(&all), shown);
    assert_eq!(all[4]["parentId"], all[2]["parentId"]);
    assert_eq!(all[4]["siblingIds"], json!([all[2]["id"], all[4]["id"]]));
    assert_eq!(all[6]["parentId"], Value::Null, "it stands beside the first message of the thread");
    assert_eq!(all[0]["siblingIds"], json!([all[0]["id"], all[6]["id"]]));
    assert_eq!(all[1]["siblingIds"], json!([all[1]["id"]]));
    assert_eq!(texts(&messages(&house, &format!("{path}?branch=head")).await), ["new c4", "echo new c4"]);
    let old = format!("{path}?branch={}&limit=3", all[3]["id"].as_str().unwrap());
    let page = house.server.get(&old, KEY).await.body;
    assert_eq!(texts(page["items"].as_array().unwrap()), ["echo one", "two", "echo two"]);
    let older = messages(&house, &format!("{old}&before={}", page["next"].as_str().unwrap())).await;
    assert_eq!(texts(&older), ["one"]);
    house.server.get(&format!("{path}?branch=x"), KEY).await.is_problem(400, "invalid_branch", "a branch");
    assert_eq!(house.server.get(&format!("{path}?branch={}", MessageId::new()), KEY).await.body["items"], json!([]));
}

#[tokio::test]
async fn only_messages_of_the_person_that_have_their_place_can_be_edited() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    let answer = messages(&house, &format!("/api/threads/{thread}/messages")).await[1]["id"].clone();
    client.say(Some(&thread), "c2", "hold").await;
    client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    client.say(Some(&thread), "c3", "waits").await;
    let waits = client.until(acks("c3")).await.pop().unwrap();
    for (edited, status, code) in [
        (answer, 404, "message_not_found"),
        (json!(MessageId::new()), 404, "message_not_found"),
        (waits["messageId"].clone(), 409, "message_queued"),
    ] {
        let body = json!({"clientMessageId": "x", "threadId": thread, "editedId": edited, "content": "new"});
        send(&house, "POST", "/api/messages", &body).await.is_problem(status, code, code);
    }
    let body = json!({"clientMessageId": "x", "editedId": MessageId::new(), "content": "new"});
    send(&house, "POST", "/api/messages", &body).await.is_problem(400, "invalid_body", "without a thread");
}

#[tokio::test]
async fn a_message_is_said_otherwise_without_an_answer_until_one_is_wanted() {
    let house = House::new(echo).await;
    let (mut client, mut other) = (house.owner().await, house.owner().await);
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    said(&mut client, Some(&thread), "c2", "two").await;
    other.until_all(&[&|frame| ends_run(frame), &|frame| frame["seq"] == 6]).await;
    let path = format!("/api/threads/{thread}/messages");
    let body = json!({"editedId": first["messageId"], "content": "otherwise"});
    let saved = send(&house, "POST", &path, &body).await;
    assert_eq!((saved.status, &saved.body["runId"]), (201, &Value::Null), "{saved:?}");
    let id = &saved.body["id"];
    assert_eq!(saved.body["siblingIds"], json!([first["messageId"], id]));
    assert_eq!(send(&house, "POST", &path, &body).await.body["id"], *id, "the same again changes nothing");
    assert_eq!(texts(&messages(&house, &format!("{path}?branch=head")).await), ["otherwise"]);
    assert_eq!(texts(&messages(&house, &path).await), ["one", "echo one", "two", "echo two", "otherwise"]);
    let told = other.until(|frame| is_custom(frame, "thread.changed")).await;
    assert_eq!(told.last().unwrap()["event"]["value"]["headId"], *id);
    let copied = told.iter().find(|frame| is_custom(frame, "messages.copied")).unwrap();
    let value = &copied["event"]["value"];
    assert_eq!(value["from"], json!({"threadId": thread, "messageId": first["messageId"]}));
    assert_eq!((&value["messages"][0]["id"], &value["messages"][0]["content"]), (id, &json!("otherwise")));
    assert_eq!(house.provider.turns().len(), 2, "no model was asked");

    let retry = json!({"type": "run.retry", "clientMessageId": "r", "threadId": thread, "messageId": id});
    client.send(retry).await;
    settled(&mut client).await;
    let head = messages(&house, &format!("{path}?branch=head")).await;
    assert_eq!(texts(&head), ["otherwise", "echo otherwise"]);

    let answer = head[1]["id"].clone();
    for (edited, content, status, code) in [
        (answer, "x", 404, "message_not_found"),
        (json!(MessageId::new()), "x", 404, "message_not_found"),
        (first["messageId"].clone(), " ", 400, "message_empty"),
    ] {
        let body = json!({"editedId": edited, "content": content});
        send(&house, "POST", &path, &body).await.is_problem(status, code, code);
    }
    client.say(Some(&thread), "c3", "hold").await;
    client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    send(&house, "POST", &path, &body).await.is_problem(409, "thread_busy", "the head stays where it is");
}

#[tokio::test]
async fn an_answer_is_tried_again_beside_the_old_one_without_a_new_message() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    let path = format!("/api/threads/{thread}/messages");
    let answer = messages(&house, &path).await[1]["id"].clone();
    let again = json!({"type": "run.retry", "clientMessageId": "r1", "threadId": thread, "messageId": answer});
    client.send(again.clone()).await;
    let ack = settled(&mut client).await;
    assert_eq!(ack["messageId"], first["messageId"], "it answers the same message");
    client.send(again).await;
    assert_eq!(client.until(|frame| frame["type"] == "ack").await.pop().unwrap(), ack);
    // Of the message itself, over REST, and with the model that would be asked anyway.
    let body = json!({"clientMessageId": "r2", "messageId": first["messageId"], "model": "openai/scripted"});
    let accepted = send(&house, "POST", &format!("/api/threads/{thread}/retry"), &body).await;
    assert_eq!((accepted.status, &accepted.body["messageId"]), (202, &first["messageId"]), "{accepted:?}");
    client.until(ends_run).await;
    let repeated = send(&house, "POST", &format!("/api/threads/{thread}/retry"), &body).await;
    assert_eq!(repeated.body, accepted.body);
    let all = messages(&house, &path).await;
    assert_eq!(texts(&all), ["one", "echo one", "echo one", "echo one"]);
    for answer in &all[1..] {
        assert_eq!((&answer["parentId"], answer["siblingIds"].as_array().unwrap().len()), (&all[0]["id"], 3));
    }
    // What is said next follows the newest answer.
    said(&mut client, Some(&thread), "c2", "two").await;
    let branch = messages(&house, &format!("{path}?branch=head")).await;
    assert_eq!(texts(&branch), ["one", "echo one", "two", "echo two"]);
    assert_eq!(branch[1]["id"], all[3]["id"]);
    let unknown = json!({"clientMessageId": "r3", "messageId": MessageId::new()});
    let refused = send(&house, "POST", &format!("/api/threads/{thread}/retry"), &unknown).await;
    refused.is_problem(404, "message_not_found", "an unknown message");
}

#[tokio::test]
async fn a_further_answer_waits_for_the_run_that_is_going() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    client.say(Some(&thread), "c2", "hold").await;
    let held = client.until_all(&[&|frame| is(frame, "TEXT_MESSAGE_CONTENT"), &acks("c2")]).await;
    let held = held.iter().find(|frame| frame["type"] == "ack").unwrap()["runId"].clone();
    client
        .send(
            json!({"type": "run.retry", "clientMessageId": "r1", "threadId": thread, "messageId": first["messageId"]}),
        )
        .await;
    let frames = client.until_all(&[&|frame| is(frame, "RUN_STARTED"), &acks("r1")]).await;
    let started = frames.iter().find(|frame| is(frame, "RUN_STARTED")).unwrap();
    assert_eq!(started["event"]["input"]["forwardedProps"], json!({"answers": first["messageId"]}));
    assert_eq!(started["event"]["input"]["messages"], json!([]));
    client.send(json!({"type": "run.cancel", "runId": held})).await;
    client.until(ends_run).await;
    let rest = client.until(ends_run).await;
    assert!(rest.iter().any(|frame| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "running"));
    let branch = messages(&house, &format!("/api/threads/{thread}/messages?branch=head")).await;
    assert_eq!(texts(&branch), ["one", "echo one"]);
}

#[tokio::test]
async fn a_fork_is_a_thread_of_its_own_that_can_be_resumed_from_its_first_event() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    client.say(Some(&thread), "c2", "effect").await;
    let asked = client.until(|frame| is_custom(frame, "approval.requested")).await.pop().unwrap();
    client.decide(&asked["event"]["value"]["approvalId"], "once").await;
    client.until(ends_run).await;
    said(&mut client, Some(&thread), "c3", "three").await;
    let before = messages(&house, &format!("/api/threads/{thread}/messages")).await;
    let tip = &before[7];
    assert_eq!(texts(&before)[7], "echo effect");

    let forked = send(&house, "POST", &format!("/api/threads/{thread}/fork"), &json!({"messageId": tip["id"]})).await;
    assert_eq!(forked.status, 201, "{forked:?}");
    let fork = forked.body["id"].as_str().unwrap().to_owned();
    assert_eq!(forked.body["forkedFrom"], json!({"threadId": thread, "messageId": tip["id"]}));
    let copies = messages(&house, &format!("/api/threads/{fork}/messages")).await;
    assert_eq!(texts(&copies), texts(&before[..8]));
    assert_eq!(forked.body["headId"], copies[7]["id"]);
    for (index, (copy, old)) in copies.iter().zip(&before).enumerate() {
        assert_ne!(copy["id"], old["id"]);
        assert_eq!(
            (&copy["role"], &copy["createdAt"], &copy["runId"]),
            (&old["role"], &old["createdAt"], &Value::Null)
        );
        assert_eq!(copy["parentId"], if index == 0 { Value::Null } else { copies[index - 1]["id"].clone() });
    }
    assert_eq!(copies[3]["content"][0]["id"], copies[4]["content"][0]["callId"]);
    assert_ne!(copies[3]["content"][0]["id"], before[3]["content"][0]["id"], "the ledger knows no call of the copy");

    // Whoever listens was told, and whoever comes later is told the same.
    let mut live = Transcript::default();
    live.apply_all(&client.until(|frame| is_custom(frame, "thread.changed")).await);
    let mut late = house.owner().await;
    late.resume(&fork, 0).await;
    let mut read = Transcript::default();
    read.apply_all(&late.until(|frame| is_custom(frame, "thread.changed")).await);
    assert_eq!(live.normal(), read.normal());
    assert_eq!(read.last, forked.body["lastSeq"].as_i64().unwrap());

    // It goes on by itself; the old thread stays as it was.
    said(&mut client, Some(&fork), "c4", "four").await;
    assert_eq!(texts(&messages(&house, &format!("/api/threads/{fork}/messages?branch=head")).await).len(), 10);
    assert_eq!(messages(&house, &format!("/api/threads/{thread}/messages")).await, before);
    let unknown = json!({"messageId": MessageId::new()});
    let refused = send(&house, "POST", &format!("/api/threads/{thread}/fork"), &unknown).await;
    refused.is_problem(404, "message_not_found", "an unknown message");
}

#[tokio::test]
async fn the_branch_is_switched_for_all_sockets_but_not_under_a_run() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let mut other = house.owner().await;
    let first = said(&mut client, None, "c1", "one").await;
    let thread = first["threadId"].as_str().unwrap().to_owned();
    let path = format!("/api/threads/{thread}");
    let old = messages(&house, &format!("{path}/messages")).await[1]["id"].clone();
    client.send(json!({"type": "run.retry", "clientMessageId": "r1", "threadId": thread, "messageId": old})).await;
    settled(&mut client).await;
    let switched = send(&house, "PATCH", &path, &json!({"headId": old})).await;
    assert_eq!((switched.status, &switched.body["headId"]), (200, &old), "{switched:?}");
    let told = other.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
    assert_eq!((&told["event"]["value"]["headId"], told.get("runId")), (&old, None));
    assert_eq!(told["seq"], switched.body["lastSeq"]);
    said(&mut client, Some(&thread), "c2", "two").await;
    let branch = messages(&house, &format!("{path}/messages?branch=head")).await;
    assert_eq!(branch[1]["id"], old);

    client.say(Some(&thread), "c3", "hold").await;
    client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    send(&house, "PATCH", &path, &json!({"headId": old})).await.is_problem(409, "thread_busy", "a run is going");
    let renamed = send(&house, "PATCH", &path, &json!({"title": "Busy"})).await;
    assert_eq!((renamed.status, &renamed.body["title"]), (200, &json!("Busy")), "a title is no matter of the run");
    let unknown = send(&house, "PATCH", &path, &json!({"headId": MessageId::new()})).await;
    unknown.is_problem(404, "message_not_found", "an unknown head");
    // A head in another thread of the same person is no head here.
    let elsewhere = said(&mut other, None, "c4", "elsewhere").await;
    let foreign = send(&house, "PATCH", &path, &json!({"headId": elsewhere["messageId"]})).await;
    foreign.is_problem(404, "message_not_found", "a message of another thread");
}

#[tokio::test]
async fn a_message_over_rest_is_answered_and_repeated_ones_are_the_same() {
    let house = House::new(echo).await;
    let mut client = house.owner().await;
    let body = json!({"clientMessageId": "m1", "content": "over rest"});
    let accepted = send(&house, "POST", "/api/messages", &body).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    client.until(ends_run).await;
    assert_eq!(send(&house, "POST", "/api/messages", &body).await.body, accepted.body);
    let path = format!("/api/threads/{}/messages", accepted.body["threadId"].as_str().unwrap());
    assert_eq!(texts(&messages(&house, &path).await), ["over rest", "echo over rest"]);
    for (body, status, code) in [
        (json!({"clientMessageId": "m2"}), 400, "invalid_body"),
        (json!({"clientMessageId": "", "content": "x"}), 400, "invalid_client_message_id"),
        (json!({"clientMessageId": "m2", "content": " "}), 400, "message_empty"),
        (json!({"clientMessageId": "m2", "content": [{"type": "video"}]}), 400, "unsupported_part"),
        (json!({"clientMessageId": "m2", "content": "x", "threadId": ThreadId::new()}), 404, "thread_not_found"),
    ] {
        send(&house, "POST", "/api/messages", &body).await.is_problem(status, code, &body.to_string());
    }
    let stranger = house.server.key("owner", "work", Role::Personal).await;
    let foreign = json!({"clientMessageId": "m2", "content": "x", "threadId": accepted.body["threadId"]});
    let request = house.server.request("POST", "/api/messages").bearer_auth(&stranger.secret).json(&foreign);
    answer(request).await.is_problem(404, "thread_not_found", "the thread of another profile");
}
