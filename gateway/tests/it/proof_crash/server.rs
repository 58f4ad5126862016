//! The real binary with its embedded database, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adjutant_testkit::effects::EffectServer;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};

use super::arena::{Arena, KEY, PATIENCE};

/// Numbers the server's lives.
static LIFE: AtomicU64 = AtomicU64::new(1);

/// A folder that the database's user can reach; removed at the end unless the test failed.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(seed: u64, tools: &[(&str, &EffectServer)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("adjutant-crash-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let entry = |server: &EffectServer| json!({"type": "http", "url": server.url(), "lifecycle": "initialize"});
        let servers: serde_json::Map<String, Value> =
            tools.iter().map(|(name, server)| ((*name).to_owned(), entry(server))).collect();
        std::fs::write(path.join("mcp.json"), json!({"mcpServers": servers}).to_string()).unwrap();
        Self(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    /// The database of the running server, past all doors.
    pub(super) async fn database(&self) -> PgConnection {
        let home = self.0.join("data/postgres");
        let password = std::fs::read_to_string(home.join("superuser.password")).unwrap();
        let running = std::fs::read_to_string(home.join("data/postmaster.pid")).unwrap();
        let socket = running.lines().nth(4).unwrap();
        let (socket, user) = (Path::new(socket), adjutant_postgres::SUPERUSER);
        let url = adjutant_store::pool::socket_url(socket, 5432, user, password.trim(), "assistant_system");
        PgConnection::connect(url.expose_secret()).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

pub(super) async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Begins a life of the server; returns when it answers.
pub(super) async fn start(folder: &Folder, model: &str, arena: &Arena) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.log()).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_adjutant"))
        .arg("serve")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ADJUTANT_DATA_DIR", folder.0.join("data"))
        .env("ADJUTANT_MCP_CONFIG", folder.0.join("mcp.json"))
        .env("ADJUTANT_LISTEN", format!("127.0.0.1:{}", arena.port))
        .env("ASSISTANT_API_KEY", KEY)
        .env("LLM_PROVIDER", "openai")
        .env("LLM_MODEL", "scripted")
        .env("OPENAI_BASE_URL", model)
        .env("OPENAI_API_KEY", "sk-none")
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = async {
        let client = reqwest::Client::new();
        loop {
            let answer = client.get(format!("http://127.0.0.1:{}/readyz", arena.port)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let said = || std::fs::read_to_string(folder.log()).unwrap_or_default();
    let ready = tokio::time::timeout(PATIENCE, ready).await;
    assert!(ready.is_ok(), "seed {}: the server does not come up: {}", arena.seed, said());
    arena.life.send_replace(LIFE.fetch_add(1, Ordering::Relaxed));
    child
}

/// Ends it as a power cut would.
pub(super) async fn kill(mut server: Child, arena: &Arena) {
    arena.life.send_replace(0);
    server.kill().await.unwrap();
}
