//! `/api/keys`: people make, see and revoke their own keys, and no key makes one that may do more than itself.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Provider, Reply};
use http::header::SET_COOKIE;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::replicas::beside_at;
use crate::server::{Answer, KEY, TestServer, answer};
use crate::ws_support::{Client, PATIENCE};

async fn make(server: &TestServer, key: &str, body: &Value) -> Answer {
    answer(server.request("POST", "/api/keys").bearer_auth(key).json(body)).await
}

async fn revoke(server: &TestServer, key: &str, id: &str) -> Answer {
    answer(server.request("DELETE", &format!("/api/keys/{id}")).bearer_auth(key)).await
}

/// The ids that this key is shown.
async fn ids(server: &TestServer, key: &str) -> Vec<String> {
    let list = server.get("/api/keys", key).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.body["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_key_is_made_shown_once_used_and_revoked() {
    let server = TestServer::start().await;
    let request = server.request("POST", "/api/keys").bearer_auth(KEY).json(&json!({"label": " my phone "}));
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (201, &"no-store".parse().unwrap()));
    let mut made: Value = response.json().await.unwrap();
    let secret = made.as_object_mut().unwrap().remove("key").unwrap().as_str().unwrap().to_owned();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(adjutant::auth::key::id_of(&secret), Some(id.as_str()));
    let about = json!({"id": id, "label": "my phone", "profile": "personal", "role": "personal", "lastUsed": null,
        "current": false, "createdAt": made["createdAt"]});
    assert_eq!(made, about);

    let list = server.get("/api/keys", KEY).await.body;
    assert_eq!((&list["items"][0], &list["next"]), (&about, &Value::Null), "{list}");
    assert_eq!((&list["items"][1]["label"], &list["items"][1]["current"]), (&json!("first key"), &json!(true)));
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let stored: String = sqlx::query_scalar("select string_agg(row(k.*)::text, ' ') from api_keys k")
        .fetch_one(&server.db.admin())
        .await
        .unwrap();
    assert!(stored.contains(&hex::encode(adjutant::auth::key::digest(&secret))) && !stored.contains(&secret));

    let seen = server.get("/api/keys", &secret).await.body;
    assert_eq!(seen["items"][0]["current"], true);
    assert_eq!(seen["items"][1], Value::Null, "a key of one profile does not see those of all: {seen}");
    assert!(seen["items"][0]["lastUsed"].is_string(), "{seen}");
    assert!(!seen.to_string().contains(&secret));

    assert_eq!(revoke(&server, KEY, &id).await.status, 204);
    server.get("/api/threads", &secret).await.is_problem(401, "unauthorized", "it is revoked");
    revoke(&server, KEY, &id).await.is_problem(404, "not_found", "again");
    assert_eq!(ids(&server, KEY).await.len(), 1, "a revoked key is not listed");
    server.stop().await;
}

#[tokio::test]
async fn no_key_makes_one_that_may_do_more() {
    let server = TestServer::start().await;
    let home = server.key("anna", "personal", Role::Personal).await.secret;
    let work = server.key("anna", "work", Role::Personal).await.secret;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    let admin_at_work = server.key("anna", "work", Role::Admin).await.secret;
    let admin = server.key("anna", "*", Role::Admin).await.secret;
    for (who, key, profile, role, expected) in [
        ("home", &home, json!("personal"), "personal", (201, "")),
        ("home", &home, json!("work"), "personal", (403, "profile_not_allowed")),
        ("home", &home, json!("*"), "personal", (403, "profile_not_allowed")),
        ("home", &home, json!("nowhere"), "personal", (403, "profile_not_allowed")),
        ("home", &home, json!("personal"), "admin", (403, "admin_only")),
        ("work", &work, json!(null), "personal", (201, "")),
        ("work", &work, json!("personal"), "personal", (403, "profile_not_allowed")),
        ("all", &all, json!("*"), "personal", (201, "")),
        ("all", &all, json!("work"), "personal", (201, "")),
        ("all", &all, json!("nowhere"), "personal", (404, "unknown_profile")),
        ("all", &all, json!("*"), "admin", (403, "admin_only")),
        ("admin at work", &admin_at_work, json!("work"), "admin", (201, "")),
        ("admin at work", &admin_at_work, json!("*"), "admin", (403, "profile_not_allowed")),
        ("admin", &admin, json!("*"), "admin", (201, "")),
        ("admin", &admin, json!("personal"), "personal", (201, "")),
    ] {
        let about = format!("{who} makes {role} for {profile}");
        let made = make(&server, key, &json!({"label": "x", "profile": profile, "role": role})).await;
        assert_eq!((made.status, made.code()), expected, "{about}: {made:?}");
        if made.status != 201 {
            continue;
        }
        let profile = profile.as_str().unwrap_or("work");
        assert_eq!((&made.body["profile"], &made.body["role"]), (&json!(profile), &json!(role)), "{about}");
        let me = server.get("/api/me", made.body["key"].as_str().unwrap()).await.body;
        let expected = json!({"user": "anna", "role": role, "allProfiles": profile == "*",
            "profile": if profile == "*" { "personal" } else { profile }});
        for field in ["user", "role", "allProfiles", "profile"] {
            assert_eq!(me[field], expected[field], "{about}: {field}");
        }
    }
    server.stop().await;
}

