//! Credentials at the doors: whose they are, what never comes back, and the key file of the embedded database.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::Duration;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::db::TestDb;
use adjutant_testkit::provider::{Provider, Reply};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::binary::{Home, adjutant, output};
use crate::server::{Answer, KEY, TestServer, answer};
use crate::ws_support::Folder;

const KEYS: &str = "new:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const CEILING: Duration = Duration::from_secs(30);

async fn start() -> TestServer {
    TestServer::start_with(&[("CREDENTIALS_ENCRYPTION_KEY", KEYS)]).await
}

struct Caller<'a> {
    server: &'a TestServer,
    key: &'a str,
    profile: Option<&'a str>,
}

impl Caller<'_> {
    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.server.request(method, path).header("x-api-key", self.key);
        match self.profile {
            Some(profile) => request.header("x-profile", profile),
            None => request,
        }
    }

    async fn put(&self, service: &str, body: &Value) -> Answer {
        answer(self.request("PUT", &format!("/api/credentials/{service}")).json(body)).await
    }

    async fn list(&self) -> Vec<Value> {
        let listed = answer(self.request("GET", "/api/credentials")).await;
        assert_eq!((listed.status, &listed.body["next"]), (200, &Value::Null), "{listed:?}");
        listed.body["items"].as_array().unwrap().clone()
    }

    async fn delete(&self, service: &str) -> Answer {
        answer(self.request("DELETE", &format!("/api/credentials/{service}"))).await
    }
}

