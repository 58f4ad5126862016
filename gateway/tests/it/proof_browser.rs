//! The journeys of `gateway/web/e2e`: a real Chromium in front of the real binary with its embedded database, a scripted
//! model and a tool server that counts. The journeys are vitest's; here is what stands around them, with the levers
//! that they pull: the model's gate, and the life of the server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Piece, Provider, Reply, Turn};
use axum::Router;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Semaphore};

mod household;

use crate::peers::{Peer, peer, root};

const KEY: &str = "browser-test-key-0123456789-0123456789-abcd";
const PATIENCE: Duration = Duration::from_secs(60);
const MODELS: [&str; 3] = ["scripted", "second", "small"];

/// Each file of journeys has a house of its own: nothing that others left waits, runs or is counted there.
macro_rules! journeys {
    ($($test:ident $file:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                people_use_the_page($file).await;
            }
        )*

        const FILES: &[&str] = &[$($file),*];
    };
}

journeys! {
    people_stay_apart "apart",
    people_begin "begin",
    people_chat "chat",
    people_compact_chats "compact",
    people_run_an_errand "errand",
    people_send_files "files",
    people_find "find",
    people_file_chats "folders",
    people_use_keys "keys.find",
    people_look "look",
    people_have_bad_luck "luck",
    people_see_all_pages "pages",
    people_use_the_app "pwa",
    people_change_settings "settings",
    people_lose_the_line "socket",
    people_talk "talk",
    people_leave_no_trace "temporary",
    people_see_their_day "today",
    people_find_their_way "ways.find",
}

