//! The programs of `tests/peers`, each a process of its own that ends with the test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const CEILING: Duration = Duration::from_secs(25);

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Something that `tests/peers/install` put into place.
pub(crate) fn peer(name: &str) -> PathBuf {
    let path = peers().join(name);
    assert!(path.exists(), "{} is missing: run tests/peers/install", path.display());
    path
}

pub(crate) fn peers() -> PathBuf {
    std::env::var_os("ADJUTANT_PEERS_DIR").map_or_else(|| root().join(".peers"), PathBuf::from)
}

/// A peer that serves on a port. Dropping it ends it.
pub(crate) struct Peer {
    pub(crate) port: String,
    _process: Child,
}

impl Peer {
    /// Runs `runtime script 0` and waits for `ready PORT`.
    pub(crate) async fn start(runtime: &str, script: &str) -> Self {
        let mut command = Command::new(peer(runtime));
        command.arg(root().join("tests/peers").join(script)).arg("0").env("ADJUTANT_PEERS_DIR", peers());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{script} becomes ready"));
                if let Some(port) = line.strip_prefix("ready ") {
                    return port.to_owned();
                }
            }
        };
        let port = timeout(CEILING, ready).await.unwrap_or_else(|_| panic!("{script} becomes ready"));
        // Its later lines must have somewhere to go.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { port, _process: process }
    }

    pub(crate) fn base(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// The scripted model.
pub(crate) async fn aimock() -> Peer {
    Peer::start("bin/node", "aimock.mjs").await
}

/// The real small model, where its download was to be had.
pub(crate) async fn smollm() -> Option<Peer> {
    let model = peers().join("model/stamp");
    if model.exists() {
        return Some(Peer::start("bin/python-smollm", "smollm.py").await);
    }
    assert!(
        std::env::var_os("ADJUTANT_REQUIRE_REAL_MODEL").is_none(),
        "{} is missing: the real model could not be fetched by tests/peers/install",
        model.display()
    );
    None
}
