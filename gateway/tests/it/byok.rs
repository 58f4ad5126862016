//! Whose key pays for a model: users and profiles with keys of their own, and a provider that writes down which key it
//! saw. A key that is lost in whatever way is never replaced by the operator's.

use std::sync::Arc;

use adjutant::http::router::ROUTES;
use adjutant_core::scope::Role;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Piece, Provider, Reply};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::Semaphore;

use crate::server::{Answer, TestServer, answer, soon};
use crate::ws_support::{Client, Folder, ends_run};

const KEYS: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OPERATOR: &str = "sk-of-the-operator";

struct Town {
    server: TestServer,
    provider: Provider,
}

impl Town {
    async fn new() -> Self {
        // The provider refuses a key that says so.
        let provider = Provider::start(|turn| {
            let key = turn.authorization.clone().unwrap_or_default();
            match key.rsplit_once("-status-") {
                Some((_, status)) => {
                    Reply::Status(status.parse().unwrap(), "{\"error\": {\"message\": \"no\"}}".to_owned())
                }
                None => Reply::text("fine"),
            }
        })
        .await;
        let server = TestServer::start_with(&settings(&provider.base_url())).await;
        Self { server, provider }
    }

    /// A key of a user who may not use the operator's model, or may.
    async fn key(&self, user: &str, profile: &str, operator_llm: bool) -> String {
        // A profile begins with its first key.
        for name in ["personal", "work", "third"] {
            self.server.key_with(user, name, Role::Personal, operator_llm).await;
        }
        self.server.key_with(user, profile, Role::Personal, operator_llm).await.secret
    }

    async fn put(&self, key: &str, profile: &str, path: &str, api_key: &str) {
        let request = self.server.request("PUT", &format!("/api/credentials/{path}")).header("x-api-key", key);
        let request = request.header("x-profile", profile).json(&json!({"apiKey": api_key}));
        let stored = answer(request).await;
        assert!(matches!(stored.status, 200 | 201), "{stored:?}");
    }

    async fn forget(&self, key: &str, profile: &str, path: &str) {
        let request = self.server.request("DELETE", &format!("/api/credentials/{path}")).header("x-api-key", key);
        assert_eq!(answer(request.header("x-profile", profile)).await.status, 204);
    }

    async fn ask(&self, key: &str, profile: &str) -> Answer {
        let body = json!({"model": "cos", "messages": [{"role": "user", "content": "hello"}]});
        let request = self.server.request("POST", "/v1/chat/completions").bearer_auth(key);
        answer(request.header("x-profile", profile).json(&body)).await
    }

