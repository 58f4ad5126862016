//! `DELETE /api/me`: nothing of a user is left, and nothing of others is touched.

use std::collections::BTreeMap;

use adjutant_core::scope::{Role, UserId};
use adjutant_store::account;
use serde_json::{Value, json};

use crate::estate::{Estate, PROFILES, count, tables};
use crate::replicas::beside_at;
use crate::server::{Answer, KEY, TestServer, answer, soon};
use crate::ws_support::Client;

async fn leave(server: &TestServer, key: &str, body: &Value) -> Answer {
    answer(server.request("DELETE", "/api/me").bearer_auth(key).json(body)).await
}

/// Where a user has rows, and how many.
async fn rows_of(server: &TestServer, user: &str) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for table in tables(server).await {
        let number = count(server, &table, user).await;
        if number > 0 {
            rows.insert(table, number);
        }
    }
    rows
}

/// All rows of a user as they are, but for what the server renews by itself.
async fn everything_of(server: &TestServer, user: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for table in tables(server).await {
        let query = format!(
            "select coalesce(string_agg(row::text, ' ' order by row::text), '')
               from (select to_jsonb(t) - 'lease_until' - 'last_used' as row from {table} t where t.user_id = $1) x"
        );
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(user).fetch_one(&server.db.admin()).await;
        all.insert(table, rows.unwrap());
    }
    all
}

#[tokio::test]
async fn nothing_is_left_of_a_user_and_others_are_untouched() {
    let estate = Estate::new().await;
    let (anna, ben) = (estate.resident("anna", &PROFILES).await, estate.resident("ben", &["personal"]).await);
    let server = &estate.server;
    let settings: Vec<(&str, &str)> = estate.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (_second, there) = beside_at(server, &settings).await;
    let at_work = server.key("anna", "work", Role::Personal).await;
    let mut sockets = Vec::new();
    for (address, key) in [(server.address, &anna.key), (there, &anna.key), (there, &at_work)] {
        let mut socket = Client::open(address, &key.secret).await;
        socket.arrived().await;
        sockets.push(socket);
    }
    let mut bens = Client::open(there, &ben.key.secret).await;
    bens.arrived().await;
    let all = rows_of(server, "anna").await;
    assert_eq!(all.len(), tables(server).await.len(), "anna has something everywhere: {all:?}");
    let (before, runs) = (everything_of(server, "ben").await, server.app.engine().active_runs());
    assert_eq!(runs, 3, "each has one in each profile that asks something");

    let left = leave(server, &anna.key.secret, &json!({"confirm": "anna"})).await;
    assert_eq!(left.status, 204, "{left:?}");
    assert_eq!(rows_of(server, "anna").await, BTreeMap::new());
    for mut socket in sockets {
        let code = socket.close_code().await;
        assert!(matches!(code, 4001 | 4002), "{code}");
    }
    soon("the workers end", async || server.app.engine().active_runs() == 1).await;
    for key in [&anna.key, &at_work] {
        server.get("/api/me", &key.secret).await.is_problem(401, "unauthorized", "nobody");
    }
    assert_eq!(everything_of(server, "ben").await, before);
    bens.arrived().await;
    assert_eq!(estate.send(&ben, "personal", "GET", "runs", &Value::Null).await.status, 200);
    assert_eq!(rows_of(server, "anna").await, BTreeMap::new(), "no worker wrote anything after it");

    // Somebody of the same name begins with nothing.
    let new = server.key("anna", "*", Role::Personal).await;
    assert_eq!(server.get("/api/threads", &new.secret).await.body["items"], json!([]));
    assert_eq!(server.get("/api/credentials", &new.secret).await.body["items"], json!([]));
}