/// The operator pays for whom the user's grant and the key allow it; a further key never gets back what one does not have.
#[tokio::test]
async fn a_key_without_the_operators_models_makes_none_with_them() {
    let server = TestServer::start().await;
    let open = server.key_with("anna", "personal", Role::Personal, true).await.secret;
    let narrow = server.key_with("anna", "personal", Role::Personal, false).await.secret;
    for (key, expected) in [(&open, true), (&narrow, false)] {
        let made = make(&server, key, &json!({"label": "x"})).await.body;
        let session = server.get("/api/session", made["key"].as_str().unwrap()).await.body;
        assert_eq!(session["operatorLlm"], expected);
    }
    server.stop().await;
}

/// What this replica remembers of a key does not count: the database is asked.
#[tokio::test]
async fn a_key_that_lost_its_role_meanwhile_makes_no_admin() {
    let server = TestServer::start().await;
    let admin = server.key("anna", "*", Role::Admin).await;
    let other = server.key("anna", "*", Role::Admin).await;
    assert_eq!(server.get("/api/me", &admin.secret).await.body["role"], "admin");
    let demote = "update api_keys set role = 'personal', profile_name = 'personal' where key_id = $1";
    sqlx::query(demote).bind(&admin.id).execute(&server.db.admin()).await.unwrap();
    let made = make(&server, &admin.secret, &json!({"label": "x", "role": "admin"})).await;
    made.is_problem(403, "admin_only", "a role");
    let made = make(&server, &admin.secret, &json!({"label": "x", "profile": "*"})).await;
    made.is_problem(403, "profile_not_allowed", "all profiles");
    revoke(&server, &admin.secret, &other.id).await.is_problem(404, "not_found", "beyond its profile");
    // Revoked behind this replica's back.
    let gone = "update api_keys set is_revoked = true where key_id = $1";
    sqlx::query(gone).bind(&admin.id).execute(&server.db.admin()).await.unwrap();
    let made = make(&server, &admin.secret, &json!({"label": "x"})).await;
    made.is_problem(401, "unauthorized", "it is revoked");
    revoke(&server, &admin.secret, &admin.id).await.is_problem(401, "unauthorized", "it is revoked");
    server.stop().await;
}