    /// The key that the provider saw for this question.
    async fn paid(&self, key: &str, profile: &str) -> Result<String, String> {
        let before = self.provider.turns().len();
        let answer = self.ask(key, profile).await;
        let seen: Vec<String> =
            self.provider.turns()[before..].iter().map(|turn| turn.authorization.clone().unwrap_or_default()).collect();
        if answer.status == 200 {
            assert_eq!(seen.len(), 1, "{answer:?}");
            return Ok(seen[0].trim_start_matches("Bearer ").to_owned());
        }
        assert_eq!(seen, Vec::<String>::new(), "{answer:?}");
        Err(answer.body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn settings(base_url: &str) -> [(&'static str, &str); 5] {
    [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", base_url),
        ("OPENAI_API_KEY", OPERATOR),
        ("CREDENTIALS_ENCRYPTION_KEY", KEYS),
    ]
}

const NO_KEY: &str = "llm_key_required";

#[tokio::test]
async fn each_user_and_profile_pays_with_their_own_key_and_a_removed_one_is_gone_at_once() {
    let town = Town::new().await;
    let anna = town.key("anna", "*", false).await;
    let ben = town.key("ben", "*", false).await;
    let cleo = town.key("cleo", "*", true).await;
    town.put(&anna, "personal", "llm_openai", "sk-anna-personal").await;
    town.put(&anna, "work", "llm_openai", "sk-anna-work").await;
    let paid = async |key: &str, profile: &str| town.paid(key, profile).await;
    let ok = |text: &str| Ok::<_, String>(text.to_owned());
    let refused = || Err::<String, _>(NO_KEY.to_owned());
    assert_eq!(paid(&anna, "personal").await, ok("sk-anna-personal"));
    assert_eq!(paid(&anna, "work").await, ok("sk-anna-work"));
    assert_eq!(paid(&anna, "third").await, refused());
    assert_eq!(paid(&ben, "personal").await, refused());
    assert_eq!(paid(&cleo, "personal").await, ok(OPERATOR), "who was granted it, and has no key");
    town.put(&cleo, "personal", "llm_openai", "sk-cleo").await;
    assert_eq!(paid(&cleo, "personal").await, ok("sk-cleo"), "a key of one's own comes first");
    town.put(&anna, "personal", "llm_openai?profiles=all", "sk-anna-all").await;
    assert_eq!(paid(&anna, "third").await, ok("sk-anna-all"));
    assert_eq!(paid(&anna, "work").await, ok("sk-anna-work"));
    town.forget(&anna, "work", "llm_openai").await;
    assert_eq!(paid(&anna, "work").await, ok("sk-anna-all"));
    town.forget(&anna, "work", "llm_openai?profiles=all").await;
    assert_eq!(paid(&anna, "work").await, refused());
    assert_eq!(paid(&anna, "personal").await, ok("sk-anna-personal"));
    town.put(&ben, "personal", "llm_openai", "sk-ben").await;
    assert_eq!(paid(&ben, "personal").await, ok("sk-ben"));
    town.forget(&anna, "personal", "llm_openai").await;
    assert_eq!(paid(&anna, "personal").await, refused());
    town.server.stop().await;
}

/// The same refusal, whichever way the message comes.
#[tokio::test]
async fn without_a_key_or_a_grant_every_door_refuses_and_says_what_to_do() {
    let town = Town::new().await;
    let ben = town.key("ben", "personal", false).await;
    let told = |about: &str, sentence: &str| {
        for word in ["llm_", "credential", "operator"] {
            assert!(sentence.contains(word), "{about}: {sentence}");
        }
    };
    let openai = town.ask(&ben, "personal").await;
    openai.is_refused(403, NO_KEY, "openai");
    told("openai", openai.body["error"]["message"].as_str().unwrap());
    let mut socket = Client::open(town.server.address, &ben).await;
    socket.say(None, "an-id", "hello").await;
    let frame = socket.error().await;
    assert_eq!(frame["code"], NO_KEY, "{frame}");
    told("socket", &frame.to_string());
    for (path, body) in [
        ("/api/v1/ask", json!({"text": "hello"})),
        (
            "/api/agui",
            json!({"threadId": "00000000-0000-7000-8000-000000000001", "runId": "00000000-0000-7000-8000-000000000002",
                   "messages": [{"id": "m", "role": "user", "content": "hello"}], "tools": [], "context": [], "state": {}, "forwardedProps": {}}),
        ),
    ] {
        if ROUTES.iter().any(|route| route.path == path) {
            let request = town.server.request("POST", path).header("x-api-key", &ben).json(&body);
            let refused = answer(request).await;
            // One of them answers in plain text.
            assert_eq!(refused.status, 403, "{path}: {refused:?}");
            told(path, refused.body["detail"].as_str().or(refused.body.as_str()).unwrap());
        }
    }
    let threads = town.server.get("/api/threads", &ben).await;
    assert_eq!(threads.body["items"], json!([]), "nothing was stored");
    assert_eq!(town.provider.turns().len(), 0);
    town.server.stop().await;
}

/// What becomes of dan's key, and how his next question is refused.
struct Way {
    name: String,
    sql: String,
    code: &'static str,
}

fn ways() -> Vec<Way> {
    const UNREADABLE: &str = "credential_unreadable";
    let mine = "user_id = 'dan' and profile = 'personal' and service = 'llm_openai'";
    let set = |what: &str| format!("update user_credentials set {what} where {mine}");
    let way = |name: &str, sql: String, code| Way { name: name.to_owned(), sql, code };
    let mut ways = vec![
        way("deleted", format!("delete from user_credentials where {mine}"), NO_KEY),
        way("all deleted", "delete from user_credentials".to_owned(), NO_KEY),
        way("another profile's", set("profile = 'work'"), NO_KEY),
        way("another user's", set("user_id = 'zoe'"), NO_KEY),
        way("another service", set("service = 'garmin'"), NO_KEY),
        way("for all profiles", set("profile = '*'"), UNREADABLE),
        way("expired", set("expires_at = '2020-01-01'"), "credential_expired"),
        way("unknown key", set("encryption_key_id = 'gone'"), UNREADABLE),
        way("empty key id", set("encryption_key_id = ' '"), UNREADABLE),
        way("elsewhere", set("origin = 'https://evil.example'"), UNREADABLE),
        way("cut", set("token_data = substr(token_data, 1, 29)"), UNREADABLE),
        way("longer", set(r"token_data = token_data || '\x00'"), UNREADABLE),
        way("zeros", set("token_data = decode(repeat('00', 80), 'hex')"), UNREADABLE),
        way(
            "somebody else's ciphertext",
            set("token_data = (select token_data from user_credentials where user_id = 'eve')"),
            UNREADABLE,
        ),
    ];
    ways.extend((0..90).map(|bit| {
        // Some of each part: format, nonce, ciphertext, tag.
        let at = bit * 7;
        way(
            &format!("bit {at}"),
            set(&format!("token_data = set_bit(token_data, {at}, 1 - get_bit(token_data, {at}))")),
            UNREADABLE,
        )
    }));
    ways
}

#[tokio::test]
async fn proof_a_key_that_is_lost_in_a_hundred_ways_is_never_replaced_by_the_operators() {
    let town = Town::new().await;
    // Dan may use the operator's model, but not with every key of his.
    let granted = town.key("dan", "personal", true).await;
    let dan = town.key("dan", "*", false).await;
    let eve = town.key("eve", "personal", false).await;
    let admin = town.server.db.admin();
    town.put(&eve, "personal", "llm_openai", "sk-eve-with-a-key-of-some-length-0123456789").await;
    let kept: Vec<u8> = sqlx::query_scalar("select token_data from user_credentials").fetch_one(&admin).await.unwrap();
    let ways = ways();
    assert!(ways.len() >= 100, "{}", ways.len());
    for way in &ways {
        admin.execute("delete from user_credentials where user_id = 'dan' or service <> 'llm_openai'").await.unwrap();
        town.put(&dan, "personal", "llm_openai", "sk-dan-with-a-key-of-some-length-01234567890123456789012345678901")
            .await;
        admin.execute(AssertSqlSafe(way.sql.clone())).await.unwrap();
        assert_eq!(town.paid(&dan, "personal").await, Err(way.code.to_owned()), "{}", way.name);
        if way.code != NO_KEY {
            // He may use the operator's, but he has a key: what is wrong with it is told, not paid for by somebody else.
            assert_eq!(town.paid(&granted, "personal").await, Err(way.code.to_owned()), "{} with a grant", way.name);
        }
        town.server.db.admin().execute("delete from user_credentials where user_id <> 'eve'").await.unwrap();
        sqlx::query(
            "insert into user_credentials (user_id, profile, service, token_data, encryption_key_id, origin)
                     values ('eve', 'personal', 'llm_openai', $1, 'test', $2) on conflict do nothing",
        )
        .bind(&kept)
        .bind("https://h")
        .execute(&admin)
        .await
        .unwrap();
    }
    // The provider refuses it: with a grant too, nobody else's is tried.
    for status in [400, 401, 402, 403, 404, 429, 500, 503] {
        let before = town.provider.turns().len();
        town.put(&dan, "personal", "llm_openai", &format!("sk-dan-status-{status}")).await;
        let refused = town.ask(&granted, "personal").await;
        assert_ne!(refused.status, 200, "{status}");
        let seen = town.provider.turns()[before..].to_vec();
        assert!(
            !seen.is_empty()
                && seen.iter().all(|turn| turn.authorization.as_deref() != Some("Bearer sk-of-the-operator"))
        );
    }
    let operators = town
        .provider
        .turns()
        .iter()
        .filter(|turn| turn.authorization.as_deref().unwrap_or_default().contains(OPERATOR))
        .count();
    assert_eq!(operators, 0, "calls with the operator's key");
    town.server.stop().await;
}

/// Anna's key goes while the model still answers: the second call of the same run is not made.
#[tokio::test]
async fn a_key_that_is_removed_in_the_middle_of_a_run_is_not_used_for_its_next_call() {
    let (tools, folder, hold) = (EffectServer::start().await, Folder::new(), Arc::new(Semaphore::new(0)));
    let mcp = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
    std::fs::write(folder.mcp(), mcp.to_string()).unwrap();
    let held = Arc::clone(&hold);
    let provider = Provider::start(move |turn| match turn.round() {
        0 => {
            let (id, name, arguments) =
                ("call_0".to_owned(), "effects__look".to_owned(), "{\"key\": \"a\"}".to_owned());
            Reply::Stream(vec![Piece::Hold(Arc::clone(&held)), Piece::Call { id, name, arguments }])
        }
        _ => Reply::text("paid by whom?"),
    })
    .await;
    let (base_url, file) = (provider.base_url(), folder.mcp());
    let mut all = settings(&base_url).to_vec();
    all.push(("ADJUTANT_MCP_CONFIG", &file));
    let town = Town { server: TestServer::start_with(&all).await, provider };
    let anna = town.key("anna", "personal", false).await;
    town.put(&anna, "personal", "llm_openai", "sk-anna").await;
    let mut socket = Client::open(town.server.address, &anna).await;
    socket.say(None, "an-id", "look it up").await;
    soon("the model is asked", || async { town.provider.turns().len() == 1 }).await;
    town.forget(&anna, "personal", "llm_openai").await;
    hold.add_permits(1);
    let frames = socket.until(ends_run).await;
    let last = frames.last().unwrap().to_string();
    assert!(last.contains(NO_KEY), "{last}");
    let seen: Vec<_> = town.provider.turns().into_iter().filter_map(|turn| turn.authorization).collect();
    assert_eq!(seen, ["Bearer sk-anna"]);
    town.server.stop().await;
}
