//! Users who have something of everything, all of it come by through the doors.

use adjutant_core::scope::Role;
use adjutant_testkit::db::TestDb;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use serde_json::{Value, json};

use crate::agui::input;
use crate::peers::Peer;
use crate::server::{Answer, NewKey, TestServer, answer, soon};
use crate::ws_support::Folder;

pub(crate) const PROFILES: [&str; 2] = ["personal", "work"];
/// More than one piece of the export.
const FILE_BYTES: usize = 3 * 256 * 1024 + 1;

pub(crate) struct Estate {
    pub(crate) server: TestServer,
    pub(crate) settings: Vec<(&'static str, String)>,
    _tools: EffectServer,
    _peer: Peer,
    _provider: Provider,
    _folder: Folder,
}

/// A user with a key for both of their profiles.
pub(crate) struct Resident {
    pub(crate) user: &'static str,
    pub(crate) key: NewKey,
    /// What they gave away and must never see again.
    pub(crate) secrets: Vec<String>,
}

fn script(turn: &Turn) -> Reply {
    let said = turn.last_user();
    match (turn.round(), [" order", " change"].into_iter().find(|what| said.contains(what))) {
        (0, Some(" order")) => Reply::call("shop__order", &json!({"item": "tea"})),
        (0, Some(" change")) => Reply::call("effects__look", &json!({"key": "k"})),
        (1, Some(" change")) => Reply::call("effects__effect", &json!({"key": "k"})),
        _ => Reply::text(&format!("answer to {said}")),
    }
}

impl Estate {
    pub(crate) async fn new() -> Self {
        let (tools, provider, folder) = (EffectServer::start().await, Provider::start(script).await, Folder::new());
        let peer = Peer::start("bin/python", "fastmcp_shop.py").await;
        let servers = json!({
            "effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"},
            "shop": {"type": "http", "url": peer.base("/mcp"), "lifecycle": "initialize"},
        });
        std::fs::write(folder.mcp(), json!({"mcpServers": servers}).to_string()).unwrap();
        let settings = vec![
            ("LLM_PROVIDER", "openai".to_owned()),
            ("LLM_MODEL", "scripted".to_owned()),
            ("OPENAI_BASE_URL", provider.base_url()),
            ("ADJUTANT_MCP_CONFIG", folder.mcp()),
            (
                "CREDENTIALS_ENCRYPTION_KEY",
                "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".to_owned(),
            ),
        ];
        let given: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Box::pin(TestServer::start_on(TestDb::new().await, &given)).await;
        Self { server, settings, _tools: tools, _peer: peer, _provider: provider, _folder: folder }
    }

    /// Somebody who has something of everything in each of these profiles, and a run under way that asks them something.
    pub(crate) async fn resident(&self, user: &'static str, profiles: &[&str]) -> Resident {
        let key = self.server.key(user, "*", Role::Admin).await;
        let mut resident = Resident { user, secrets: vec![key.secret.clone()], key };
        self.put(&resident, "personal", "profiles/work", &json!({"userContext": format!("{user} likes work")})).await;
        for profile in profiles {
            self.furnish(&mut resident, profile).await;
        }
        let session =
            self.server.request("POST", "/api/session").bearer_auth(&resident.key.secret).send().await.unwrap();
        let cookie = session.headers()["set-cookie"].to_str().unwrap().split([';', '=']).nth(1).unwrap().to_owned();
        resident.secrets.push(cookie);
        let ticket = self.send(&resident, "personal", "POST", "ticket", &Value::Null).await;
        resident.secrets.push(ticket.body["ticket"].as_str().unwrap().to_owned());
        resident
    }