#[tokio::test]
async fn a_credential_is_stored_listed_replaced_and_deleted_and_never_comes_back() {
    let server = start().await;
    let me = Caller { server: &server, key: KEY, profile: None };
    let body =
        json!({"apiKey": "sk-0123456789abcdef", "preferredModel": "gpt-5-mini", "expiresAt": "2100-01-01T00:00:00Z"});
    let made = me.put("llm_openai", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let view = json!({
        "service": "llm_openai", "profile": "personal", "state": "ok", "problem": null, "lastFour": "cdef",
        "preferredModel": "gpt-5-mini", "scopes": [], "expiresAt": "2100-01-01T00:00:00Z",
        "origin": "https://api.openai.com", "keyId": "new",
        "createdAt": made.body["createdAt"], "updatedAt": made.body["updatedAt"],
    });
    assert_eq!(made.body, view);
    assert_eq!(me.list().await, [view]);
    let replaced = me.put("llm_openai", &json!({"api_key": "sk-another-key-9999", "scopes": ["b", "a", "b"]})).await;
    assert_eq!(
        (replaced.status, &replaced.body["lastFour"], &replaced.body["scopes"]),
        (200, &json!("9999"), &json!(["a", "b"]))
    );
    let token = json!({"token": "t0k3n-of-garmin-7777", "origin": "https://mcp.garmin.example/mcp?x=1"});
    assert_eq!(me.put("garmin", &token).await.body["origin"], "https://mcp.garmin.example");
    let headers = json!({"headers": {"X-Short": "abc"}, "origin": "http://127.0.0.1:9000"});
    assert_eq!(me.put("notes", &headers).await.body["lastFour"], Value::Null);
    assert_eq!(me.list().await.len(), 3);
    assert_eq!(me.delete("garmin").await.status, 204);
    me.delete("garmin").await.is_problem(404, "not_found", "deleted");
    assert_eq!(me.list().await.len(), 2);
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_data from user_credentials").fetch_all(&server.db.admin()).await.unwrap();
    assert!(rows.iter().all(|row| !String::from_utf8_lossy(row).contains("9999")));
    server.stop().await;
}

#[tokio::test]
async fn a_credential_goes_to_the_server_that_takes_it_without_being_told_where_that_is() {
    let folder = Folder::new();
    let at = |port: u16, service: Option<&str>| match service {
        Some(service) => {
            json!({"type": "http", "url": format!("http://127.0.0.1:{port}/mcp"), "credential": {"service": service}})
        }
        None => json!({"type": "http", "url": format!("http://127.0.0.1:{port}/mcp")}),
    };
    let servers = json!({"mail": at(9, Some("google")), "garmin": at(10, None), "one": at(9, Some("two-places")), "two": at(10, Some("two-places"))});
    std::fs::write(folder.mcp(), json!({"mcpServers": servers}).to_string()).unwrap();
    let file = folder.mcp();
    let server = TestServer::start_with(&[("CREDENTIALS_ENCRYPTION_KEY", KEYS), ("ADJUTANT_MCP_CONFIG", &file)]).await;
    let me = Caller { server: &server, key: KEY, profile: None };
    let token = json!({"token": "t0k3n-0123456789"});
    assert_eq!(me.put("google", &token).await.body["origin"], "http://127.0.0.1:9");
    assert_eq!(me.put("garmin", &token).await.body["origin"], "http://127.0.0.1:10");
    for unclear in ["two-places", "mail", "unheard-of"] {
        me.put(unclear, &token).await.is_problem(400, "origin_required", unclear);
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_credentials_are_refused_with_their_codes_and_nothing_of_them_is_quoted() {
    let server = start().await;
    let me = Caller { server: &server, key: KEY, profile: None };
    let origin = "https://h.example";
    let long = "hunter2".repeat(limits::CREDENTIAL_BYTES / 7 + 1);
    let many: Vec<String> = (0..=limits::CREDENTIAL_SCOPES).map(|n| n.to_string()).collect();
    for (service, body, code) in [
        ("llm_openai", json!({}), "invalid_credential"),
        ("llm_openai", json!({"apiKey": ""}), "invalid_credential"),
        ("llm_openai", json!({"apiKey": "hunter2 \u{e9}"}), "invalid_credential"),
        ("llm_openai", json!({"apiKey": "hunter2\r\nX-A: b"}), "invalid_credential"),
        ("llm_openai", json!({"token": "hunter2"}), "invalid_credential"),
        ("llm_openai", json!({"apiKey": "hunter2", "origin": "https://evil.example"}), "invalid_origin"),
        ("llm_nobody", json!({"apiKey": "hunter2"}), "origin_required"),
        ("garmin", json!({"token": "hunter2"}), "origin_required"),
        ("garmin", json!({"token": "hunter2", "origin": "hunter2"}), "invalid_origin"),
        ("garmin", json!({"token": "hunter2", "origin": "https://u:hunter2@h.example"}), "invalid_origin"),
        ("garmin", json!({"token": "hunter2", "origin": "file:///etc/passwd"}), "invalid_origin"),
        ("garmin", json!({"token": long, "origin": origin}), "invalid_credential"),
        ("garmin", json!({"token": "x", "headers": {"A": "hunter2"}, "origin": origin}), "invalid_credential"),
        ("garmin", json!({"headers": {"Host": "hunter2"}, "origin": origin}), "invalid_credential"),
        ("garmin", json!({"headers": {"A": ["hunter2"]}, "origin": origin}), "invalid_credential"),
        ("garmin", json!({"token": "x", "scopes": ["hunter2 and more"], "origin": origin}), "invalid_credential"),
        ("garmin", json!({"token": "x", "scopes": many, "origin": origin}), "invalid_credential"),
        ("garmin", json!({"token": ["hunter2"], "origin": origin}), "invalid_body"),
        ("garmin", json!({"headers": "hunter2", "origin": origin}), "invalid_body"),
        ("garmin", json!({"token": "x", "hunter2": "hunter2", "origin": origin}), "invalid_body"),
        ("garmin", json!({"token": "x", "expiresAt": "hunter2", "origin": origin}), "invalid_body"),
        ("garmin", json!(["hunter2"]), "invalid_body"),
        ("Garmin", json!({"token": "hunter2"}), "invalid_id"),
        ("garmin?profiles=hunter2", json!({"token": "hunter2"}), "invalid_profiles"),
    ] {
        let refused = me.put(service, &body).await;
        refused.is_problem(400, code, &body.to_string());
        assert!(!refused.body.to_string().contains("hunter2"), "{refused:?}");
    }
    let raw = |body: &[u8]| {
        me.request("PUT", "/api/credentials/garmin").header("content-type", "application/json").body(body.to_vec())
    };
    for (body, status, code) in [
        (&b"{\"token\": \"hunter2"[..], 400, "invalid_json"),
        (b"{\"token\": \"hunter2\xff\"}", 400, "invalid_utf8"),
        (b"", 400, "invalid_json"),
        (&vec![b' '; limits::CREDENTIAL_BODY_BYTES + 1], 413, "body_too_large"),
    ] {
        let refused = answer(raw(body)).await;
        refused.is_problem(status, code, code);
        assert!(!refused.body.to_string().contains("hunter2"), "{refused:?}");
    }
    assert_eq!(me.list().await, Vec::<Value>::new());
    server.stop().await;
}

#[tokio::test]
async fn users_and_profiles_see_their_own_and_only_a_key_for_all_changes_what_holds_for_all() {
    let server = start().await;
    let (all, work, ben) = (
        server.key("anna", "*", Role::Personal).await.secret,
        server.key("anna", "work", Role::Personal).await.secret,
        server.key("ben", "personal", Role::Admin).await.secret,
    );
    server.key("anna", "home", Role::Personal).await;
    let anna = Caller { server: &server, key: &all, profile: None };
    let at_work = Caller { server: &server, key: &work, profile: None };
    let elsewhere = Caller { server: &server, key: &all, profile: Some("home") };
    let ben = Caller { server: &server, key: &ben, profile: None };
    let token = |text: &str| json!({"token": format!("{text}-0123456789"), "origin": "https://h.example"});
    assert_eq!(anna.put("garmin", &token("annas")).await.status, 201);
    assert_eq!(anna.put("google?profiles=all", &token("alls")).await.body["profile"], "*");
    for method in ["PUT", "DELETE"] {
        let request = at_work.request(method, "/api/credentials/google?profiles=all").json(&token("works"));
        answer(request).await.is_problem(403, "profile_not_allowed", method);
    }
    let seen = async |who: &Caller<'_>| {
        let listed = who.list().await;
        let shown = listed
            .iter()
            .map(|item| format!("{} {}", item["service"].as_str().unwrap(), item["profile"].as_str().unwrap()));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(seen(&anna).await, ["garmin personal", "google *"]);
    assert_eq!(seen(&at_work).await, ["google *"]);
    assert_eq!(seen(&elsewhere).await, ["google *"]);
    assert_eq!(seen(&ben).await, Vec::<String>::new());
    assert_eq!(at_work.put("google", &token("works")).await.status, 201);
    assert_eq!(seen(&at_work).await, ["google work", "google *"]);
    // Foreign ones, those for all, and unknown ones: the same answer.
    for (who, service) in
        [(&at_work, "garmin"), (&elsewhere, "google"), (&ben, "garmin"), (&ben, "google"), (&ben, "nothing")]
    {
        who.delete(service).await.is_problem(404, "not_found", service);
    }
    assert_eq!(ben.put("garmin", &token("bens")).await.status, 201);
    assert_eq!(anna.delete("google?profiles=all").await.status, 204);
    assert_eq!(seen(&anna).await, ["garmin personal"]);
    assert_eq!(seen(&ben).await, ["garmin personal"]);
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_everything_works_but_storing() {
    let server = TestServer::start().await;
    let me = Caller { server: &server, key: KEY, profile: None };
    assert_eq!(me.list().await, Vec::<Value>::new());
    let refused = me.put("llm_openai", &json!({"apiKey": "sk-0123456789"})).await;
    refused.is_problem(409, "vault_key_missing", "no key");
    assert!(refused.body["detail"].as_str().unwrap().contains("openssl rand -base64 32"), "{refused:?}");
    assert_eq!(server.get("/api/threads", KEY).await.status, 200);

    // One that was stored while there was a key says so where it is listed, and can be deleted.
    let db = server.stop().await;
    let server = TestServer::start_on(db, &[("CREDENTIALS_ENCRYPTION_KEY", KEYS)]).await;
    let me = Caller { server: &server, key: KEY, profile: None };
    assert_eq!(me.put("llm_openai", &json!({"apiKey": "sk-0123456789"})).await.status, 201);
    let server = TestServer::start_on(server.stop().await, &[]).await;
    let me = Caller { server: &server, key: KEY, profile: None };
    let listed = me.list().await;
    assert_eq!((&listed[0]["state"], &listed[0]["lastFour"]), (&json!("unreadable"), &Value::Null));
    assert!(listed[0]["problem"].as_str().unwrap().contains("\"new\""), "{listed:?}");
    assert_eq!(me.delete("llm_openai").await.status, 204);
    server.stop().await;
}

/// A server as a process, all of whose words are kept.
struct Heard {
    child: tokio::process::Child,
    address: String,
    stdout: String,
}

async fn listen_to(mut command: Command) -> Heard {
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut stdout = String::new();
    let mut buffer = [0; 4096];
    let address = timeout(CEILING, async {
        loop {
            let length = out.read(&mut buffer).await.unwrap();
            assert!(length > 0, "it ended: {stdout}");
            stdout.push_str(&String::from_utf8_lossy(&buffer[..length]));
            let told = stdout.lines().find_map(|line| line.strip_prefix("Adjutant listens on http://"));
            if let Some(address) = told.filter(|_| stdout.ends_with('\n')) {
                return address.to_owned();
            }
        }
    })
    .await
    .unwrap();
    child.stdout = Some(out);
    Heard { child, address, stdout }
}

impl Heard {
    /// Ends it; all that it wrote.
    async fn end(self) -> String {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = timeout(CEILING, self.child.wait_with_output()).await.unwrap().unwrap();
        let later = [output.stdout, output.stderr].concat();
        self.stdout + &String::from_utf8_lossy(&later)
    }
}

async fn with_input(mut command: Command, input: &str) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = timeout(CEILING, child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn first_key(said: &str) -> String {
    said.lines().map(str::trim).find(|line| line.starts_with("adj_")).expect("a key is shown").to_owned()
}

/// The embedded database, the real binary: the key file, the commands, and nothing of a secret in any word that the
/// processes wrote or answered.
#[tokio::test]
async fn canary_secrets_appear_nowhere_and_the_key_file_is_made_once() {
    let home = Home::new();
    let mut heard = String::new();
    // A provider that refuses each key and quotes it.
    let provider = Provider::start(|turn| {
        Reply::Status(401, format!("{{\"error\": {{\"message\": \"no: {:?}\"}}}}", turn.authorization))
    })
    .await;
    let mut serve = traced(&home, &["serve"]);
    serve.env("OPENAI_BASE_URL", provider.base_url());
    let server = listen_to(serve).await;
    let file = home.path().join("master.key");
    assert!(server.stdout.contains(&format!("Made {}", file.display())), "{}", server.stdout);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let master = std::fs::read_to_string(&file).unwrap();
    let key = first_key(&server.stdout);
    let client = reqwest::Client::builder().timeout(CEILING).build().unwrap();
    let mut call = async |method: &str, path: &str, body: Option<Value>| {
        let request = client.request(method.parse().unwrap(), format!("http://{}{path}", server.address));
        let request = request.header("x-api-key", &key);
        let response = body.into_iter().fold(request, |request, body| request.json(&body)).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
        heard.push_str(&headers);
        heard.push_str(&response.text().await.unwrap());
        status
    };
    let origin = "https://mcp.example.org";
    assert_eq!(call("PUT", "/api/credentials/llm_openai", Some(json!({"apiKey": "sk-canary-one-abcd"}))).await, 201);
    assert_eq!(
        call("PUT", "/api/credentials/garmin", Some(json!({"token": "canary-two-efgh", "origin": origin}))).await,
        201
    );
    let headers = json!({"headers": {"X-Secret": "canary-three-ijkl"}, "origin": origin});
    assert_eq!(call("PUT", "/api/credentials/notes", Some(headers)).await, 201);
    for bad in [
        json!({"token": "canary-four-\n", "origin": origin}),
        json!({"token": {"canary-five": 1}, "origin": origin}),
        json!({"token": "canary-six", "canary-seven": "canary-eight", "origin": origin}),
        json!({"token": "x", "origin": "https://canary-nine@h/canary-ten"}),
        json!("canary-eleven"),
    ] {
        assert_eq!(call("PUT", "/api/credentials/garmin", Some(bad)).await, 400);
    }
    let tested = json!({"provider": "openai", "apiKey": "sk-canary-seventeen-uvwx", "model": "m"});
    assert_eq!(call("POST", "/api/models/test", Some(tested)).await, 200);
    assert_eq!(provider.turns().len(), 1);
    for bad in [json!({"provider": "canary-eighteen"}), json!({"provider": "openai", "apiKey": "canary-nineteen\n"})] {
        assert_eq!(call("POST", "/api/models/test", Some(bad)).await, 400);
    }
    assert_eq!(call("GET", "/api/credentials", None).await, 200);
    assert_eq!(call("DELETE", "/api/credentials/notes", None).await, 204);

    every_command(&home, &mut heard).await;
    heard.push_str(&server.end().await);

    assert!(heard.contains("credential"), "something was heard");
    let about = |secret: &str| {
        heard.find(secret).map(|at| heard[at.saturating_sub(200)..(at + 100).min(heard.len())].to_owned())
    };
    assert_eq!(about("canary"), None);
    let secret = master.lines().last().unwrap().split_once(':').unwrap().1;
    assert_eq!(about(secret), None);
    for entry in walk(home.path()).into_iter().filter(|path| *path != file) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        assert!(!contains(&bytes, "canary-") && !contains(&bytes, secret), "{}", entry.display());
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), master);
}

fn traced(home: &Home, arguments: &[&str]) -> Command {
    let mut command = adjutant(home, arguments);
    command.env("ADJUTANT_LOG", "trace");
    command
}

async fn every_command(home: &Home, heard: &mut String) {
    let origin = "https://mcp.example.org";
    let put = ["credential", "put", "splitwise", "--origin", origin];
    let (code, out, err) = with_input(traced(home, &put), "canary-twelve-mnop\n").await;
    assert_eq!(code, 0, "{err}");
    heard.push_str(&(out + &err));
    let all = ["credential", "put", "google", "--all-profiles", "--origin", origin, "--header", "X-Google"];
    let (code, out, err) = with_input(traced(home, &all), "canary-thirteen-qrst").await;
    assert_eq!(code, 0, "{err}");
    heard.push_str(&(out + &err));
    for (service, input) in [
        ("garmin", "canary-fourteen\ncanary-fifteen"),
        ("llm_openai", "{\"token\": \"canary-sixteen\"}"),
        ("llm_openai", "{canary"),
        ("x", ""),
    ] {
        let (code, out, err) =
            with_input(traced(home, &["credential", "put", service, "--origin", "https://api.openai.com"]), input)
                .await;
        assert_eq!(code, 1, "{service}: {out}{err}");
        heard.push_str(&(out + &err));
    }
    let (_, listed, err) = output(traced(home, &["credential", "list", "--json"])).await;
    heard.push_str(&(listed.clone() + &err));
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|item| {
            (item["service"].as_str().unwrap(), item["profile"].as_str().unwrap(), item["lastFour"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("garmin", "personal", "efgh"),
            ("google", "*", "qrst"),
            ("llm_openai", "personal", "abcd"),
            ("splitwise", "personal", "mnop")
        ]
    );
    let (code, table, err) = output(traced(home, &["credential", "list"])).await;
    assert!(code == 0 && table.contains("…abcd"), "{table}");
    heard.push_str(&(table + &err));
    let (code, out, err) = output(traced(home, &["credential", "delete", "garmin"])).await;
    assert_eq!(code, 0);
    heard.push_str(&(out + &err));
    assert_eq!(output(traced(home, &["credential", "delete", "garmin"])).await.0, 1);
    assert_eq!(output(traced(home, &["credential", "delete", "google"])).await.0, 1, "it is the one for all");
    let (code, out, err) = output(traced(home, &["credential", "reencrypt"])).await;
    assert_eq!(code, 0, "{err}");
    heard.push_str(&(out + &err));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// The standard search of texts is optimised in a debug build too, and a database is large.
fn contains(bytes: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(part)
}

#[tokio::test]
async fn a_lost_or_bad_key_file_is_a_sentence_and_keys_can_be_rotated() {
    let home = Home::new();
    let file = home.path().join("master.key");
    let put = ["credential", "put", "garmin", "--origin", "https://mcp.example.org"];
    let (code, _, err) = with_input(adjutant(&home, &put), "first-secret-1111").await;
    assert!(code == 0 && err.contains("made ") && err.contains("master.key"), "{err}");

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, out, err) = output(adjutant(&home, &["serve"])).await;
    assert!(code == 1 && err.contains("chmod 600") && !out.contains("listens"), "{out}{err}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "k0123456789ab:hunter2").unwrap();
    let (code, _, err) = output(adjutant(&home, &["serve"])).await;
    assert!(code == 1 && err.contains("is damaged") && !err.contains("hunter2"), "{err}");

    // Lost: the server starts, and whatever needs the old key says so.
    std::fs::remove_file(&file).unwrap();
    let server = listen_to(adjutant(&home, &["serve"])).await;
    let key = first_key(&server.stdout);
    let (code, table, err) = output(adjutant(&home, &["credential", "list"])).await;
    assert!(code == 0 && table.contains("unreadable") && err.contains("store the credential again"), "{table}{err}");
    let (code, _, err) = output(adjutant(&home, &["credential", "reencrypt"])).await;
    assert!(code == 1 && err.contains("garmin"), "{err}");
    let client = reqwest::Client::builder().timeout(CEILING).build().unwrap();
    let path = format!("http://{}/api/credentials", server.address);
    let listed: Value = client.get(path).header("x-api-key", key).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["items"][0]["state"], "unreadable");
    let said = server.end().await;
    assert!(said.contains("keys that this server does not have"), "{said}");

    // Found again: it goes below the new one, and everything can be read and moved to the new one.
    let new = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, new + &kept).unwrap();
    let (code, _, err) = output(adjutant(&home, &["credential", "reencrypt"])).await;
    assert!(code == 0 && err.contains("1 credentials were encrypted anew"), "{err}");
    let (_, table, _) = output(adjutant(&home, &["credential", "list"])).await;
    assert!(table.contains("…1111") && !table.contains("unreadable"), "{table}");
}

#[tokio::test]
async fn two_servers_on_one_database_read_what_either_stored() {
    let db = TestDb::new().await;
    let url = db.app_url();
    let one = TestServer::start_on(db, &[("CREDENTIALS_ENCRYPTION_KEY", KEYS)]).await;
    let rotated = format!("newer:{},{KEYS}", "0f".repeat(16) + &"1e".repeat(16));
    let two = crate::server::config(&one.db, &[("CREDENTIALS_ENCRYPTION_KEY", &rotated), ("SYSTEM_DB_URL", &url)]);
    let two = adjutant::boot::serve::prepare(two).await.unwrap();
    let me = Caller { server: &one, key: KEY, profile: None };
    assert_eq!(me.put("llm_openai", &json!({"apiKey": "sk-0123456789"})).await.status, 201);
    let owner = adjutant_testkit::db::owner("owner", "personal");
    let (app, list) = (&two.app, adjutant_store::credentials::list);
    let read = app.store().scoped(&owner, async |tx| list(tx, app.vault()).await).await.unwrap();
    assert_eq!((read[0].last_four.as_deref(), &read[0].unusable), (Some("6789"), &None));
    // Reading moved it to the newer key, which the first server is not given yet: it says so.
    assert_eq!(me.list().await[0]["state"], "unreadable");
    one.stop().await;
}
