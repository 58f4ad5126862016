//! A whole server for one test: real database, port of its own, ended in order.

use std::net::SocketAddr;
use std::time::Duration;

use adjutant::app::App;
use adjutant::auth::key;
use adjutant::boot::serve::prepare;
use adjutant::config::Config;
use adjutant::config::environment::Environment;
use adjutant_core::scope::{ProfileName, Role, UserId};
use adjutant_store::keys::{self, KeyIdentity, KeyProfile};
use adjutant_testkit::db::TestDb;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The key of the owner, an admin, for the profile `personal`.
pub(crate) const KEY: &str = "the-key-of-the-owner-in-tests-0123456789";
const CEILING: Duration = Duration::from_secs(10);

pub(crate) struct TestServer {
    pub(crate) app: App,
    pub(crate) db: TestDb,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_on(TestDb::new().await, settings).await
    }

    pub(crate) async fn start_on(db: TestDb, settings: &[(&str, &str)]) -> Self {
        let config = config(&db, settings);
        Self::start_config(db, config).await
    }

    pub(crate) async fn start_config(db: TestDb, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = prepare(config).await.unwrap();
        let app = ready.app.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move { ready.serve(listener, stopped).await.unwrap() });
        Self { app, db, address, stop, serving }
    }

    /// Ends the server as a signal would.
    pub(crate) async fn stop(self) -> TestDb {
        self.stop.cancel();
        timeout(CEILING, self.serving).await.expect("the server ends").unwrap();
        assert_eq!(self.app.supervisor().panics(), 0);
        self.db
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A further key.
    pub(crate) async fn key(&self, user: &str, profile: &str, role: Role) -> NewKey {
        self.key_with(user, profile, role, true).await
    }

    /// As [`Self::key`]; a new user may use the operator's model if their first key may.
    pub(crate) async fn key_with(&self, user: &str, profile: &str, role: Role, operator_llm: bool) -> NewKey {
        let made = key::generate().unwrap();
        let identity = KeyIdentity {
            key_id: made.id.clone(),
            user: UserId::parse(user).unwrap(),
            profile: KeyProfile::parse(profile).unwrap(),
            role,
            allow_operator_llm: operator_llm,
        };
        let new = keys::NewKey { identity, hash: made.digest, label: String::new() };
        self.db.store.system("a key for a test", async |tx| keys::create(tx, &new).await).await.unwrap();
        NewKey { id: made.id, secret: made.secret.expose_secret().to_owned() }
    }

    pub(crate) async fn revoke(&self, key: &NewKey) {
        self.db.store.system("revoke", async |tx| keys::revoke(tx, &key.id).await).await.unwrap();
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().timeout(CEILING).build().unwrap();
        client.request(method.parse().unwrap(), self.url(path))
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        answer(self.request("GET", path).header("x-api-key", key)).await
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut all = Vec::new();
        let _ = timeout(CEILING * 2, stream.read_to_end(&mut all)).await.expect("the server closes");
        all
    }
}

pub(crate) struct NewKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) content_type: String,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// In whichever form the door answers.
    pub(crate) fn is_refused(&self, status: u16, code: &str, about: &str) {
        let found = self.body["error"]["code"].as_str().unwrap_or(self.code());
        assert_eq!((self.status, found), (status, code), "{about}: {self:?}");
    }

    /// Asserts that this is a complete problem document.
    pub(crate) fn is_problem(&self, status: u16, code: &str, about: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{about}: {self:?}");
        assert_eq!(self.content_type, "application/problem+json", "{about}");
        assert_eq!(self.body["status"], status, "{about}");
        let detail = self.body["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10 && !detail.ends_with('.'), "{about}: {detail}");
        assert!(!self.body["requestId"].as_str().unwrap_or_default().is_empty(), "{about}");
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, body, content_type: content_type.unwrap_or_default() }
}

/// The settings of a server on this database.
pub(crate) fn config(db: &TestDb, settings: &[(&str, &str)]) -> Config {
    let url = db.app_url();
    let mut all = vec![
        ("HOME", "/nonexistent"),
        ("ADJUTANT_DATA_DIR", "/nonexistent/adjutant"),
        ("SYSTEM_DB_URL", url.as_str()),
        ("ASSISTANT_API_KEY", KEY),
    ];
    all.extend(settings);
    Config::read(&all.into_iter().collect::<Environment>()).unwrap()
}

pub(crate) fn profile(name: &str) -> ProfileName {
    ProfileName::parse(name).unwrap()
}

/// Waits for something that happens soon; the alternative to an event where there is none.
pub(crate) async fn soon(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !check().await {
        assert!(begun.elapsed() < CEILING, "not within {CEILING:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
