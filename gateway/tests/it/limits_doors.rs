//! Limits of `core::limits` at the doors that they bound: what is just within is taken, what is beyond has its code.

use adjutant_core::ids::FileId;
use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::Reply;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::server::{Answer, KEY, TestServer, answer, soon};
use super::ws_support::{House, ends_run};

async fn upload(server: &TestServer, key: &str, profile: &str, content: &[u8]) -> Answer {
    let request = server.request("POST", "/api/files?name=note.txt").bearer_auth(key).header("x-profile", profile);
    answer(request.body(content.to_vec())).await
}

#[tokio::test]
async fn a_message_has_so_many_files_and_no_more() {
    let house = House::new(|_| Reply::text("yes")).await;
    let mut client = house.owner().await;
    let file = upload(&house.server, KEY, "personal", b"a note").await.body["id"].clone();
    let content = |count: usize| vec![json!({"type": "file", "fileId": file}); count];
    let over = json!({"clientMessageId": "a", "content": content(limits::MESSAGE_FILES + 1)});
    let rest = answer(house.server.request("POST", "/api/messages").bearer_auth(KEY).json(&over)).await;
    rest.is_problem(400, "too_many_files", "over REST");
    let mut frame = over.clone();
    frame["type"] = json!("run.submit");
    client.send(frame).await;
    let error = client.error().await;
    assert_eq!((&error["code"], &error["clientMessageId"]), (&json!("too_many_files"), &json!("a")));
    assert_eq!(house.server.get("/api/threads", KEY).await.body["items"], json!([]));
    let within = json!({"clientMessageId": "a", "content": content(limits::MESSAGE_FILES)});
    let rest = answer(house.server.request("POST", "/api/messages").bearer_auth(KEY).json(&within)).await;
    assert_eq!(rest.status, 202, "{rest:?}");
    client.until(ends_run).await;
    house.server.stop().await;
}

#[tokio::test]
async fn the_files_of_a_user_fill_their_room_in_all_profiles_together() {
    let server = TestServer::start().await;
    let anna = server.key("anna", "*", Role::Personal).await.secret;
    let ben = server.key("ben", "*", Role::Personal).await.secret;
    let made = server.request("PUT", "/api/profiles/work").bearer_auth(&anna).json(&json!({}));
    assert_eq!(answer(made).await.status, 201);
    let first = upload(&server, &anna, "personal", b"0123456789").await.body["id"].clone();
    // As if it were so large that there is room for ten bytes more.
    let size = i64::try_from(limits::USER_FILE_BYTES - 10).unwrap();
    let sized = sqlx::query("update files set size = $1").bind(size).execute(&server.db.admin()).await.unwrap();
    assert_eq!(sized.rows_affected(), 1);
    for profile in ["personal", "work"] {
        let over = upload(&server, &anna, profile, b"0123456789a").await;
        over.is_problem(409, "file_quota", profile);
    }
    assert_eq!(upload(&server, &anna, "work", b"0123456789").await.status, 201);
    upload(&server, &anna, "personal", b"a").await.is_problem(409, "file_quota", "it is full");
    assert_eq!(upload(&server, &ben, "personal", b"a").await.status, 201, "the room of somebody else is another");
    let freed = server.request("DELETE", &format!("/api/files/{}", first.as_str().unwrap())).bearer_auth(&anna);
    assert_eq!(answer(freed).await.status, 204);
    assert_eq!(upload(&server, &anna, "personal", b"a").await.status, 201, "what is deleted makes room");
    server.stop().await;
}

/// An upload that has begun and does not end.
async fn begun(server: &TestServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/files?name=slow.txt HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\ncontent-length: 9\r\n\r\nslow",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn uploads_take_their_places_and_give_them_back_also_when_their_client_goes_away() {
    let server = TestServer::start().await;
    let mut slow = Vec::new();
    for taken in 1..=limits::FILE_UPLOADS {
        slow.push(begun(&server).await);
        let free = limits::FILE_UPLOADS - taken;
        soon("the upload has its place", async || server.app.uploads().available_permits() == free).await;
    }
    // There is no place for a further one until one of them ends.
    let mut gone = slow.pop().unwrap();
    let (further, ()) =
        tokio::join!(upload(&server, KEY, "personal", b"a note"), async { gone.shutdown().await.unwrap() });
    assert_eq!(further.status, 201);
    drop(slow);
    soon("all places are free", async || server.app.uploads().available_permits() == limits::FILE_UPLOADS).await;
    server.stop().await;
}

#[tokio::test]
async fn a_profile_has_so_many_policies_and_no_more() {
    let server = TestServer::start().await;
    let anna = server.key("anna", "*", Role::Personal).await.secret;
    let put = async |server_name: &str, profile: &str| {
        let request = server.request("PUT", &format!("/api/policies/{server_name}")).bearer_auth(&anna);
        answer(request.header("x-profile", profile).json(&json!({"policy": "deny"}))).await
    };
    assert_eq!(put("s1", "personal").await.status, 200);
    sqlx::query(
        "insert into tool_policies (user_id, profile, server, tool, policy)
         select user_id, profile, 's' || number, '', 'ask' from tool_policies, generate_series(2, $1::bigint) as number",
    )
    .bind(limits::POLICIES)
    .execute(&server.db.admin())
    .await
    .unwrap();
    put("one-more", "personal").await.is_problem(409, "too_many_policies", "one more");
    let request = server.request("PUT", "/api/policies/s1/a-tool").bearer_auth(&anna);
    let tool = answer(request.json(&json!({"policy": "auto"}))).await;
    tool.is_problem(409, "too_many_policies", "also for a tool");
    assert_eq!(put("s2", "personal").await.status, 200, "one that is there can be changed");
    let listed: Value = server.get("/api/policies", &anna).await.body;
    assert_eq!(i64::try_from(listed["items"].as_array().unwrap().len()).unwrap(), limits::POLICIES);
    let back = answer(server.request("DELETE", "/api/policies/s1").bearer_auth(&anna)).await;
    assert_eq!(back.status, 204);
    assert_eq!(put("one-more", "personal").await.status, 200);
    let unknown =
        answer(server.request("DELETE", &format!("/api/policies/{}", FileId::new())).bearer_auth(&anna)).await;
    unknown.is_problem(404, "not_found", "no such policy");
    server.stop().await;
}
