//! Folders of threads: put in and taken out, listed, and heard of by every socket of their person and by nobody else.

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use super::server::{Answer, KEY, answer};
use super::ws_support::{Client, House, ends_run, is_custom};

fn script(turn: &Turn) -> Reply {
    Reply::text(&format!("echo {}", turn.last_user()))
}

async fn send(house: &House, method: &str, path: &str, body: &Value) -> Answer {
    answer(house.server.request(method, path).bearer_auth(KEY).json(body)).await
}

/// Puts the thread into the folder; `null` takes it out.
async fn put(house: &House, thread: &str, folder: impl Into<Value>) -> Value {
    let body = json!({"folder": folder.into()});
    let changed = send(house, "PATCH", &format!("/api/threads/{thread}"), &body).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    changed.body
}

/// So many threads with one answered message, the oldest first.
async fn threads(client: &mut Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        client.say(None, &format!("m{number}"), &format!("number {number}")).await;
        let frames = client.until(ends_run).await;
        ids.push(frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap().to_owned());
    }
    ids
}

async fn listed(house: &House, query: &str) -> Vec<String> {
    let page = house.server.get(&format!("/api/threads{query}"), KEY).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn folders(house: &House, key: &str) -> Value {
    let page = house.server.get("/api/folders", key).await;
    assert_eq!((page.status, &page.body["next"]), (200, &Value::Null), "{page:?}");
    page.body["items"].clone()
}

#[tokio::test]
async fn a_thread_is_put_into_a_folder_and_taken_out_and_every_socket_hears_it() {
    let house = House::new(script).await;
    let ids = threads(&mut house.owner().await, 1).await;
    let path = format!("/api/threads/{}", ids[0]);
    assert_eq!(house.server.get(&path, KEY).await.body["folder"], Value::Null);
    let mut other = house.owner().await;
    for (folder, name) in [
        (json!("  Trips\n to\u{0}\u{1b} Oslo/Bergen "), json!("Trips to\u{fffd} Oslo/Bergen")),
        (json!("ß".repeat(limits::FOLDER_CHARS)), json!("ß".repeat(limits::FOLDER_CHARS))),
        (json!(" \n "), Value::Null),
        (json!("Trips"), json!("Trips")),
        (Value::Null, Value::Null),
    ] {
        let changed = put(&house, &ids[0], folder).await;
        assert_eq!(changed["folder"], name);
        let told = other.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
        assert_eq!(told["event"]["value"]["folder"], name);
        assert_eq!(house.server.get(&path, KEY).await.body, changed);
        let named = if name.is_null() { json!([]) } else { json!([{"name": name, "threads": 1}]) };
        assert_eq!(folders(&house, KEY).await, named, "a folder goes with its last thread");
    }
    // Another change leaves it where it is.
    put(&house, &ids[0], "Trips").await;
    let renamed = send(&house, "PATCH", &path, &json!({"title": "Oslo", "pinned": true})).await;
    assert_eq!(renamed.body["folder"], "Trips");
    for (patch, code) in [
        (json!({"folder": "x".repeat(limits::FOLDER_CHARS + 1)}), "folder_too_long"),
        (json!({"folder": 7}), "invalid_body"),
        (json!({"folder": ["Trips"]}), "invalid_body"),
    ] {
        send(&house, "PATCH", &path, &patch).await.is_problem(400, code, &patch.to_string());
    }
    assert_eq!(folders(&house, KEY).await, json!([{"name": "Trips", "threads": 1}]), "a refusal changes nothing");
    // Events from before there were folders are told as they were.
    let admin = house.server.db.admin();
    let query = "update events set payload = payload - 'folder' where kind = 'thread_changed'";
    sqlx::raw_sql(query).execute(&admin).await.unwrap();
    let mut late = house.owner().await;
    late.resume(&ids[0], 0).await;
    let frames = late.until(|frame| is_custom(frame, "thread.changed")).await;
    assert_eq!(frames.last().unwrap()["event"]["value"]["folder"], Value::Null);
}

#[tokio::test]
async fn a_list_shows_one_folder_or_what_is_in_none_page_by_page() {
    let house = House::new(script).await;
    let ids = threads(&mut house.owner().await, 7).await;
    for id in &ids[..5] {
        put(&house, id, "Trips").await;
    }
    put(&house, &ids[5], "trips").await;
    let newest_first = |range: std::ops::Range<usize>| range.rev().map(|at| ids[at].clone()).collect::<Vec<_>>();
    assert_eq!(listed(&house, "").await, newest_first(0..7), "without the filter all of them, in their order");
    assert_eq!(listed(&house, "?folder=").await, newest_first(6..7));
    assert_eq!(listed(&house, "?folder=trips").await, newest_first(5..6), "the case counts");
    assert_eq!(listed(&house, "?folder=Nowhere").await, Vec::<String>::new());
    assert_eq!(listed(&house, "?folder=%00").await, Vec::<String>::new());
    let (mut read, mut path) = (Vec::new(), "/api/threads?folder=Trips&limit=2".to_owned());
    loop {
        let page = house.server.get(&path, KEY).await.body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2 && items.iter().all(|item| item["folder"] == "Trips"), "{page}");
        read.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/threads?folder=Trips&limit=2&before={next}");
    }
    assert_eq!(read, newest_first(0..5));
    let both = json!([{"name": "Trips", "threads": 5}, {"name": "trips", "threads": 1}]);
    assert_eq!(folders(&house, KEY).await, both);
    // What is archived or deleted keeps its folder, and is not counted.
    send(&house, "PATCH", &format!("/api/threads/{}", ids[0]), &json!({"archived": true})).await;
    answer(house.server.request("DELETE", &format!("/api/threads/{}", ids[1])).bearer_auth(KEY)).await;
    answer(house.server.request("DELETE", &format!("/api/threads/{}", ids[5])).bearer_auth(KEY)).await;
    assert_eq!(folders(&house, KEY).await, json!([{"name": "Trips", "threads": 3}]));
    assert_eq!(listed(&house, "?folder=Trips").await, newest_first(2..5));
    assert_eq!(listed(&house, "?folder=Trips&archived=true").await, newest_first(0..1));
    assert_eq!(listed(&house, "?folder=Trips&deleted=true").await, newest_first(1..2));
    let restored = send(&house, "POST", &format!("/api/threads/{}/restore", ids[1]), &json!({})).await;
    assert_eq!(restored.body["folder"], "Trips");
    assert_eq!(listed(&house, "?folder=Trips").await, newest_first(1..5));
}

