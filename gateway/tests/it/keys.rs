//! Keys at the doors: right and wrong ones, profiles, revocation, the first key.

use std::time::Duration;

use adjutant::boot::serve::prepare;
use adjutant::http::router::{Auth, ROUTES};
use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::db::TestDb;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::timeout;

use crate::server::{Answer, KEY, TestServer, answer, config, soon};

const REVOKED_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_key_is_good_in_either_header() {
    let server = TestServer::start().await;
    let threads = || server.request("GET", "/api/threads");
    for request in [
        threads().header("x-api-key", KEY),
        threads().bearer_auth(KEY),
        threads().header("authorization", format!("bearer {KEY}")),
        threads().bearer_auth(KEY).header("x-api-key", KEY),
    ] {
        let answer = answer(request).await;
        assert_eq!((answer.status, answer.body), (200, json!({"items": [], "next": null})));
    }
    server.stop().await;
}

#[tokio::test]
async fn every_route_that_needs_a_key_refuses_a_wrong_one_and_none() {
    let routes: Vec<_> = ROUTES.iter().filter(|route| route.auth == Auth::Key).collect();
    // No more wrong keys than one address may try within a minute, at one server after the other.
    for some in routes.chunks(usize::try_from(limits::WRONG_KEYS / 2).unwrap()) {
        let server = TestServer::start().await;
        for route in some {
            let ask = || server.request(route.method.as_str(), &route.path.replace(['{', '}'], ""));
            for request in [ask(), ask().header("x-api-key", "a-wrong-key")] {
                assert_eq!(answer(request).await.status, 401, "{} {}", route.method, route.path);
            }
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn every_wrong_key_gets_the_same_answer() {
    let server = TestServer::start().await;
    let other = server.key("anna", "personal", Role::Personal).await;
    server.revoke(&other).await;
    let threads = || server.request("GET", "/api/threads").header("x-request-id", "same");
    let with_query = server.request("GET", &format!("/api/threads?api_key={KEY}")).header("x-request-id", "same");
    let mut typo = KEY.to_owned();
    typo.replace_range(0..1, "T");
    let requests = [
        threads(),
        with_query,
        threads().header("x-api-key", ""),
        threads().header("x-api-key", "wrong"),
        threads().header("x-api-key", typo),
        threads().header("x-api-key", format!("{KEY}x")),
        threads().header("x-api-key", other.secret.as_str()),
        threads().header("x-api-key", "x".repeat(5_000)),
        threads().header("x-api-key", &b"\xff\xfe"[..]),
        threads().header("x-api-key", KEY).header("x-api-key", "another"),
        threads().header("x-api-key", KEY).bearer_auth("another"),
        threads().bearer_auth(""),
        threads().basic_auth(KEY, Some("")),
        threads().header("authorization", KEY),
        threads().header("cookie", format!("api_key={KEY}")),
    ];
    let mut answers: Vec<Answer> = Vec::new();
    for request in requests {
        answers.push(answer(request).await);
    }
    answers[0].is_problem(401, "unauthorized", "no key");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_opens_its_profile_and_one_for_all_opens_the_named_one() {
    let server = TestServer::start().await;
    let work = server.key("anna", "work", Role::Personal).await.secret;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    for (key, profile, expected) in [
        (&all, Some("nowhere"), 404),
        (&work, None, 200),
        (&work, Some("work"), 200),
        (&work, Some("personal"), 403),
        (&all, None, 200),
        (&all, Some("work"), 200),
        (&all, Some("Work!"), 400),
        (&all, Some(""), 400),
    ] {
        let mut request = server.request("GET", "/api/threads").header("x-api-key", key);
        if let Some(profile) = profile {
            request = request.header("x-profile", profile);
        }
        assert_eq!(answer(request).await.status, expected, "{profile:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_its_sockets_are_told() {
    let server = TestServer::start().await;
    let key = server.key("anna", "personal", Role::Personal).await;
    assert_eq!(server.get("/api/threads", &key.secret).await.status, 200);
    let told = server.app.keys().until_revoked(&key.id);
    server.revoke(&key).await;
    timeout(REVOKED_WITHIN, told).await.expect("within a second");
    assert_eq!(server.get("/api/threads", &key.secret).await.status, 401);
    // Who asks too late is told at once.
    timeout(REVOKED_WITHIN, server.app.keys().until_revoked(&key.id)).await.expect("at once");
    assert_eq!(server.get("/api/threads", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_while_no_notices_come_is_found_out() {
    let server = TestServer::start().await;
    let key = server.key("anna", "personal", Role::Personal).await;
    assert_eq!(server.get("/api/threads", &key.secret).await.status, 200);
    let told = server.app.keys().until_revoked(&key.id);
    let admin = server.db.admin();
    // In one statement, so that the notice comes when nobody listens.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'adjutant replica%';
         update api_keys set is_revoked = true where key_id = '{}'",
        key.id
    )))
    .execute(&admin)
    .await
    .unwrap();
    timeout(REVOKED_WITHIN, told).await.expect("within a second");
    assert_eq!(server.get("/api/threads", &key.secret).await.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_guesses_keys_is_held_off_and_known_keys_pass() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/api/threads", KEY).await.status, 200);
    for guess in 0..limits::WRONG_KEYS {
        assert_eq!(server.get("/api/threads", &format!("guess-{guess}")).await.status, 401);
    }
    let refused = server.get("/api/threads", "one-more").await;
    refused.is_problem(429, "too_many_wrong_keys", "one more");
    assert_eq!(server.get("/api/threads", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_the_first_start_makes_one_and_only_the_first() {
    let db = TestDb::new().await;
    let first = prepare(config(&db, &[("ASSISTANT_API_KEY", "")])).await.unwrap();
    let made = first.new_key.as_ref().expect("a key was made").expose_secret().to_owned();
    assert!(made.starts_with("adj_"), "{made}");
    let second = prepare(config(&db, &[("ASSISTANT_API_KEY", "")])).await.unwrap();
    assert!(second.new_key.is_none());
    let server = TestServer::start_on(db, &[("ASSISTANT_API_KEY", KEY)]).await;
    assert_eq!(server.get("/api/threads", &made).await.status, 200);
    assert_eq!(server.get("/api/threads", KEY).await.status, 401, "it counts only while there are no keys");
    server.stop().await;
}

#[tokio::test]
async fn the_owner_may_be_somebody() {
    let server = TestServer::start_with(&[("ADJUTANT_USER", "anna")]).await;
    soon("the key is known", || async { server.get("/api/threads", KEY).await.status == 200 }).await;
    let (user, role): (String, String) =
        sqlx::query_as("select user_id, role from api_keys").fetch_one(&server.db.admin()).await.unwrap();
    assert_eq!((user.as_str(), role.as_str()), ("anna", "admin"));
    server.stop().await;
}
