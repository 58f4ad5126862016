//! `GET /api/me/export`: all that a user has and nothing else, without secrets, in pages.

use std::collections::{BTreeMap, BTreeSet};

use adjutant_core::limits;
use adjutant_core::scope::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::estate::{Estate, PROFILES, content, count, tables};
use crate::server::{KEY, TestServer};
use crate::ws_support::PATIENCE;

/// What a row of each table becomes; empty: no line of its own, for the reason beside it.
const TYPES: &[(&str, &str)] = &[
    ("api_keys", "key"),
    ("approvals", "approval"),
    ("client_threads", "clientThread"),
    ("device_keys", "device"),
    ("events", "event"),
    ("files", "file"),
    ("mcp_servers", "server"),
    ("mcp_tool_pins", "toolDefinition"),
    // The content of messages names the files.
    ("message_files", ""),
    ("messages", "message"),
    ("profiles", "profile"),
    ("questions", "question"),
    ("runs", "run"),
    ("sent_pieces", "sentPiece"),
    ("sent_steps", "sentStep"),
    ("steps", "step"),
    ("threads", "thread"),
    // A hash that is good for half a minute.
    ("tickets", ""),
    ("tool_calls", "toolCall"),
    ("tool_consents", "consent"),
    ("tool_policies", "policy"),
    ("user_credentials", "credential"),
    ("users", "user"),
];

async fn export(server: &TestServer, key: &str) -> (String, Vec<Value>) {
    let response = server.request("GET", "/api/me/export").bearer_auth(key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("content-type").as_str(), header("cache-control").as_str()),
        ("application/x-ndjson", "no-store")
    );
    assert!(header("content-disposition").starts_with("attachment; filename=\"adjutant-"));
    let text = response.text().await.unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert_eq!(end, json!({"type": "end", "lines": lines.len()}));
    (text, lines)
}

fn of<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

#[tokio::test]
async fn one_of_everything_is_in_it_and_no_secret_and_nothing_of_others() {
    let estate = Estate::new().await;
    let (anna, ben) = (estate.resident("anna", &PROFILES).await, estate.resident("ben", &["personal"]).await);
    let server = &estate.server;
    let (text, lines) = export(server, &anna.key.secret).await;

    let known: BTreeMap<&str, &str> = TYPES.iter().copied().collect();
    for table in tables(server).await {
        let rows = count(server, &table, "anna").await;
        assert!(rows > 0, "anna has nothing in {table}");
        let kind = known.get(table.as_str()).unwrap_or_else(|| panic!("is {table} exported?"));
        if !kind.is_empty() {
            let told: BTreeSet<String> = of(&lines, kind).map(Value::to_string).collect();
            assert_eq!(i64::try_from(told.len()).unwrap(), rows, "{table} as {kind}");
        }
    }
    for profile in PROFILES {
        let here = |kind| of(&lines, kind).filter(|line| line["profile"] == profile).collect::<Vec<_>>();
        let file = here("file")[0];
        assert_eq!(STANDARD.decode(file["content"].as_str().unwrap()).unwrap(), content("anna", profile));
        assert!(file.get("isCut").is_none());
        let said = here("message").iter().map(|message| message["content"].to_string()).collect::<String>();
        assert!(said.contains(&format!("anna-{profile} change")) && said.contains(&format!("anna-{profile} order")));
        assert_eq!(here("server")[0]["url"], "https://mcp.example.com/mcp");
        assert_eq!(here("consent")[0]["tool"], "effect");
        assert_eq!(here("question")[0]["state"], "pending");
        let services: BTreeSet<&str> = here("credential").iter().map(|one| one["service"].as_str().unwrap()).collect();
        assert_eq!(services, ["garmin", "llm_openai", "other"].into());
    }

    let hashes = anna.secrets.iter().map(|secret| hex::encode(adjutant::auth::key::digest(secret)));
    for secret in anna.secrets.iter().cloned().chain(hashes).chain(ben.secrets) {
        for form in [secret.clone(), STANDARD.encode(&secret), hex::encode(&secret)] {
            assert!(!text.contains(&form), "{secret} is in the export");
        }
    }
    assert!(!text.contains("canary-"), "a secret is in the export");
    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("select token_data from user_credentials where user_id = 'anna'")
        .fetch_all(&server.db.admin())
        .await
        .unwrap();
    for sealed in sealed {
        assert!(!text.contains(&hex::encode(&sealed)) && !text.contains(&STANDARD.encode(&sealed)), "a ciphertext");
    }
    assert!(!text.contains("ben"), "something of ben is in the export");

    // A key for one profile exports that one.
    let at_work = server.key("anna", "work", Role::Personal).await;
    let (text, lines) = export(server, &at_work.secret).await;
    assert!(lines.iter().all(|line| line["profile"].as_str().is_none_or(|name| name == "work" || name == "*")));
    assert!(text.contains("anna-work change") && !text.contains("anna-personal"));
    assert_eq!(of(&lines, "key").map(|key| key["id"].as_str().unwrap()).collect::<Vec<_>>(), [at_work.id.as_str()]);
    assert_eq!(of(&lines, "device").count(), 0, "those of the key for all are another's");
}

