//! The binary as a process, with an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const CEILING: Duration = Duration::from_secs(30);

/// A data directory that goes away with the test. As root it is one that the database's user can reach.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new() -> Self {
        let made = adjutant::auth::key::generate().unwrap();
        let path = std::env::temp_dir().join(format!("adjutant-it-{}", made.id));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `adjutant` with these arguments on this data directory, and nothing of our own environment.
pub(crate) fn adjutant(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adjutant"));
    command.args(arguments).env_clear();
    for name in ["PATH", "XDG_CACHE_HOME", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("ADJUTANT_DATA_DIR", home.path()).env("ADJUTANT_LISTEN", "127.0.0.1:0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn output(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = timeout(CEILING, command.output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A running `adjutant serve`.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// What it wrote to stdout before it listened.
    pub(crate) said: Vec<String>,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    pub(crate) async fn start(mut command: Command) -> Self {
        // Nobody reads it, and a full pipe would hold the server up.
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = timeout(CEILING, lines.next_line()).await.expect("it says something").unwrap();
            let line = line.expect("it goes on until it listens");
            if let Some(address) = line.strip_prefix("Adjutant listens on http://") {
                let address = address.to_owned();
                return Self { child, address, said, _stdout: lines };
            }
            said.push(line);
        }
    }

    pub(crate) async fn status(&self, path: &str, key: &str) -> Option<u16> {
        let client = reqwest::Client::builder().timeout(CEILING).build().unwrap();
        let request = client.get(format!("http://{}{path}", self.address)).header("x-api-key", key);
        Some(request.send().await.ok()?.status().as_u16())
    }

    /// Ends it as a service manager would.
    pub(crate) async fn terminate(mut self) -> i32 {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        timeout(CEILING, self.child.wait()).await.expect("it ends").unwrap().code().unwrap_or(-1)
    }
}

/// The process number of the embedded database.
pub(crate) fn database_pid(home: &Home) -> Option<i32> {
    let file = std::fs::read_to_string(home.path().join("postgres/data/postmaster.pid")).ok()?;
    file.lines().next()?.parse().ok()
}