#[tokio::test]
async fn the_last_admin_keeps_a_name_and_the_key_that_asked() {
    let server = TestServer::start().await;
    let all = server.key("owner", "*", Role::Admin).await;
    let personal = server.key("owner", "*", Role::Personal).await;
    let thread = json!({"displayName": "at work", "systemPrompt": "mine"});
    let made = server.request("PUT", "/api/profiles/work").bearer_auth(&all.secret).json(&thread);
    assert_eq!(answer(made).await.status, 201);
    let before = everything_of(&server, "owner").await;
    let refused = leave(&server, &personal.secret, &json!({"confirm": "owner"})).await;
    refused.is_problem(403, "admin_only", "nobody would be left who may manage this server");
    assert_eq!(everything_of(&server, "owner").await, before, "nothing happened");

    let mut socket = Client::open(server.address, &all.secret).await;
    socket.arrived().await;
    assert_eq!(leave(&server, &all.secret, &json!({"confirm": "owner"})).await.status, 204);
    let left: Vec<(String, i64)> = rows_of(&server, "owner").await.into_iter().collect();
    let expected = [("api_keys", 1), ("profiles", 1), ("users", 1)].map(|(table, rows)| (table.to_owned(), rows));
    assert_eq!(left, expected);
    assert!(matches!(socket.close_code().await, 4001 | 4002), "its sockets end all the same");
    let me = server.get("/api/me", &all.secret).await.body;
    assert_eq!((&me["user"], &me["role"], &me["profile"]), (&json!("owner"), &json!("admin"), &json!("personal")));
    for gone in [KEY, &personal.secret] {
        server.get("/api/me", gone).await.is_problem(401, "unauthorized", "the other keys are gone");
    }
    let profiles = server.get("/api/profiles", &all.secret).await.body;
    assert_eq!(profiles["items"].as_array().unwrap().len(), 1, "{profiles}");
    // And once more, with nothing there.
    assert_eq!(leave(&server, &all.secret, &json!({"confirm": "owner"})).await.status, 204);
    assert_eq!(server.get("/api/me", &all.secret).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn whoever_may_not_or_does_not_say_so_loses_nothing() {
    let server = TestServer::start().await;
    let all = server.key("anna", "*", Role::Personal).await;
    let one = server.key("anna", "personal", Role::Admin).await;
    server.key("ben", "*", Role::Personal).await;
    let before = (everything_of(&server, "anna").await, everything_of(&server, "ben").await);
    for (body, code) in [
        (json!({}), "invalid_body"),
        (json!({"confirm": true}), "invalid_body"),
        (json!({"confirm": "anna", "user": "ben"}), "invalid_body"),
        (json!({"confirm": ""}), "confirm_mismatch"),
        (json!({"confirm": "ben"}), "confirm_mismatch"),
        (json!({"confirm": "Anna"}), "confirm_mismatch"),
        (json!({"confirm": "anna "}), "confirm_mismatch"),
    ] {
        leave(&server, &all.secret, &body).await.is_problem(400, code, &body.to_string());
    }
    let bare = answer(server.request("DELETE", "/api/me").bearer_auth(&all.secret)).await;
    assert_eq!(bare.status, 415, "{bare:?}");
    let refused = leave(&server, &one.secret, &json!({"confirm": "anna"})).await;
    refused.is_problem(403, "profile_not_allowed", "a key for one profile");
    assert_eq!(before, (everything_of(&server, "anna").await, everything_of(&server, "ben").await));
    server.stop().await;
}

#[tokio::test]
async fn of_two_admins_who_leave_at_once_one_stays_admin() {
    let server = TestServer::start().await;
    let owner = server.key("owner", "*", Role::Admin).await;
    let anna = server.key("anna", "*", Role::Admin).await;
    let (owners, annas) = (json!({"confirm": "owner"}), json!({"confirm": "anna"}));
    let both = tokio::join!(leave(&server, &owner.secret, &owners), leave(&server, &anna.secret, &annas));
    assert_eq!((both.0.status, both.1.status), (204, 204), "{both:?}");
    let admins: i64 = sqlx::query_scalar("select count(*) from api_keys where role = 'admin' and not is_revoked")
        .fetch_one(&server.db.admin())
        .await
        .unwrap();
    assert_eq!(admins, 1);

    // The same one twice: whoever comes second finds nobody, or nothing.
    let ben = server.key("ben", "*", Role::Personal).await;
    let bens = json!({"confirm": "ben"});
    let both = tokio::join!(leave(&server, &ben.secret, &bens), leave(&server, &ben.secret, &bens));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 401], "{both:?}");
    assert_eq!(rows_of(&server, "ben").await, BTreeMap::new());
    server.stop().await;
}

#[tokio::test]
async fn a_browser_leaves_from_our_own_page_and_forgets_its_cookie() {
    let server = TestServer::start().await;
    let key = server.key("anna", "*", Role::Personal).await;
    let signed_in = server.request("POST", "/api/session").bearer_auth(&key.secret).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let body = json!({"confirm": "anna"});
    let ask = || server.request("DELETE", "/api/me").header("cookie", &cookie).json(&body);
    answer(ask()).await.is_problem(403, "origin_missing", "no page of ours");
    let own = format!("http://{}", server.address);
    let response = ask().header("origin", own).send().await.unwrap();
    assert_eq!(response.status(), 204);
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(response.headers()["clear-site-data"], "\"cache\", \"storage\"");
    assert_eq!(rows_of(&server, "anna").await, BTreeMap::new());
    server.stop().await;
}

/// What a request of before wrote after the deletion goes too, and never anything of a user who is there.
#[tokio::test]
async fn what_comes_after_a_deletion_is_swept() {
    let server = TestServer::start().await;
    server.key("ben", "*", Role::Personal).await;
    let late = "insert into files (user_id, profile, id, name, media_type, size, sha256, content)
                select who, 'personal', gen_random_uuid(), 'x', 'text/plain', 1, sha256('x'), 'x'
                  from unnest(array['anna', 'ben']) who";
    sqlx::query(late).execute(&server.db.admin()).await.unwrap();
    for user in ["anna", "ben"] {
        let user = UserId::parse(user).unwrap();
        server.db.store.system("test", async |tx| account::sweep(tx, &user).await).await.unwrap();
    }
    assert_eq!(rows_of(&server, "anna").await, BTreeMap::new());
    assert_eq!(count(&server, "files", "ben").await, 1);
    server.stop().await;
}