#[tokio::test]
async fn what_fills_more_than_a_page_comes_whole_and_once() {
    let server = TestServer::start().await;
    let admin = server.db.admin();
    let rows = limits::EXPORT_PAGE * 3 + 1;
    for statement in [
        "insert into tool_policies (user_id, profile, server, tool, policy)
         select 'owner', 'personal', 'server' || n / 7, case n % 7 when 0 then '' else 'tool' || n end, 'ask'
           from generate_series(1, $1) n",
        "insert into threads (user_id, profile, id) select 'owner', 'personal', gen_random_uuid() from generate_series(1, $1)",
        "insert into messages (user_id, profile, thread_id, id, role, content, seq)
         select t.user_id, t.profile, t.id, gen_random_uuid(), 'user', '[]', 1 from threads t, generate_series(1, 3), (select $1) x",
        "insert into events (user_id, profile, thread_id, seq, kind)
         select t.user_id, t.profile, t.id, n, 'x' from threads t, generate_series(1, 5) n, (select $1) x",
        "insert into sent_pieces (user_id, profile, thread_id, digest, content)
         select t.user_id, t.profile, t.id, sha256(n::text::bytea), 'x' from threads t, generate_series(1, 3) n, (select $1) x",
    ] {
        sqlx::query(statement).bind(rows).execute(&admin).await.unwrap();
    }
    let (_, lines) = export(&server, KEY).await;
    for (kind, times) in [("policy", 1), ("thread", 1), ("message", 3), ("event", 5), ("sentPiece", 3)] {
        let told: BTreeSet<String> = of(&lines, kind).map(Value::to_string).collect();
        assert_eq!((told.len(), of(&lines, kind).count()), {
            let expected = usize::try_from(rows * times).unwrap();
            (expected, expected)
        });
    }
    server.stop().await;
}

/// The server reads as far as the client takes it: the rest of an export that nobody reads is not in its memory, and is
/// never sent once the key is revoked.
#[tokio::test]
async fn an_export_waits_for_its_reader_and_ends_with_its_key() {
    let server = TestServer::start().await;
    sqlx::raw_sql(
        "insert into threads (user_id, profile, id) values ('anna', 'personal', '00000000-0000-7000-8000-000000000001');
         insert into messages (user_id, profile, thread_id, id, role, content, seq)
         select 'anna', 'personal', '00000000-0000-7000-8000-000000000001', gen_random_uuid(), 'user',
                jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('x', 100000))), n
           from generate_series(1, 600) n",
    )
    .execute(&server.db.admin())
    .await
    .unwrap();
    let key = server.key("anna", "*", Role::Personal).await;
    let begin = async || server.request("GET", "/api/me/export").bearer_auth(&key.secret).send().await.unwrap();
    let mut open = Vec::new();
    for _ in 0..limits::USER_EXPORTS {
        let mut response = begin().await;
        assert_eq!(response.status(), 200);
        assert!(response.chunk().await.unwrap().is_some());
        open.push(response);
    }
    let refused = server.get("/api/me/export", &key.secret).await;
    refused.is_problem(429, "too_many_exports", "the others are not read");
    export(&server, KEY).await;
    server.revoke(&key).await;
    for mut response in open {
        let mut rest = Vec::new();
        let end = loop {
            match timeout(PATIENCE, response.chunk()).await.expect("it ends") {
                Ok(Some(chunk)) => rest.extend_from_slice(&chunk),
                Ok(None) => break "whole",
                Err(_) => break "cut",
            }
        };
        assert_eq!(end, "cut", "it is told apart from one that is whole");
        assert!(rest.len() < 60_000_000 && !rest.ends_with(b"}\n{\"type\":\"end\""), "{}", rest.len());
    }
    let again = server.key("anna", "*", Role::Personal).await;
    let (_, lines) = export(&server, &again.secret).await;
    assert_eq!(of(&lines, "message").count(), 600, "the places are free again");
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_somebody_else_gets_no_export_of_a_browser() {
    let server = TestServer::start().await;
    let signed_in = server.request("POST", "/api/session").bearer_auth(KEY).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let ask = |site: &str| {
        server.request("GET", "/api/me/export").header("cookie", &cookie).header("sec-fetch-site", site.to_owned())
    };
    let own = ask("same-origin").send().await.unwrap();
    assert_eq!(own.status(), 200);
    assert!(own.text().await.unwrap().contains("\"current\":true"), "the device that asks");
    crate::server::answer(ask("cross-site")).await.is_problem(403, "origin_not_allowed", "another site");
    server.get("/api/me/export", "wrong").await.is_problem(401, "unauthorized", "no key");
    server.stop().await;
}