#[tokio::test]
async fn keys_of_other_profiles_and_other_users_are_unknown() {
    let server = TestServer::start().await;
    let home = server.key("anna", "personal", Role::Personal).await;
    let work = server.key("anna", "work", Role::Personal).await;
    let all = server.key("anna", "*", Role::Personal).await;
    let admin = server.key("anna", "personal", Role::Admin).await;
    let ben = server.key("ben", "*", Role::Admin).await;
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let of = |keys: &[&crate::server::NewKey]| sorted(keys.iter().map(|key| key.id.clone()).collect());
    assert_eq!(sorted(ids(&server, &home.secret).await), of(&[&home, &admin]));
    assert_eq!(sorted(ids(&server, &work.secret).await), of(&[&work]));
    assert_eq!(sorted(ids(&server, &all.secret).await), of(&[&home, &work, &all, &admin]));
    assert_eq!(sorted(ids(&server, &ben.secret).await), of(&[&ben]));
    for (who, stranger) in [("ben", &ben), ("work", &work)] {
        let foreign = revoke(&server, &stranger.secret, &home.id).await;
        foreign.is_problem(404, "not_found", who);
        let mut unknown = revoke(&server, &stranger.secret, "0123456789").await;
        unknown.body["requestId"] = foreign.body["requestId"].clone();
        assert_eq!(foreign, unknown, "{who}");
    }
    revoke(&server, &home.secret, &admin.id).await.is_problem(403, "admin_only", "an admin's by a personal one");
    assert_eq!(server.get("/api/threads", &admin.secret).await.status, 200);
    assert_eq!(server.get("/api/threads", &home.secret).await.status, 200, "untouched");
    server.stop().await;
}