#[tokio::test]
async fn folders_are_listed_by_name_up_to_a_bound() {
    let house = House::new(script).await;
    let ids = threads(&mut house.owner().await, 3).await;
    for (id, name) in ids.iter().zip(["zebra", "Apple", "banana"]) {
        put(&house, id, name).await;
    }
    let listed = folders(&house, KEY).await;
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Apple", "banana", "zebra"]);
    let more = "insert into threads (user_id, profile, id, folder)
                select 'owner', 'personal', gen_random_uuid(), 'c' || number from generate_series(1, $1) number";
    sqlx::query(more).bind(limits::FOLDERS).execute(&house.server.db.admin()).await.unwrap();
    let listed = folders(&house, KEY).await;
    assert_eq!(i64::try_from(listed.as_array().unwrap().len()).unwrap(), limits::FOLDERS);
    assert_eq!(house.server.get("/api/threads?folder=zebra", KEY).await.body["items"][0]["id"], ids[0].as_str());
}

#[tokio::test]
async fn a_fork_is_in_the_folder_of_its_origin_and_a_kept_thread_in_its_own() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    let ids = threads(&mut client, 1).await;
    put(&house, &ids[0], "Trips").await;
    client.until(|frame| is_custom(frame, "thread.changed")).await;
    let head = house.server.get(&format!("/api/threads/{}", ids[0]), KEY).await.body["headId"].clone();
    let body = json!({"messageId": head});
    let fork = send(&house, "POST", &format!("/api/threads/{}/fork", ids[0]), &body).await;
    assert_eq!((fork.status, &fork.body["folder"]), (201, &json!("Trips")), "{fork:?}");
    let told = client.until(|frame| is_custom(frame, "thread.changed")).await.pop().unwrap();
    assert_eq!((&told["threadId"], &told["event"]["value"]["folder"]), (&fork.body["id"], &json!("Trips")));
    assert_eq!(folders(&house, KEY).await, json!([{"name": "Trips", "threads": 2}]));
    // A temporary thread is in no list, and so in none of a folder, until it is kept.
    let body = json!({"clientMessageId": "t", "content": "for now", "temporary": true});
    let said = send(&house, "POST", "/api/messages", &body).await;
    let temporary = said.body["threadId"].as_str().unwrap().to_owned();
    client.arrived().await;
    put(&house, &temporary, "Later").await;
    assert_eq!(folders(&house, KEY).await, json!([{"name": "Trips", "threads": 2}]));
    send(&house, "PATCH", &format!("/api/threads/{temporary}"), &json!({"temporary": false})).await;
    assert_eq!(listed(&house, "?folder=Later").await, [temporary]);
}

#[tokio::test]
async fn others_and_the_other_profile_know_nothing_of_a_folder_and_its_person_takes_it_along() {
    let house = House::new(script).await;
    let ids = threads(&mut house.owner().await, 1).await;
    let mut strangers = [house.somebody("owner", "work").await, house.somebody("ben", "personal").await];
    put(&house, &ids[0], "Secret plans").await;
    let path = format!("/api/threads/{}", ids[0]);
    for (at, (user, profile)) in [("owner", "work"), ("ben", "personal")].into_iter().enumerate() {
        assert_eq!(strangers[at].arrived().await, Vec::<Value>::new());
        let key = house.server.key(user, profile, Role::Personal).await.secret;
        assert_eq!(folders(&house, &key).await, json!([]), "{user} {profile}");
        for query in ["?folder=Secret%20plans", "?folder="] {
            let seen = house.server.get(&format!("/api/threads{query}"), &key).await;
            assert_eq!(seen.body["items"], json!([]), "{user} {profile} {query}");
        }
        let request = house.server.request("PATCH", &path).bearer_auth(&key).json(&json!({"folder": "Mine"}));
        answer(request).await.is_problem(404, "not_found", user);
    }
    assert_eq!(folders(&house, KEY).await, json!([{"name": "Secret plans", "threads": 1}]));
    let export = house.server.request("GET", "/api/me/export").bearer_auth(KEY).send().await.unwrap();
    let lines = export.text().await.unwrap();
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let thread = lines.find(|line| line["type"] == "thread" && line["id"] == ids[0].as_str()).unwrap();
    assert_eq!(thread["folder"], "Secret plans");
}