#[test]
fn each_file_of_journeys_is_run() {
    let folder = std::fs::read_dir(root().join("gateway/web/e2e")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = names.filter_map(|name| name.strip_suffix(".e2e.ts").map(str::to_owned)).collect();
    // Taken by `./x figures`, alone on a quiet machine.
    files.retain(|name| name != "figures");
    files.sort();
    assert_eq!(files, FILES);
}

async fn people_use_the_page(file: &str) {
    let web = root().join("gateway/web");
    let vitest = web.join("node_modules/vitest/vitest.mjs");
    assert!(vitest.is_file() && web.join("dist/index.html").is_file(), "the page is not built: run ./x web");
    let house = House::start().await;
    let control = house.levers().await;
    let mut journeys = Command::new(peer("bin/node"));
    journeys.current_dir(&web).arg(vitest).args(["run", "--config", "e2e/vitest.config.ts"]);
    // Another one in its stead, by hand: figures.
    journeys.env("ADJUTANT_E2E_FILE", std::env::var("ADJUTANT_E2E_FILE").as_deref().unwrap_or(file));
    journeys.env("ADJUTANT_E2E_URL", house.url()).env("ADJUTANT_E2E_KEY", KEY).env("ADJUTANT_E2E_CONTROL", control);
    let status = journeys.stdin(Stdio::null()).kill_on_drop(true).status().await.unwrap();
    let log = std::fs::read_to_string(house.folder.join("server.log")).unwrap_or_default();
    assert!(status.success(), "a journey failed; the server's last words: {}", tail(&log));
    assert!(!log.contains("panicked"), "{}", tail(&log));
    assert_eq!(house.provider.faults(), [] as [String; 0]);
}

fn tail(log: &str) -> String {
    let mut lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.reverse();
    lines.join("\n")
}

struct House {
    folder: PathBuf,
    port: u16,
    provider: Provider,
    gate: Arc<Semaphore>,
    server: Arc<Mutex<Option<Child>>>,
    _tools: EffectServer,
    shop: Peer,
}

#[derive(Clone)]
struct Levers {
    folder: PathBuf,
    port: u16,
    model: String,
    shop: String,
    gate: Arc<Semaphore>,
    server: Arc<Mutex<Option<Child>>>,
}

impl House {
    async fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        static HOUSES: AtomicU32 = AtomicU32::new(0);
        let number = HOUSES.fetch_add(1, Ordering::Relaxed);
        let name = format!("adjutant-browser-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        // The database's user must get in.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = EffectServer::start().await;
        let shop = Peer::start("bin/python", "fastmcp_shop.py").await;
        let household = household::start().await;
        let at_home =
            |name: &str| json!({"type": "http", "url": format!("{household}/{name}/mcp"), "lifecycle": "initialize"});
        let servers = json!({"mcpServers": {
            "calendar": at_home("calendar"),
            "mail": at_home("mail"),
            "rail": at_home("rail"),
            "effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"},
            "shop": {"type": "http", "url": shop.base("/mcp")},
        }});
        std::fs::write(folder.join("mcp.json"), servers.to_string()).unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        let provider = Provider::offering(&MODELS, move |turn| script(turn, &held)).await;
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        std::fs::write(folder.join("prices.toml"), prices(&provider)).unwrap();
        let house = Self { folder, port, provider, gate, server: Arc::default(), _tools: tools, shop };
        house.levers_of().start().await;
        house
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn levers_of(&self) -> Levers {
        Levers {
            folder: self.folder.clone(),
            port: self.port,
            model: self.provider.base_url(),
            shop: self.shop.base(""),
            gate: Arc::clone(&self.gate),
            server: Arc::clone(&self.server),
        }
    }

    /// Serves the levers; where.
    async fn levers(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/release", post(async |State(levers): State<Levers>| levers.gate.add_permits(1)))
            .route("/stop", post(async |State(levers): State<Levers>| levers.stop().await))
            .route("/start", post(async |State(levers): State<Levers>| levers.start().await))
            .route("/go", post(async |State(levers): State<Levers>| levers.go().await))
            .route("/person/{name}", post(person))
            .fallback(async || StatusCode::NOT_FOUND)
            .with_state(self.levers_of());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Levers {
    /// Ends the server as a power cut would.
    async fn stop(&self) {
        if let Some(mut server) = self.server.lock().await.take() {
            server.kill().await.unwrap();
        }
    }

    /// Begins a life of the server; returns when it answers.
    async fn start(&self) {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server = Some(self.spawn());
        }
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        let ready = async {
            let client = reqwest::Client::new();
            while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the server comes up");
    }

    /// What the shop packs is packed.
    async fn go(&self) {
        let answer = reqwest::Client::new().post(format!("{}/go", self.shop)).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    fn spawn(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("server.log")).unwrap();
        self.command().arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// The binary, as this house has set it up.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adjutant"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ADJUTANT_DATA_DIR", self.folder.join("data"))
            .env("ADJUTANT_MCP_CONFIG", self.folder.join("mcp.json"))
            .env("ADJUTANT_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("ASSISTANT_API_KEY", KEY)
            .env("LLM_PROVIDER", "openai")
            .env("LLM_MODEL", "scripted")
            .env("LLM_FALLBACK", "openai/second")
            .env("LLM_SMALL_MODEL", "openai/small")
            .env("LLM_VISION_MODELS", "openai/scripted")
            .env("LLM_PRICES", self.folder.join("prices.toml"))
            .env("OPENAI_BASE_URL", &self.model)
            .env("OPENAI_API_KEY", "sk-none")
            .kill_on_drop(true);
        command
    }

    /// Runs the binary beside the server; what it printed.
    async fn run(&self, arguments: &[&str]) -> String {
        let done = self.command().args(arguments).output().await.unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

#[derive(serde::Deserialize)]
struct Manner {
    /// They may ask the operator's models.
    #[serde(default)]
    pays: bool,
}

/// A person of that name; answers with a key of theirs.
async fn person(State(levers): State<Levers>, UrlPath(name): UrlPath<String>, Query(manner): Query<Manner>) -> String {
    let mut arguments = vec!["user", "add", name.as_str()];
    arguments.extend(manner.pays.then_some("--operator-llm"));
    levers.run(&arguments).await;
    let made = levers.run(&["key", "create", "--user", &name, "--profile", "*", "--json"]).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// What the scripted models cost, and how much they may read.
fn prices(provider: &Provider) -> String {
    let origin = provider.base_url().trim_end_matches("/v1").to_owned();
    let model = |name: &str| {
        let price = "input = \"2.00\"\noutput = \"8.00\"\ncontext_tokens = 128000";
        format!("[[provider.model]]\nname = \"{name}\"\n{price}\n")
    };
    let models: String = MODELS.map(model).concat();
    format!(
        "[[provider]]\nname = \"openai\"\norigins = [\"{origin}\"]\ncurrency = \"USD\"\ndate = \"2026-11-01\"\n\
         source = \"this test\"\n\n{models}"
    )
}

/// What the model does, by the first words of what it is told. The journeys know these words.
fn script(turn: &Turn, gate: &Arc<Semaphore>) -> Reply {
    let said = turn.last_user();
    let text = |text: &str| Piece::Text(text.to_owned());
    if turn.body["model"] == "small" {
        return if said.starts_with("<question>") { Reply::text(&title(&said)) } else { summary(&said) };
    }
    if said.starts_with(household::ASKED) {
        return household::scene(turn.round(), in_pieces);
    }
    let (order, rest) = said.split_once(' ').unwrap_or((&said, ""));
    match order {
        "echo" => Reply::text(&said),
        "markdown" => Reply::Stream(in_pieces(MARKDOWN)),
        "long" => Reply::Stream(in_pieces(&MARKDOWN.repeat(41_000 / MARKDOWN.len()))),
        "paced" => {
            let pause = Piece::Pause(Duration::from_millis(3));
            let pieces = in_pieces(&MARKDOWN.repeat(41_000 / MARKDOWN.len()));
            Reply::Stream(pieces.into_iter().flat_map(|piece| [piece, pause.clone()]).collect())
        }
        "hold" => Reply::Stream(vec![text("Some words"), Piece::Hold(Arc::clone(gate)), text(" and the rest.")]),
        "hostile" => Reply::Stream(in_pieces(&hostile())),
        // What a tool said is foreign text: after it, whatever has effects asks.
        "effect" if turn.round() == 0 => Reply::call("effects__look", &json!({"key": rest})),
        "effect" if turn.round() == 1 => Reply::call("effects__effect", &json!({"key": rest})),
        "effect" => Reply::text(&format!("did effect {rest}")),
        "fail" => Reply::Status(400, "{}".to_owned()),
        "recall" => Reply::text(&format!("First I read: {}", recalled(turn))),
        "play" => play(rest, turn.round(), gate),
        _ => Reply::text(&format!("I heard: {said}")),
    }
}

/// What the small model calls a chat: its first words.
fn title(asked: &str) -> String {
    let said = asked.trim_start_matches("<question>");
    let words: Vec<&str> =
        said.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("About {}", words[..words.len().min(4)].join(" "))
}

/// What the small model makes of a passage: what the person said in it. It writes none of one that says `fail`.
fn summary(passage: &str) -> Reply {
    let said = passage.split("<said by=\"user\"").skip(1).filter_map(|said| said.lines().nth(1));
    let said: Vec<&str> = said.collect();
    if said.contains(&"fail") {
        return Reply::Status(400, "{}".to_owned());
    }
    Reply::text(&format!("**They said:** {}. <img src=x onerror=alert(1)>", said.join("; ")))
}

/// The first that the model reads of a conversation, without marks around it.
fn recalled(turn: &Turn) -> String {
    let first = turn.messages().iter().find(|message| message["role"] == "user");
    let text = first.and_then(|message| message["content"].as_str()).unwrap_or_default();
    text.lines().find(|line| !line.starts_with(['<', '['])).unwrap_or_default().to_owned()
}

/// A journey's own script: for each round of the run a list of pieces, as JSON. A text is streamed, `{"think": "…"}` too;
/// `{"hold": true}` waits for the lever; `{"call": "server__tool", "args": {}}` calls; `{"cut": true}` breaks off;
/// `{"status": 400}` is an answer of the provider's. Behind the last round the model says `played`.
fn play(script: &str, round: usize, gate: &Arc<Semaphore>) -> Reply {
    let rounds: Vec<Vec<Value>> = serde_json::from_str(script).unwrap_or_else(|error| panic!("{script}: {error}"));
    let Some(pieces) = rounds.get(round) else {
        return Reply::text("played");
    };
    if let Some(status) = pieces.first().and_then(|piece| piece["status"].as_u64()) {
        return Reply::Status(u16::try_from(status).unwrap(), "{}".to_owned());
    }
    let piece = |(index, piece): (usize, &Value)| -> Vec<Piece> {
        let text = |name: &str| piece[name].as_str().map(str::to_owned);
        if let Some(said) = piece.as_str() {
            in_pieces(said)
        } else if let Some(thought) = text("think") {
            vec![Piece::Think(thought)]
        } else if let Some(name) = text("call") {
            vec![Piece::Call { id: format!("call_{round}_{index}"), name, arguments: piece["args"].to_string() }]
        } else if piece["cut"] == true {
            vec![Piece::Cut]
        } else {
            vec![Piece::Hold(Arc::clone(gate))]
        }
    };
    Reply::Stream(pieces.iter().enumerate().flat_map(piece).collect())
}

/// As models send it: a few letters at a time, with no regard for what they cut.
fn in_pieces(text: &str) -> Vec<Piece> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(7).map(|piece| Piece::Text(piece.iter().collect())).collect()
}

const MARKDOWN: &str = r#"## Trains to Hamburg

Two of them are **bold** and one is *late*; see `timetable`.

- one
- two with **strong** words

| Leaves | Arrives |
| --- | --- |
| 19:59 | 07:53 |
| 21:12 | 09:37 |

```rust
fn main() {
    println!("hello");
}
```

The end of it.
"#;

/// What an attacker would have a model say. Each line tries to run something, or to tell its server that it was seen.
fn hostile() -> String {
    let corpus = std::fs::read_to_string(root().join("gateway/web/e2e/hostile.md"));
    corpus.unwrap_or_else(|error| panic!("{}: {error}", Path::new("gateway/web/e2e/hostile.md").display()))
}