#[tokio::test]
async fn revoking_ends_sockets_and_streams_at_every_replica() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let provider =
        Provider::start(move |_| Reply::Stream(vec![Piece::Text("well".to_owned()), Piece::Hold(gate.clone())])).await;
    let base_url = provider.base_url();
    let model = [("LLM_PROVIDER", "openai"), ("LLM_MODEL", "scripted"), ("OPENAI_BASE_URL", base_url.as_str())];
    let first = TestServer::start_with(&model).await;
    let (second, there) = beside_at(&first, &model).await;
    let made = make(&first, KEY, &json!({"label": "x"})).await.body;
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let mut here = Client::open(first.address, secret).await;
    let mut over_there = Client::open(there, secret).await;
    let mut mine = Client::open(there, KEY).await;
    for socket in [&mut here, &mut over_there, &mut mine] {
        assert_eq!(socket.arrived().await, [] as [Value; 0]);
    }
    let body = json!({"model": "cos", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    let asked = reqwest::Client::new().post(format!("http://{there}/v1/chat/completions")).bearer_auth(secret);
    let stream = asked.json(&body).send().await.unwrap();
    assert_eq!(stream.status(), 200);

    assert_eq!(revoke(&first, KEY, id).await.status, 204);
    assert_eq!(here.close_code().await, 4001);
    assert_eq!(over_there.close_code().await, 4001);
    // The model still holds its answer: only the revocation can end this.
    let rest = timeout(PATIENCE, stream.text()).await.expect("the stream ends").unwrap();
    assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    // The other key's socket stays open: it still answers.
    mine.arrived().await;
    hold.add_permits(1_000);
    second.supervisor().stop().await;
    first.stop().await;
}

#[tokio::test]
async fn the_key_that_asks_may_end_itself() {
    let server = TestServer::start().await;
    let key = server.key("anna", "personal", Role::Personal).await;
    let mut socket = Client::open(server.address, &key.secret).await;
    assert_eq!(socket.arrived().await, [] as [Value; 0]);
    assert_eq!(revoke(&server, &key.secret, &key.id).await.status, 204);
    assert_eq!(socket.close_code().await, 4001);
    server.get("/api/keys", &key.secret).await.is_problem(401, "unauthorized", "it is over");
    server.stop().await;
}

#[tokio::test]
async fn a_browser_sees_and_revokes_keys_and_makes_them_from_our_pages_alone() {
    let server = TestServer::start().await;
    let key = server.key("anna", "personal", Role::Personal).await;
    let signed_in = server.request("POST", "/api/session").bearer_auth(&key.secret).send().await.unwrap();
    let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let own = format!("http://{}", server.address);
    let ask = |method: &str, path: &str| server.request(method, path).header("cookie", &cookie);
    let list = answer(ask("GET", "/api/keys")).await.body;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["current"]), (&json!(key.id), &json!(true)));
    let body = json!({"label": "made in a browser"});
    answer(ask("POST", "/api/keys").json(&body)).await.is_problem(403, "origin_missing", "no page of ours");
    let evil = ask("POST", "/api/keys").header("origin", "https://evil.example").json(&body);
    answer(evil).await.is_problem(403, "origin_not_allowed", "a page of somebody else");
    let made = answer(ask("POST", "/api/keys").header("origin", &own).json(&body)).await;
    assert_eq!((made.status, &made.body["role"]), (201, &json!("personal")), "{made:?}");
    let more = ask("POST", "/api/keys").header("origin", &own).json(&json!({"label": "x", "role": "admin"}));
    answer(more).await.is_problem(403, "admin_only", "a device has the rights of its key");
    // The key under the session goes, and the session with it; what it made stays.
    let out = ask("DELETE", &format!("/api/keys/{}", key.id)).header("origin", &own);
    assert_eq!(answer(out).await.status, 204);
    answer(ask("GET", "/api/keys")).await.is_problem(401, "unauthorized", "the cookie");
    assert_eq!(server.get("/api/keys", made.body["key"].as_str().unwrap()).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_its_reason() {
    let server = TestServer::start().await;
    for (body, code) in [
        (json!({}), "invalid_body"),
        (json!({"label": 7}), "invalid_body"),
        (json!({"label": "x", "role": "root"}), "invalid_body"),
        (json!({"label": "x", "user": "ben"}), "invalid_body"),
        (json!({"label": "x", "allowOperatorLlm": true}), "invalid_body"),
        (json!({"label": ""}), "invalid_label"),
        (json!({"label": "   "}), "invalid_label"),
        (json!({"label": "two\nlines"}), "invalid_label"),
        (json!({"label": "x".repeat(101)}), "invalid_label"),
        (json!({"label": "x", "profile": "Work!"}), "invalid_profile"),
        (json!({"label": "x", "profile": ""}), "invalid_profile"),
    ] {
        make(&server, KEY, &body).await.is_problem(400, code, &body.to_string());
    }
    for id in ["x", "Upper", "no%20id", &"x".repeat(33)] {
        revoke(&server, KEY, id).await.is_problem(400, "invalid_id", id);
    }
    server.get("/api/keys?before=x", KEY).await.is_problem(400, "invalid_cursor", "no cursor");
    server.get("/api/keys?limit=0", KEY).await.is_problem(400, "invalid_limit", "nothing");
    assert_eq!(ids(&server, KEY).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn keys_come_in_pages() {
    let server = TestServer::start().await;
    for number in 0..4 {
        assert_eq!(make(&server, KEY, &json!({"label": format!("{number}")})).await.status, 201);
    }
    let mut labels = Vec::new();
    let mut path = "/api/keys?limit=2".to_owned();
    loop {
        let page = server.get(&path, KEY).await.body;
        labels.extend(page["items"].as_array().unwrap().iter().map(|key| key["label"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/keys?limit=2&before={next}");
    }
    assert_eq!(labels, ["3", "2", "1", "0", "first key"]);
    server.stop().await;
}

#[tokio::test]
async fn several_at_once_keep_the_bound_and_revoke_once() {
    let server = TestServer::start().await;
    // Two are free; revoked ones count for nothing.
    sqlx::query(
        "insert into api_keys (key_id, key_hash, user_id, profile_name, role, is_revoked)
         select 'filler' || n, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'owner', 'personal', 'personal', n % 2 = 1
           from generate_series(1, 2 * ($1 - 3)) n",
    )
    .bind(limits::KEYS)
    .execute(&server.db.admin())
    .await
    .unwrap();
    let body = json!({"label": "x"});
    let all = tokio::join!(
        make(&server, KEY, &body),
        make(&server, KEY, &body),
        make(&server, KEY, &body),
        make(&server, KEY, &body)
    );
    let (made, refused): (Vec<Answer>, Vec<Answer>) =
        [all.0, all.1, all.2, all.3].into_iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 2, "{made:?}");
    for answer in &refused {
        answer.is_problem(409, "too_many_keys", "beyond the bound");
    }

    let id = made[0].body["id"].as_str().unwrap();
    let both = tokio::join!(revoke(&server, KEY, id), revoke(&server, KEY, id));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404]);
    assert_eq!(make(&server, KEY, &body).await.status, 201, "there is room again");
    server.stop().await;
}
