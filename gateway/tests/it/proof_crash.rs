//! The crash test: the real binary with its embedded database is killed with -9 at random points
//! while it works, beside a referee that believes only the acknowledgements it received and the
//! effects that its own tool server counted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

const KEY: &str = "crash-test-key-0123456789-0123456789-abcdef";
const WORKERS: usize = 6;
/// Numbers the server's lives.
static LIFE: AtomicU64 = AtomicU64::new(1);
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(not(feature = "fault-early-ack"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_fifty_kills_lose_no_acknowledged_message_and_double_no_effect() {
    let verdict = trial(50).await;
    assert!(verdict.faults.is_empty(), "seed {}: {:#?}", verdict.seed, verdict.faults);
    assert!(verdict.acknowledged >= 50, "seed {}: only {} messages", verdict.seed, verdict.acknowledged);
}

/// The referee must notice a server that acknowledges before it commits.
#[cfg(feature = "fault-early-ack")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_an_early_acknowledgement_is_noticed() {
    let verdict = trial(15).await;
    let lost = verdict.faults.iter().filter(|fault| fault.contains("is lost")).count();
    let Verdict { seed, acknowledged, faults } = verdict;
    assert!(lost > 0, "seed {seed}: the planted fault was not noticed in {acknowledged} messages: {faults:#?}");
}

struct Verdict {
    seed: u64,
    acknowledged: usize,
    faults: Vec<String>,
}

/// What the referee saw itself.
#[derive(Default)]
struct Seen {
    acks: Mutex<HashMap<String, Ack>>,
    faults: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Ack {
    thread: String,
    message: String,
    run: String,
}

struct Arena {
    port: u16,
    seen: Seen,
    /// The number of the server's life; 0 while it is down.
    life: watch::Sender<u64>,
    activity: watch::Sender<u64>,
    stop: watch::Sender<bool>,
}

async fn trial(kills: u32) -> Verdict {
    let seed = seed();
    let mut random = Random(seed);
    let tools = EffectServer::start().await;
    let provider = Provider::start(script).await;
    let folder = Folder::new(seed);
    let port = free_port().await;
    let config = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
    std::fs::write(folder.0.join("mcp.json"), config.to_string()).unwrap();
    let arena = Arc::new(Arena {
        port,
        seen: Seen::default(),
        life: watch::channel(0).0,
        activity: watch::channel(0).0,
        stop: watch::channel(false).0,
    });
    let mut arrivals = tools.arrivals();
    let counting = Arc::clone(&arena);
    tokio::spawn(async move {
        while arrivals.changed().await.is_ok() {
            counting.activity.send_modify(|count| *count += 1);
        }
    });

    let mut server = start(&folder.0, port, &provider, &arena).await;
    let workers: Vec<_> = (0..WORKERS).map(|worker| tokio::spawn(work(Arc::clone(&arena), worker))).collect();
    for _ in 0..kills {
        let events = 1 + random.below(40);
        let mut activity = arena.activity.subscribe();
        let target = *activity.borrow() + events;
        // The guard that a wait returns would keep everybody from counting on.
        let moved = tokio::time::timeout(PATIENCE, activity.wait_for(|count| *count >= target)).await.is_ok();
        assert!(moved, "seed {seed}: nothing moves any more: {:?}", arena.seen.faults.lock().unwrap());
        // A random point within what follows the event; not a wait for anything.
        tokio::time::sleep(Duration::from_micros(random.below(4_000))).await;
        arena.life.send_replace(0);
        server.kill().await.unwrap();
        server = start(&folder.0, port, &provider, &arena).await;
    }
    arena.stop.send_replace(true);
    for worker in workers {
        tokio::time::timeout(PATIENCE * 2, worker)
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: a run does not end"))
            .unwrap();
    }
    audit(&arena, &tools).await;
    server.kill().await.unwrap();
    let mut faults = std::mem::take(&mut *arena.seen.faults.lock().unwrap());
    faults.extend(provider.faults());
    let acknowledged = arena.seen.acks.lock().unwrap().len();
    println!("crash test: seed {seed}, {kills} kills, {acknowledged} acknowledged, {} effects", tools.effects().len());
    Verdict { seed, acknowledged, faults }
}

/// Two tools at once, then one that asks for consent, then the answer. Keys name the message.
fn script(turn: &Turn) -> Reply {
    let user = turn.last_user();
    match turn.round() {
        0 => Reply::calls(&[
            ("effects__effect", json!({"key": format!("{user}/a")})),
            ("effects__look", json!({"key": format!("{user}/b")})),
        ]),
        1 => Reply::call("effects__effect", &json!({"key": format!("{user}/c")})),
        _ => Reply::text(&format!("done {user}")),
    }
}

/// One person: sends a message, sees its run to the end through every crash, sends the next.
async fn work(arena: Arc<Arena>, worker: usize) {
    let mut client = Client::new(arena, worker);
    let mut number = 0;
    while !*client.arena.stop.borrow() {
        number += 1;
        // A fresh thread now and then: otherwise the thread's older tool results make all tools ask.
        if number % 3 == 1 {
            client.thread = None;
        }
        client.converse(format!("w{worker}-m{number}")).await;
    }
}

struct Client {
    arena: Arc<Arena>,
    thread: Option<String>,
    /// The last number seen of each thread.
    seen: HashMap<String, i64>,
    retried: HashMap<String, u32>,
    worker: usize,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

impl Client {
    fn new(arena: Arc<Arena>, worker: usize) -> Self {
        Self { arena, thread: None, seen: HashMap::new(), retried: HashMap::new(), worker }
    }

    /// Until the run of this message has ended, over as many connections as it takes.
    async fn converse(&mut self, id: String) {
        let into = self.thread.clone();
        let mut run: Option<String> = None;
        loop {
            let Some(mut socket) = self.connect().await else { continue };
            let hello = match &run {
                None => json!({"type": "run.submit", "clientMessageId": id, "threadId": into, "content": id}),
                Some(_) => json!({"type": "resume", "threads": self.seen}),
            };
            if socket.send(Message::text(hello.to_string())).await.is_err() {
                continue;
            }
            // What was asked of the server just before a crash may not have reached it: events that were
            // seen are not sent again, so the run itself says what it still waits for.
            if let Some(run) = run.clone() {
                match self.look(&mut socket, &run).await {
                    Some(true) => return,
                    Some(false) => {}
                    None => continue,
                }
            }
            if self.listen(&mut socket, &id, &mut run).await {
                return;
            }
        }
    }

    /// Whether the run has ended; answers what it waits for. `None` when the server is gone again.
    async fn look(&mut self, socket: &mut Socket, run: &str) -> Option<bool> {
        let url = format!("http://127.0.0.1:{}/api/runs/{run}", self.arena.port);
        let answer = reqwest::Client::new().get(url).header("x-api-key", KEY).send().await.ok()?;
        if answer.status() == 404 {
            self.fault(format!("the acknowledged run {run} is lost"));
            return Some(true);
        }
        let view: Value = answer.json().await.ok()?;
        match view["state"].as_str().unwrap_or_default() {
            "succeeded" | "failed" | "cancelled" | "discarded" => return Some(true),
            "quarantined" => self.dissolve(run).await,
            _ => {
                let steps = view["steps"].as_array().cloned().unwrap_or_default();
                for step in steps.iter().filter(|step| step["approval"]["state"] == "pending") {
                    allow(socket, &step["approval"]["id"]).await;
                }
            }
        }
        Some(false)
    }

    /// Tries a quarantined run again once, then gives it up.
    async fn dissolve(&mut self, run: &str) {
        let tries = self.retried.entry(run.to_owned()).or_default();
        *tries += 1;
        let verb = if *tries == 1 { "retry" } else { "discard" };
        let url = format!("http://127.0.0.1:{}/api/runs/{run}/{verb}", self.arena.port);
        let _ = reqwest::Client::new().post(url).header("x-api-key", KEY).send().await;
    }

    async fn connect(&self) -> Option<Socket> {
        let mut life = self.arena.life.subscribe();
        life.wait_for(|life| *life > 0).await.ok()?;
        let url = format!("ws://127.0.0.1:{}/ws?api_key={KEY}", self.arena.port);
        tokio_tungstenite::connect_async(url).await.ok().map(|(socket, _)| socket)
    }

    /// True when the run has ended; false when the connection is gone.
    async fn listen(&mut self, socket: &mut Socket, id: &str, run: &mut Option<String>) -> bool {
        loop {
            let frame = match tokio::time::timeout(PATIENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => serde_json::from_str::<Value>(&text).unwrap(),
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return false,
                Ok(Some(Ok(_))) => continue,
                Err(late) => panic!("worker {} hears nothing of {id}, run {run:?}: {late}", self.worker),
            };
            let mine = frame["runId"].as_str() == run.as_deref() || frame["clientMessageId"] == id;
            self.arena.activity.send_modify(|count| *count += u64::from(mine));
            match frame["type"].as_str().unwrap_or_default() {
                "ack" if frame["clientMessageId"] == id => {
                    let ack = Ack {
                        thread: frame["threadId"].as_str().unwrap().to_owned(),
                        message: frame["messageId"].as_str().unwrap().to_owned(),
                        run: frame["runId"].as_str().unwrap().to_owned(),
                    };
                    self.thread = Some(ack.thread.clone());
                    self.seen.entry(ack.thread.clone()).or_insert(frame["seq"].as_i64().unwrap() - 1);
                    let resume = json!({"type": "resume", "threads": self.seen});
                    *run = Some(ack.run.clone());
                    self.note(id, &ack);
                    if socket.send(Message::text(resume.to_string())).await.is_err() {
                        return false;
                    }
                }
                "event" => {
                    let thread = frame["threadId"].as_str().unwrap_or_default();
                    if let (Some(seq), Some(seen)) = (frame["seq"].as_i64(), self.seen.get_mut(thread)) {
                        // Ahead of the replay: the replay brings it again. The past: known.
                        if seq != *seen + 1 {
                            continue;
                        }
                        *seen = seq;
                    }
                    if frame["runId"].as_str() == run.as_deref() && run.is_some() && self.react(socket, &frame).await {
                        return true;
                    }
                }
                // Two connections may answer the same question.
                "error" if frame["code"] == "already_decided" => {}
                "error" if frame["code"] == "not_found" && run.is_some() => {
                    self.fault(format!("the acknowledged message {id} is lost: {frame}"));
                    (self.thread, self.seen) = (None, HashMap::new());
                    return true;
                }
                "error" => {
                    self.fault(format!("{id}: {frame}"));
                    self.thread = None;
                    return true;
                }
                _ => {}
            }
        }
    }

    /// Answers what the run asks; true when it has ended.
    async fn react(&mut self, socket: &mut Socket, frame: &Value) -> bool {
        let event = &frame["event"];
        let run = frame["runId"].as_str().unwrap_or_default();
        match (event["type"].as_str().unwrap_or_default(), event["name"].as_str().unwrap_or_default()) {
            ("RUN_FINISHED" | "RUN_ERROR", _) => return true,
            ("CUSTOM", "approval.requested") => {
                allow(socket, &event["value"]["approvalId"]).await;
            }
            ("CUSTOM", "run.state") if event["value"]["state"] == "quarantined" => self.dissolve(run).await,
            // It may wait for a question that was put before a crash and is not put again.
            ("CUSTOM", "run.state") if event["value"]["state"] == "waiting" => {
                return self.look(socket, run).await == Some(true);
            }
            _ => {}
        }
        false
    }

    fn note(&self, id: &str, ack: &Ack) {
        let before = self.arena.seen.acks.lock().unwrap().insert(id.to_owned(), ack.clone());
        if before.is_some_and(|before| before != *ack) {
            self.fault(format!("{id} was acknowledged twice with different answers"));
        }
    }

    fn fault(&self, fault: String) {
        self.arena.seen.faults.lock().unwrap().push(fault);
    }
}

async fn allow(socket: &mut Socket, approval: &Value) {
    let decide = json!({"type": "approval.decide", "approvalId": approval, "decision": "once"});
    let _ = socket.send(Message::text(decide.to_string())).await;
}

/// Compares what the referee saw with what a person can read afterwards.
async fn audit(arena: &Arena, tools: &EffectServer) {
    let effects = tools.effects();
    let acks = arena.seen.acks.lock().unwrap().clone();
    let mut faults = Vec::new();
    for (key, count) in &effects {
        if *count > 1 {
            faults.push(format!("the effect {key} happened {count} times"));
        }
    }
    for (id, ack) in &acks {
        let messages = all_messages(arena.port, &ack.thread).await;
        let found: Vec<&Value> = messages.iter().filter(|message| message["clientMessageId"] == **id).collect();
        match found.len() {
            0 => faults.push(format!("the acknowledged message {id} is lost")),
            1 if found[0]["id"] == *ack.message => {}
            count => faults.push(format!("the acknowledged message {id} is there {count} times or has another id")),
        }
        let run = get(arena.port, &format!("/api/runs/{}", ack.run)).await;
        let state = run["state"].as_str().unwrap_or("none");
        if !["succeeded", "failed", "cancelled", "discarded"].contains(&state) {
            faults.push(format!("the run of {id} is {state}"));
        }
        for step in run["steps"].as_array().into_iter().flatten().filter(|step| step["tool"] == "effect") {
            let key = step["arguments"]["key"].as_str().unwrap_or_default();
            let count = effects.get(key).copied().unwrap_or(0);
            let told = step["state"].as_str().unwrap_or_default();
            if !matches!((told, count), ("succeeded", 1) | ("unknown", _) | ("failed" | "denied", 0)) {
                faults.push(format!("{key}: the run says {told}, the tool counted {count}"));
            }
        }
    }
    arena.seen.faults.lock().unwrap().extend(faults);
}

async fn all_messages(port: u16, thread: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut before = String::new();
    loop {
        let page = get(port, &format!("/api/threads/{thread}/messages?limit=100{before}")).await;
        all.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return all,
        }
    }
}

async fn get(port: u16, path: &str) -> Value {
    let request = reqwest::Client::new().get(format!("http://127.0.0.1:{port}{path}")).header("x-api-key", KEY);
    request.send().await.unwrap().json().await.unwrap()
}

async fn start(folder: &std::path::Path, port: u16, provider: &Provider, arena: &Arena) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_adjutant"))
        .arg("serve")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ADJUTANT_DATA_DIR", folder.join("data"))
        .env("ADJUTANT_MCP_CONFIG", folder.join("mcp.json"))
        .env("ADJUTANT_LISTEN", format!("127.0.0.1:{port}"))
        .env("ASSISTANT_API_KEY", KEY)
        .env("LLM_PROVIDER", "openai")
        .env("LLM_MODEL", "scripted")
        .env("OPENAI_BASE_URL", provider.base_url())
        .env("OPENAI_API_KEY", "sk-none")
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::OpenOptions::new().create(true).append(true).open(folder.join("server.log")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = async {
        let client = reqwest::Client::new();
        loop {
            let answer = client.get(format!("http://127.0.0.1:{port}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let log = folder.join("server.log");
    assert!(
        tokio::time::timeout(PATIENCE, ready).await.is_ok(),
        "the server does not come up: {}",
        std::fs::read_to_string(log).unwrap_or_default()
    );
    arena.life.send_replace(LIFE.fetch_add(1, Ordering::Relaxed));
    child
}

/// A folder that the database's user can reach; removed at the end unless the test failed.
struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("adjutant-crash-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Fresh each time; `ADJUTANT_CRASH_SEED` repeats one.
fn seed() -> u64 {
    std::env::var("ADJUTANT_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_micros()).unwrap() | 1
    })
}

/// xorshift64: enough to scatter kill points, and repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
