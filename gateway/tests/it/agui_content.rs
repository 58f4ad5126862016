//! What AG-UI messages bring beside text: files in them, files by id, and what is refused.

use adjutant_core::ids::FileId;
use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Reply, Turn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::agui::{input, run, runs, text, user};
use crate::server::{KEY, answer};
use crate::ws_support::House;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
const NOTE: &[u8] = b"the code is 4711";

fn echo(turn: &Turn) -> Reply {
    Reply::text(&format!("saw {}", turn.last_user()))
}

fn data(kind: &str, claimed: &str, content: &[u8]) -> Value {
    json!({"type": kind, "source": {"type": "data", "value": STANDARD.encode(content), "mimeType": claimed}})
}

fn said(id: &str, parts: &Value) -> Value {
    json!({"id": id, "role": "user", "content": parts})
}

async fn files(house: &House) -> i64 {
    sqlx::query_scalar("select count(*) from files").fetch_one(&house.server.db.admin()).await.unwrap()
}

async fn upload(house: &House, key: &str) -> Value {
    let request = house.server.request("POST", "/api/files?name=up.md").bearer_auth(key).body("uploaded before");
    answer(request.header("content-type", "text/markdown")).await.body
}

/// The parts of the newest message of the person, as REST shows them.
async fn parts(house: &House, told: &[Value]) -> Value {
    let thread = told[0]["metadata"]["adjutant"]["threadId"].as_str().unwrap();
    let page = house.server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body;
    let items = page["items"].as_array().unwrap();
    items.iter().rfind(|message| message["role"] == "user").unwrap()["content"].clone()
}

#[tokio::test]
async fn files_in_a_message_are_stored_once_and_reach_the_model_in_their_places() {
    let house = House::new(echo).await;
    let before = upload(&house, KEY).await;
    let note = json!({"type": "document", "metadata": {"name": "../note.md"},
        "source": {"type": "data", "value": STANDARD.encode(NOTE), "mimeType": "application/pdf"}});
    let content = json!([
        {"type": "text", "text": "look "},
        data("image", "image/jpeg", PNG),
        {"type": "text", "text": "and read"},
        note,
        {"type": "document", "source": {"type": "file", "value": before["id"], "provider": "adjutant"}},
        {"type": "binary", "mimeType": "text/plain", "id": before["id"]},
    ]);
    let asked = input("t", &json!([said("1", &content)]));
    let told = run(&house.server, &asked).await;
    let seen = text(&told);
    assert!(seen.contains("<attached_file name=\"note.md\">\nthe code is 4711"), "{seen}");
    assert!(seen.contains("<attached_file name=\"up.md\">\nuploaded before"), "{seen}");
    let stored = parts(&house, &told).await;
    let named = |index: usize| (stored[index]["name"].clone(), stored[index]["mediaType"].clone());
    assert_eq!((&stored[0]["text"], &stored[2]["text"]), (&json!("look "), &json!("and read")));
    assert_eq!(named(1), (json!("image.png"), json!("image/png")), "the content says what it is");
    assert_eq!(named(3), (json!("note.md"), json!("text/plain")));
    assert_eq!((&stored[4]["fileId"], &stored[5]["fileId"]), (&before["id"], &before["id"]));
    assert_eq!(files(&house).await, 3);

    // The same request again, the same history with more, and the same bytes in another thread.
    run(&house.server, &asked).await;
    let longer = input("t", &json!([said("1", &content), user("2", "and now?")]));
    assert!(text(&run(&house.server, &longer).await).ends_with("and now?"));
    let image = data("binary", "", PNG)["source"]["value"].clone();
    let elsewhere = json!([{"type": "binary", "mimeType": "image/png", "data": image}]);
    let told = run(&house.server, &input("t2", &json!([said("1", &elsewhere)]))).await;
    assert_eq!(parts(&house, &told).await, json!([stored[1]]), "a file needs no text beside it");
    let url = format!("data:image/png;base64,{}", STANDARD.encode(PNG));
    let as_url = json!([{"type": "image", "source": {"type": "url", "value": url}}]);
    let told = run(&house.server, &input("t3", &json!([said("1", &as_url)]))).await;
    assert_eq!(parts(&house, &told).await, json!([stored[1]]));
    assert_eq!((files(&house).await, runs(&house).await), (3, 4));
    house.server.stop().await;
}

