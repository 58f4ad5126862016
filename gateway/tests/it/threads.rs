//! Threads: what people change of them, what other sockets hear of it, deletion with undo and removal for good.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::{Answer, KEY, answer};
use super::ws_support::{Client, House, acks, ends_run, is, is_custom};
use super::ws_transcript::Transcript;

fn script(turn: &Turn) -> Reply {
    match turn.last_user().as_str() {
        "hold" => Reply::Stream(vec![Piece::Text("so far".to_owned()), Piece::Hold(Arc::new(Semaphore::new(0)))]),
        "effect" if turn.round() == 0 => Reply::call("effects__look", &json!({"key": "a"})),
        "effect" if turn.round() == 1 => Reply::call("effects__effect", &json!({"key": "b"})),
        text => Reply::text(&format!("echo {text}")),
    }
}

async fn send(house: &House, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = house.server.request(method, path).bearer_auth(KEY);
    answer(if let Some(body) = body { request.json(body) } else { request }).await
}

/// A thread with one answered message.
async fn thread(client: &mut Client, id: &str, text: &str) -> String {
    client.say(None, id, text).await;
    let frames = client.until(ends_run).await;
    frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap().to_owned()
}

async fn listed(house: &House, query: &str) -> Vec<String> {
    let page = house.server.get(&format!("/api/threads{query}"), KEY).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_thread_is_renamed_pinned_and_archived_and_every_socket_hears_it() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let (first, second) = (thread(&mut client, "a", "one").await, thread(&mut client, "b", "two").await);
    let mut other = house.owner().await;
    let path = format!("/api/threads/{first}");
    for (patch, title) in [
        (json!({"title": "  Trip\n to\u{0} Oslo "}), json!("Trip to\u{fffd} Oslo")),
        (json!({"pinned": true}), json!("Trip to\u{fffd} Oslo")),
        (json!({"archived": true, "pinned": false}), json!("Trip to\u{fffd} Oslo")),
        (json!({"title": null}), Value::Null),
    ] {
        let changed = send(&house, "PATCH", &path, Some(&patch)).await;
        assert_eq!((changed.status, &changed.body["title"]), (200, &title), "{changed:?}");
        let told = other.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
        let value = &told["event"]["value"];
        for field in ["title", "pinned", "archived", "headId"] {
            assert_eq!(value[field], changed.body[field], "{field}");
        }
        assert_eq!(house.server.get(&path, KEY).await.body, changed.body);
    }
    assert_eq!(listed(&house, "").await, [second.as_str()], "an archived thread is not among the others");
    assert_eq!(listed(&house, "?archived=true").await, [first.as_str()]);
    assert_eq!(listed(&house, "?archived=all").await, [second.clone(), first.clone()], "a new title moves nothing");
    assert_eq!(listed(&house, "?pinned=true").await, Vec::<String>::new());
    send(&house, "PATCH", &format!("/api/threads/{second}"), Some(&json!({"pinned": true}))).await;
    assert_eq!(listed(&house, "?pinned=true").await, [second]);
    // Nothing changes: no event.
    let unchanged = send(&house, "PATCH", &path, Some(&json!({"later": 1}))).await;
    assert_eq!(unchanged.body, house.server.get(&path, KEY).await.body);
    for (patch, code) in [
        (json!({"title": "x".repeat(limits::TITLE_CHARS + 1)}), "title_too_long"),
        (json!({"title": 7}), "invalid_body"),
        (json!({"pinned": "yes"}), "invalid_body"),
        (json!({"headId": "x"}), "invalid_body"),
    ] {
        send(&house, "PATCH", &path, Some(&patch)).await.is_problem(400, code, &patch.to_string());
    }
    for query in ["?archived=x", "?pinned=1", "?deleted=yes"] {
        house.server.get(&format!("/api/threads{query}"), KEY).await.is_problem(400, "invalid_filter", query);
    }
}

