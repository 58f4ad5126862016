//! Temporary threads: told of to nobody, in no list and no search, gone after a day, or kept.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::{Answer, KEY, answer};
use super::ws_support::{Client, House, acks, ends_run, is, is_custom};

fn script(turn: &Turn) -> Reply {
    Reply::text(&format!("echo {}", turn.last_user()))
}

async fn send(house: &House, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = house.server.request(method, path).bearer_auth(KEY);
    answer(if let Some(body) = body { request.json(body) } else { request }).await
}

/// Says it in a temporary thread of its own, and waits for the answer.
async fn whisper(client: &mut Client, id: &str, text: &str) -> String {
    client.send(json!({"type": "run.submit", "clientMessageId": id, "content": text, "temporary": true})).await;
    let ack = client.until(acks(id)).await.pop().unwrap();
    let thread = ack["threadId"].as_str().unwrap().to_owned();
    client.resume(&thread, 0).await;
    client.until(ends_run).await;
    thread
}

async fn items(house: &House, path: &str) -> Vec<Value> {
    let page = house.server.get(path, KEY).await;
    assert_eq!(page.status, 200, "{path}: {page:?}");
    page.body["items"].as_array().unwrap().clone()
}

/// Where nothing of it may be seen.
const LISTS: [&str; 6] = [
    "/api/threads",
    "/api/threads?archived=all",
    "/api/threads?deleted=true",
    "/api/threads?q=secretive",
    "/api/search?q=secretive",
    "/api/runs",
];

#[tokio::test]
async fn a_temporary_thread_is_in_no_list_and_its_person_reads_it_by_its_address() {
    let house = House::new(script).await;
    let (mut client, mut other) = (house.owner().await, house.owner().await);
    let thread = whisper(&mut client, "a", "secretive plans").await;
    assert_eq!(other.arrived().await, Vec::<Value>::new(), "other sockets hear nothing");
    for path in LISTS {
        assert_eq!(items(&house, path).await, Vec::<Value>::new(), "{path}");
    }
    let path = format!("/api/threads/{thread}");
    let shown = house.server.get(&path, KEY).await;
    assert_eq!((shown.status, &shown.body["temporary"]), (200, &json!(true)), "{shown:?}");
    assert_eq!(items(&house, &format!("{path}/messages")).await.len(), 2);
    for (user, profile) in [("owner", "work"), ("ben", "personal")] {
        let key = house.server.key(user, profile, Role::Personal).await;
        house.server.get(&path, &key.secret).await.is_problem(404, "not_found", "it is somebody else's");
    }
    let over_rest = json!({"clientMessageId": "b", "content": "secretive too", "temporary": true});
    let accepted = send(&house, "POST", "/api/messages", Some(&over_rest)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    for path in LISTS {
        assert_eq!(items(&house, path).await, Vec::<Value>::new(), "{path}");
    }
}

#[tokio::test]
async fn a_temporary_thread_that_is_kept_is_one_like_others() {
    let house = House::new(script).await;
    let (mut client, mut other) = (house.owner().await, house.owner().await);
    let thread = whisper(&mut client, "a", "secretive plans").await;
    let path = format!("/api/threads/{thread}");
    let kept = send(&house, "PATCH", &path, Some(&json!({"temporary": false}))).await;
    assert_eq!((kept.status, &kept.body["temporary"]), (200, &json!(false)), "{kept:?}");
    let told = other.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
    assert_eq!(told["threadId"], json!(thread));
    assert_eq!(items(&house, "/api/threads").await.len(), 1);
    assert_eq!(items(&house, "/api/search?q=secretive").await.len(), 2);
    assert_eq!(items(&house, "/api/runs").await.len(), 1);
    let again = send(&house, "PATCH", &path, Some(&json!({"temporary": true}))).await;
    again.is_problem(400, "not_temporary", "it is one like others for good");
}

#[tokio::test]
async fn a_temporary_thread_is_removed_for_good_a_day_after_what_happened_last() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let (gone, kept) = (whisper(&mut client, "a", "one").await, whisper(&mut client, "b", "two").await);
    client.say(None, "c", "three").await;
    client.until(ends_run).await;
    send(&house, "PATCH", &format!("/api/threads/{kept}"), Some(&json!({"temporary": false}))).await;
    let engine = house.server.app.engine().clone();
    let admin = house.server.db.admin();
    let earlier = async |hours: i32| {
        let query = "update threads set updated_at = updated_at - make_interval(hours => $1)";
        sqlx::query(query).bind(hours).execute(&admin).await.unwrap();
    };
    let hours = i32::try_from(limits::THREAD_TEMPORARY.as_secs() / 3_600).unwrap();
    earlier(hours - 1).await;
    assert_eq!(engine.purge().await.unwrap().threads, 0, "it is still its day");
    earlier(2).await;
    // Two replicas look at the same time.
    let (one, two) = tokio::join!(engine.purge(), engine.purge());
    assert_eq!(one.unwrap().threads + two.unwrap().threads, 1);
    for (table, column) in
        [("threads", "id"), ("messages", "thread_id"), ("runs", "thread_id"), ("events", "thread_id")]
    {
        let query = format!("select count(*) from {table} where {column} = '{gone}'");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&admin).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(items(&house, "/api/threads").await.len(), 2, "the kept one and the ordinary one are there");
}

#[tokio::test]
async fn a_run_of_a_thread_that_is_kept_meanwhile_ends_for_everybody() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let text = |text: &str| Piece::Text(text.to_owned());
    let house =
        House::new(move |_| Reply::Stream(vec![text("so far "), Piece::Hold(Arc::clone(&held)), text("and on")])).await;
    let (mut client, mut other) = (house.owner().await, house.owner().await);
    client.send(json!({"type": "run.submit", "clientMessageId": "a", "content": "hi", "temporary": true})).await;
    let ack = client.until(acks("a")).await.pop().unwrap();
    let thread = ack["threadId"].as_str().unwrap().to_owned();
    client.resume(&thread, 0).await;
    client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    assert_eq!(other.arrived().await, Vec::<Value>::new());
    send(&house, "PATCH", &format!("/api/threads/{thread}"), Some(&json!({"temporary": false}))).await;
    other.until(|frame| is_custom(frame, "thread.changed")).await;
    hold.add_permits(1);
    let heard = other.until(ends_run).await;
    assert_eq!(heard.last().unwrap()["threadId"], json!(thread), "{heard:?}");
}