#[tokio::test]
async fn the_same_bytes_at_the_same_time_are_one_file() {
    let house = House::new(echo).await;
    let asked = ["a", "b", "c", "d"].map(|thread| input(thread, &json!([said("1", &json!([data("image", "", PNG)]))])));
    let all = asked.iter().map(|asked| run(&house.server, asked));
    futures::future::join_all(all).await;
    assert_eq!((files(&house).await, runs(&house).await), (1, 4));
    house.server.stop().await;
}

#[tokio::test]
async fn what_is_no_part_of_a_message_is_refused_and_leaves_nothing() {
    let house = House::new(echo).await;
    let ben = house.server.key("ben", "personal", Role::Personal).await;
    let theirs = upload(&house, &ben.secret).await;
    let of = |kind: &str, source: Value| json!([{"type": kind, "source": source}]);
    let url = |address: &str| of("image", json!({"type": "url", "value": address, "mimeType": "image/png"}));
    let file = |id: &Value| of("document", json!({"type": "file", "value": id}));
    let many = |count: usize| Value::Array(vec![data("image", "image/png", PNG); count]);
    let table = [
        (url("https://example.org/cat.png"), 400, "url_not_fetched"),
        (url("http://127.0.0.1:1/"), 400, "url_not_fetched"),
        (url("data:image/png,raw"), 400, "invalid_base64"),
        (json!([{"type": "binary", "mimeType": "image/png", "url": "https://example.org/"}]), 400, "url_not_fetched"),
        (of("image", json!({"type": "data", "value": "no base64!", "mimeType": "image/png"})), 400, "invalid_base64"),
        (of("image", json!({"type": "data", "value": "", "mimeType": "image/png"})), 400, "file_empty"),
        (json!([data("audio", "audio/wav", b"RIFF\x24\0\0\0WAVEfmt ")]), 415, "unsupported_file_type"),
        (json!([data("document", "text/plain", b"\x7fELF\x02\x01\x01\0")]), 415, "unsupported_file_type"),
        (file(&theirs["id"]), 404, "file_not_found"),
        (file(&json!(FileId::new())), 404, "file_not_found"),
        (file(&json!("file-abc")), 400, "invalid_value"),
        (of("image", json!({"type": "file", "value": theirs["id"], "provider": "openai"})), 400, "unsupported_value"),
        (of("image", json!({"type": "ftp", "value": "x"})), 400, "invalid_value"),
        (of("image", json!({})), 400, "invalid_value"),
        (json!([{"type": "image"}]), 400, "invalid_value"),
        (json!([{"type": "binary", "mimeType": "image/png"}]), 400, "invalid_value"),
        (json!([{"type": "hologram"}]), 400, "invalid_value"),
        (json!([7]), 400, "invalid_value"),
        (json!([]), 400, "message_empty"),
        (many(limits::MESSAGE_FILES + 1), 400, "too_many_files"),
        (many(limits::MESSAGE_PARTS + 1), 400, "invalid_value"),
    ];
    for (content, status, code) in table {
        let request = house.server.request("POST", "/api/agui").bearer_auth(KEY);
        let about = content.to_string();
        answer(request.json(&input("t", &json!([said("1", &content)])))).await.is_problem(status, code, &about);
    }
    // Several messages may not bring more than one request does.
    let per_message = limits::MESSAGE_FILES;
    let messages: Vec<Value> =
        (0..=limits::INLINE_FILES / per_message).map(|index| said(&index.to_string(), &many(per_message))).collect();
    let request = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&input("t", &json!(messages)));
    answer(request).await.is_problem(400, "too_many_files", "a history full of files");
    // Only the person brings files.
    let by_us = json!([
        {"id": "1", "role": "assistant", "content": [data("image", "image/png", PNG)]}, user("2", "hello"),
    ]);
    let request = house.server.request("POST", "/api/agui").bearer_auth(KEY).json(&input("t", &by_us));
    answer(request).await.is_problem(400, "unsupported_value", "a file of the assistant");
    assert_eq!((files(&house).await, runs(&house).await), (1, 0));
    house.server.stop().await;
}
