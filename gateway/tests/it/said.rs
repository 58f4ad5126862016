//! How lists name a thread that has no title: by the beginning of what was said first on the branch that is shown.

use adjutant_testkit::provider::Reply;
use serde_json::{Value, json};

use crate::agui::{input, run, user};
use crate::server::{Answer, KEY, answer};
use crate::ws_support::{House, acks, ends_run};

async fn send(house: &House, method: &str, path: &str, body: &Value) -> Answer {
    answer(house.server.request(method, path).bearer_auth(KEY).json(body)).await
}

/// What the list says, newest first.
async fn listed(house: &House) -> Vec<Value> {
    let page = house.server.get("/api/threads", KEY).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"].as_array().unwrap().iter().map(|item| item["said"].clone()).collect()
}

#[tokio::test]
async fn a_thread_tells_how_the_branch_begins_that_is_shown_wherever_it_is_told() {
    let house = House::new(|_| Reply::text("noted")).await;
    let mut client = house.owner().await;
    client.say(None, "a", "Buy oat milk").await;
    let frames = client.until_all(&[&ends_run, &acks("a")]).await;
    let first = frames.into_iter().find(acks("a")).unwrap();
    let thread = first["threadId"].as_str().unwrap().to_owned();
    let path = format!("/api/threads/{thread}");
    client.say(Some(&thread), "b", "and bread").await;
    client.until(ends_run).await;
    assert_eq!(listed(&house).await, [json!("Buy oat milk")]);
    let old = house.server.get(&path, KEY).await.body["headId"].clone();

    let long = format!("Buy {}", "ü\u{1f408}".repeat(300));
    let edited = json!({"type": "run.submit", "clientMessageId": "c", "threadId": thread, "editedId": first["messageId"],
        "content": long});
    client.send(edited).await;
    client.until(ends_run).await;
    client.say(Some(&thread), "d", "and cheese").await;
    client.until(ends_run).await;
    let cut: String = long.chars().take(200).collect();
    let one = house.server.get(&path, KEY).await.body;
    assert_eq!((&one["said"], listed(&house).await), (&json!(cut), vec![json!(cut)]));
    let hits = house.server.get("/api/search?q=bread", KEY).await.body;
    assert_eq!(hits["items"][0]["said"], json!(cut), "a hit is told with its thread as it is shown");

    // Every answer of what people do says it as well.
    let switched = send(&house, "PATCH", &path, &json!({"headId": old})).await;
    assert_eq!((switched.status, &switched.body["said"]), (200, &json!("Buy oat milk")), "{switched:?}");
    let forked = send(&house, "POST", &format!("{path}/fork"), &json!({"messageId": old})).await;
    assert_eq!((forked.status, &forked.body["said"]), (201, &json!("Buy oat milk")), "{forked:?}");
    assert_eq!(answer(house.server.request("DELETE", &path).bearer_auth(KEY)).await.status, 204);
    let deleted = house.server.get("/api/threads?deleted=true", KEY).await.body;
    assert_eq!(deleted["items"][0]["said"], json!("Buy oat milk"));
    let restored = answer(house.server.request("POST", &format!("{path}/restore")).bearer_auth(KEY)).await;
    assert_eq!(restored.body["said"], json!("Buy oat milk"), "{restored:?}");
}

#[tokio::test]
async fn what_nobody_said_is_no_beginning() {
    let house = House::new(|_| Reply::text("noted")).await;
    // A history that begins with a word of the program that brought it.
    let mut history = input("t", &json!([user("1", "hello")]));
    history["context"] = json!([{"description": "the page", "value": "settings"}]);
    run(&house.server, &history).await;
    assert_eq!(listed(&house).await, [json!("hello")]);
    let content = house.server.request("POST", "/api/files?name=cat.png").bearer_auth(KEY);
    let file =
        answer(content.header("content-type", "image/png").body(&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01"[..])).await;
    let body = json!({"clientMessageId": "f", "content": [{"type": "file", "fileId": file.body["id"]}]});
    let mut client = house.owner().await;
    assert_eq!(send(&house, "POST", "/api/messages", &body).await.status, 202);
    client.until(ends_run).await;
    assert_eq!(listed(&house).await, [json!("cat.png"), json!("hello")], "a file alone is told by its name");
}
