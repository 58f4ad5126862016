//! Scopes, options and the event line on which the fake server reports.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::question::CallDoor;
use adjutant_core::scope::{Origin, ProfileName, Role, Scope, UserId};
use adjutant_core::tool::{ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource};
use adjutant_mcp::config::{Servers, parse};
use adjutant_mcp::options::{Limits, Options};
use adjutant_mcp::pool::Bridges;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

/// No test waits longer for anything.
pub(crate) const CEILING: Duration = Duration::from_secs(10);

pub(crate) fn scope(user: &str) -> Scope {
    of(user, "personal")
}

pub(crate) fn of(user: &str, profile: &str) -> Scope {
    let profile = ProfileName::parse(profile).expect("a profile name");
    Scope::new(UserId::parse(user).expect("a user id"), profile, Role::Personal, Origin::Internal)
}

/// Limits under which nothing happens by itself while a test runs.
pub(crate) fn patient() -> Limits {
    Limits { grace: CEILING, first_backoff: CEILING, kill_grace: Duration::from_millis(200), ..Limits::default() }
}

pub(crate) fn parsed(servers: &Value) -> Servers {
    parse(&servers.to_string(), &|_| None).expect("a correct configuration")
}

pub(crate) fn bridges(servers: &Value, limits: Limits) -> Arc<Bridges> {
    let servers = parsed(servers);
    let path = environment("PATH").expect("PATH").to_string_lossy().into_owned();
    let child_env = vec![("PATH".to_owned(), path), ("HOME".to_owned(), "/tmp".to_owned())];
    Bridges::new(servers, None, Options { child_env, limits, ..Options::default() })
}

pub(crate) fn request(server: &str, tool: &str, arguments: Value) -> ToolRequest {
    ToolRequest {
        server: server.to_owned(),
        tool: tool.to_owned(),
        arguments,
        timeout: CEILING,
        door: CallDoor::closed(),
    }
}

pub(crate) async fn call(
    bridges: &Bridges,
    user: &str,
    server: &str,
    tool: &str,
    arguments: Value,
) -> Result<ToolReply, ToolError> {
    bridges.call(&scope(user), request(server, tool, arguments)).await
}

/// The text of a call that must succeed.
pub(crate) async fn text(bridges: &Bridges, user: &str, server: &str, tool: &str, arguments: Value) -> String {
    let reply = call(bridges, user, server, tool, arguments).await.expect("a reply");
    assert!(!reply.is_error, "{reply:?}");
    reply.content.as_str().to_owned()
}

pub(crate) async fn list(bridges: &Bridges, user: &str) -> ToolCatalogue {
    bridges.list(&scope(user)).await
}

pub(crate) fn names(catalogue: &ToolCatalogue) -> Vec<&str> {
    catalogue.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[expect(clippy::disallowed_methods, reason = "where the peers are is said by whoever runs the tests")]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where the test peers are installed; a missing one fails the test that needs it.
pub(crate) fn peer(name: &str) -> PathBuf {
    let repository = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let peers = environment("ADJUTANT_PEERS_DIR").map_or_else(|| repository.join(".peers"), PathBuf::from);
    let path = peers.join(name);
    assert!(path.exists(), "the test peer {} is missing: run tests/peers/install", path.display());
    path
}

/// The line on which fake servers report what they see.
pub(crate) struct Line {
    address: String,
    events: Mutex<mpsc::UnboundedReceiver<Heard>>,
    _tasks: TaskTracker,
}

pub(crate) struct Heard {
    pub(crate) server: String,
    pub(crate) event: String,
    pub(crate) pid: i32,
    pub(crate) params: Value,
    /// For commands to this very process.
    pub(crate) reply: Arc<Mutex<OwnedWriteHalf>>,
}

impl Heard {
    pub(crate) async fn command(&self, command: &str) {
        let mut reply = self.reply.lock().await;
        reply.write_all(format!("{command}\n").as_bytes()).await.expect("the fake server listens");
    }
}

impl Line {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, events) = mpsc::unbounded_channel();
        let tasks = TaskTracker::new();
        let own = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (read, write) = stream.into_split();
                let (sender, reply) = (sender.clone(), Arc::new(Mutex::new(write)));
                own.spawn(async move {
                    let mut lines = BufReader::new(read).lines();
                    let mut last = json!({});
                    while let Ok(Some(line)) = lines.next_line().await {
                        last = serde_json::from_str(&line).expect("an event");
                        let _ = sender.send(heard(&last, last["event"].as_str().unwrap_or("null"), &reply));
                    }
                    let _ = sender.send(heard(&last, "ended", &reply));
                });
            }
        });
        Self { address, events: Mutex::new(events), _tasks: tasks }
    }

    /// The configuration of a fake server.
    pub(crate) fn server(&self, name: &str, faults: &[&str]) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fake.py");
        let mut args = vec!["-S", script, name, &self.address];
        args.extend(faults);
        json!({"command": peer("bin/python"), "args": args})
    }

    /// The next such event; others before it are skipped.
    pub(crate) async fn next(&self, server: &str, event: &str) -> Heard {
        let mut events = self.events.lock().await;
        let wait = async {
            loop {
                let heard = events.recv().await.expect("the line is open");
                if heard.server == server && heard.event == event {
                    return heard;
                }
            }
        };
        tokio::time::timeout(CEILING, wait).await.unwrap_or_else(|_| panic!("{server} never reported {event}"))
    }

    /// All that was reported so far and not asked for.
    pub(crate) async fn rest(&self) -> Vec<String> {
        let mut events = self.events.lock().await;
        std::iter::from_fn(|| events.try_recv().ok()).map(|heard| format!("{} {}", heard.server, heard.event)).collect()
    }
}

fn heard(value: &Value, event: &str, reply: &Arc<Mutex<OwnedWriteHalf>>) -> Heard {
    Heard {
        server: value["server"].as_str().unwrap_or_default().to_owned(),
        event: event.to_owned(),
        pid: value["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default(),
        params: value["params"].clone(),
        reply: Arc::clone(reply),
    }
}