    async fn furnish(&self, resident: &mut Resident, profile: &str) {
        let user = resident.user;
        let path = format!("/api/files?name={user}-{profile}.txt");
        let upload = self.server.request("POST", &path).bearer_auth(&resident.key.secret).header("x-profile", profile);
        let uploaded = answer(upload.body(content(user, profile))).await;
        assert_eq!(uploaded.status, 201, "{uploaded:?}");

        // A run that asked for consent and has it for good.
        let said = json!([{"id": "1", "role": "user", "content": format!("{user}-{profile} change")}]);
        let told =
            self.server.request("POST", "/api/agui").bearer_auth(&resident.key.secret).header("x-profile", profile);
        let told = told.json(&input("their own name", &said)).send().await.unwrap();
        assert_eq!(told.status(), 200);
        told.text().await.unwrap();
        let open = self.list(resident, profile, "approvals?state=pending").await;
        let approval = format!("approvals/{}", open[0]["id"].as_str().unwrap());
        let decided = self.send(resident, profile, "POST", &approval, &json!({"decision": "always"})).await;
        assert_eq!(decided.status, 200, "{decided:?}");
        soon("the run ends", async || {
            let runs = self.list(resident, profile, "runs").await;
            runs.iter().all(|run| run["state"] == "succeeded")
        })
        .await;

        // A run with a file whose tool asks something, and which waits for that.
        self.put(resident, profile, "policies/shop", &json!({"policy": "auto"})).await;
        let content = json!([{"type": "text", "text": format!("{user}-{profile} order")},
            {"type": "file", "fileId": uploaded.body["id"]}]);
        let message = json!({"clientMessageId": "order", "content": content});
        let sent = self.send(resident, profile, "POST", "messages", &message).await;
        assert_eq!(sent.status, 202, "{sent:?}");
        soon("it asks", async || !self.list(resident, profile, "questions?state=pending").await.is_empty()).await;

        let secret = |what: &str| format!("canary-{user}-{profile}-{what}");
        let token = json!({"token": secret("token"), "origin": "https://mcp.example.com"});
        self.put(resident, profile, "credentials/garmin", &token).await;
        let headers = json!({"headers": {"X-Secret": secret("header")}, "origin": "https://mcp.example.com"});
        self.put(resident, profile, "credentials/other", &headers).await;
        self.put(resident, profile, "credentials/llm_openai", &json!({"apiKey": secret("model")})).await;
        let everywhere = json!({"token": secret("all"), "origin": "https://mcp.example.com"});
        self.put(resident, profile, "credentials/everywhere?profiles=all", &everywhere).await;
        let url = format!("https://mcp.example.com/mcp?token={}", secret("query"));
        let server = json!({"name": "mine", "url": url, "enabled": false, "headers": [{"service": "garmin"}]});
        let added = self.send(resident, profile, "POST", "servers", &server).await;
        assert_eq!(added.status, 201, "{added:?}");
        for what in ["token", "header", "model", "all", "query"] {
            resident.secrets.push(secret(what));
        }
    }

    async fn put(&self, resident: &Resident, profile: &str, path: &str, body: &Value) {
        let done = self.send(resident, profile, "PUT", path, body).await;
        assert!(matches!(done.status, 200 | 201), "{path}: {done:?}");
    }

    pub(crate) async fn send(
        &self,
        resident: &Resident,
        profile: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let request = self.server.request(method, &format!("/api/{path}")).bearer_auth(&resident.key.secret);
        let request = request.header("x-profile", profile);
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    async fn list(&self, resident: &Resident, profile: &str, path: &str) -> Vec<Value> {
        let list = self.send(resident, profile, "GET", path, &Value::Null).await;
        list.body["items"].as_array().unwrap_or_else(|| panic!("{path}: {list:?}")).clone()
    }
}

pub(crate) fn content(user: &str, profile: &str) -> Vec<u8> {
    format!("the file of {user}-{profile}; ").into_bytes().into_iter().cycle().take(FILE_BYTES).collect()
}

/// Every table with rows of users.
pub(crate) async fn tables(server: &TestServer) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1",
    )
    .fetch_all(&server.db.admin())
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    tables
}

pub(crate) async fn count(server: &TestServer, table: &str, user: &str) -> i64 {
    let query = format!("select count(*) from {table} where user_id = $1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(user).fetch_one(&server.db.admin()).await.unwrap()
}