#[tokio::test]
async fn a_deleted_thread_is_gone_for_everyone_until_it_is_restored() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let id = thread(&mut client, "a", "one").await;
    let path = format!("/api/threads/{id}");
    assert_eq!(send(&house, "DELETE", &path, None).await.status, 204);
    let told = client.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
    assert!(told["event"]["value"]["deletedAt"].is_string());
    assert_eq!(listed(&house, "").await, Vec::<String>::new());
    assert_eq!(listed(&house, "?deleted=true").await, [id.as_str()]);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("GET", format!("{path}/messages"), None),
        ("DELETE", path.clone(), None),
        ("PATCH", path.clone(), Some(json!({"title": "x"}))),
        ("POST", format!("{path}/fork"), Some(json!({"messageId": id}))),
    ] {
        send(&house, method, &path, body.as_ref()).await.is_problem(404, "not_found", method);
    }
    client.say(Some(&id), "b", "still there?").await;
    assert_eq!(client.error().await["code"], "thread_not_found");
    client.resume(&id, 0).await;
    assert_eq!(client.error().await["code"], "not_found");
    let restored = send(&house, "POST", &format!("{path}/restore"), None).await;
    assert_eq!((restored.status, &restored.body["id"]), (200, &json!(id)));
    let again = send(&house, "POST", &format!("{path}/restore"), None).await;
    assert_eq!(again.body, restored.body, "once is enough");
    assert_eq!(listed(&house, "").await, [id.as_str()]);
    // The whole history can be read again, without a gap.
    let mut late = house.owner().await;
    late.resume(&id, 0).await;
    let mut read = Transcript::default();
    read.apply_all(&late.arrived().await);
    assert_eq!(read.last, restored.body["lastSeq"].as_i64().unwrap());
}

#[tokio::test]
async fn deleting_a_thread_ends_what_goes_on_in_it() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let mut runs = Vec::new();
    for said in ["hold", "effect"] {
        client.say(None, said, said).await;
        let begun = |frame: &Value| is(frame, "TEXT_MESSAGE_CONTENT") || is_custom(frame, "approval.requested");
        let frames = client.until(begun).await;
        let frame = frames.last().unwrap();
        let id = frame["threadId"].as_str().unwrap().to_owned();
        let behind = format!("{said} behind");
        client.say(Some(&id), &behind, "waits for its turn").await;
        client.until(acks(&behind)).await;
        runs.push((id, frame["runId"].as_str().unwrap().to_owned()));
    }
    for (id, run) in runs {
        assert_eq!(send(&house, "DELETE", &format!("/api/threads/{id}"), None).await.status, 204);
        let ended = |frame: &Value| ends_run(frame) && frame["runId"] == json!(run);
        client.until(ended).await;
        let shown = house.server.get(&format!("/api/runs/{run}"), KEY).await.body;
        assert_eq!(shown["state"], "cancelled", "{shown}");
    }
    assert_eq!(house.tools.effects().values().sum::<u32>(), 0, "nothing was done");
    assert_eq!(house.server.app.engine().active_runs(), 0);
}

#[tokio::test]
async fn what_was_deleted_long_ago_is_removed_for_good() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let (kept, gone) = (thread(&mut client, "a", "one").await, thread(&mut client, "b", "two").await);
    send(&house, "DELETE", &format!("/api/threads/{gone}"), None).await;
    let engine = house.server.app.engine().clone();
    let admin = house.server.db.admin();
    let earlier = async |days: i32| {
        let query = "update threads set deleted_at = deleted_at - make_interval(days => $1)";
        sqlx::query(query).bind(days).execute(&admin).await.unwrap();
    };
    earlier(29).await;
    assert_eq!(engine.purge().await.unwrap().threads, 0, "it can still be restored");
    earlier(2).await;
    let late = send(&house, "POST", &format!("/api/threads/{gone}/restore"), None).await;
    late.is_problem(404, "not_found", "too late, although its rows are still there");
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
    assert_eq!(listed(&house, "").await, [kept]);
}

#[tokio::test]
async fn two_users_and_two_profiles_do_not_see_each_others_threads_or_hear_of_them() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let id = thread(&mut client, "a", "one").await;
    let mut strangers = [house.somebody("owner", "work").await, house.somebody("ben", "personal").await];
    send(&house, "PATCH", &format!("/api/threads/{id}"), Some(&json!({"title": "mine"}))).await;
    send(&house, "DELETE", &format!("/api/threads/{id}"), None).await;
    for stranger in &mut strangers {
        assert_eq!(stranger.arrived().await, Vec::<Value>::new());
    }
    let work = house.server.key("owner", "work", Role::Personal).await;
    for query in ["", "?deleted=true", "?archived=all"] {
        let seen = house.server.get(&format!("/api/threads{query}"), &work.secret).await;
        assert_eq!(seen.body["items"], json!([]), "{query}");
    }
}
