//! `adjutant init`, on a terminal and off it: what it asks, tries, writes and refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use adjutant_testkit::provider::{Provider, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::binary::{Home, Serving, adjutant, output};
use super::peers::{Peer, aimock};
use super::server::KEY;
use super::terminal::Terminal;

const SECRET: &str = "sk-hunter2hunter2";

fn file(home: &Home) -> PathBuf {
    home.path().join("adjutant.toml")
}

/// `adjutant init`, which finds no Ollama of this machine.
fn init(home: &Home, arguments: &[&str]) -> Command {
    let mut command = adjutant(home, &["init"]);
    command.args(arguments).env("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    command
}

/// Unattended, with the key on standard input.
async fn unattended(home: &Home, arguments: &[&str], key: &str) -> (i32, String, String) {
    let mut command = init(home, &["--yes", "--key-file", "-"]);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

async fn ready() -> Provider {
    Provider::start(|_| Reply::text("ready \u{1b}[2J")).await
}

#[tokio::test]
async fn a_person_answers_and_the_server_starts_with_what_was_written() {
    let provider = ready().await;
    let home = Home::new();
    std::fs::write(file(&home), "# mine\nADJUTANT_LOG = \"warn\" # quiet\n").unwrap();
    std::fs::set_permissions(file(&home), std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut terminal = Terminal::open(&mut init(&home, &[]));
    terminal.until("Number or name: ").await;
    terminal.write("9\n");
    terminal.until("Number or name: ").await;
    terminal.write("compatible\n");
    terminal.until("Its address, such as http://127.0.0.1:8000/v1: ").await;
    terminal.write("nowhere\n");
    terminal.until("That is no address").await;
    terminal.write(&format!("{}\n", provider.base_url()));
    terminal.until("Key (not shown; Enter for none): ").await;
    terminal.write(&format!("wrong\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}{SECRET}\n"));
    terminal.until("1  scripted").await;
    terminal.until("Model, by number or name [scripted]: ").await;
    terminal.write("1\n");
    terminal.until("It works: scripted answered \"ready [2J\"").await;
    terminal.until("adjutant.toml").await;
    assert_eq!(terminal.end().await, Some(0));
    assert!(!terminal.shown().contains("hunter2"), "{}", terminal.shown());
    let text = std::fs::read_to_string(file(&home)).unwrap();
    let expected = format!(
        "# mine\nADJUTANT_LOG = \"warn\" # quiet\nLLM_PROVIDER = \"openai\"\nLLM_MODEL = \"scripted\"\n\
         OPENAI_BASE_URL = \"{}\"\nOPENAI_API_KEY = \"{SECRET}\"\n",
        provider.base_url()
    );
    assert_eq!(text, expected);
    assert_eq!(std::fs::metadata(file(&home)).unwrap().permissions().mode() & 0o777, 0o600);

    // Asked again, Enter keeps every answer, the key among them.
    let mut terminal = Terminal::open(&mut init(&home, &[]));
    for (question, typed) in [
        ("Number or name [compatible]: ", "\n"),
        (&*format!("[{}]: ", provider.base_url()), "\n"),
        ("Enter keeps the one there is): ", "\n"),
        ("[scripted]: ", "\n"),
    ] {
        terminal.until(question).await;
        terminal.write(typed);
    }
    assert_eq!(terminal.end().await, Some(0));
    assert_eq!(std::fs::read_to_string(file(&home)).unwrap(), expected);

    let server = Serving::start(adjutant(&home, &["serve"])).await;
    let (_, report, _) = output(adjutant(&home, &["doctor"])).await;
    assert!(report.contains("offers scripted"), "{report}");
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_not_written_unless_the_person_says_so() {
    let provider = Provider::start(|_| Reply::Status(401, "{}".to_owned())).await;
    let home = Home::new();
    let options = ["--provider", "compatible", "--base-url", &provider.base_url(), "--model", "m"];
    let mut terminal = Terminal::open(&mut init(&home, &options));
    terminal.until("Enter for none): ").await;
    terminal.write("\n");
    terminal.until("It does not work: ").await;
    terminal.until("a = answer again, w = write it all the same, Enter = leave: ").await;
    terminal.write("\n");
    assert_eq!(terminal.end().await, Some(130));
    assert!(!file(&home).exists());

    let mut terminal = Terminal::open(&mut init(&home, &options));
    terminal.until("): ").await;
    terminal.write("\u{3}");
    assert_eq!(terminal.end().await, Some(130), "Ctrl-C in the key: {}", terminal.shown());
    assert!(!file(&home).exists());

    let (code, stdout, stderr) = unattended(&home, &options, SECRET).await;
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("nothing was written") && !stderr.contains("hunter2"), "{stderr}");
    assert!(!file(&home).exists());

    let mut terminal = Terminal::open(&mut init(&home, &options));
    terminal.until("): ").await;
    terminal.write("\n");
    terminal.until("Enter = leave: ").await;
    terminal.write("w\n");
    assert_eq!(terminal.end().await, Some(0));
    assert!(file(&home).exists());
}

#[tokio::test]
async fn nobody_is_asked_off_a_terminal() {
    let provider = ready().await;
    let home = Home::new();
    let (code, stdout, stderr) = output(init(&home, &[])).await;
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("--yes") && stderr.contains("--key-file"), "{stderr}");
    for (options, missing) in [
        (&["--yes"][..], "--provider"),
        (&["--yes", "--provider", "compatible"], "--base-url"),
        (&["--yes", "--provider", "openai", "--model", "m"], "OPENAI_API_KEY_FILE"),
        (&["--yes", "--provider", "compatible", "--base-url", "http://127.0.0.1:9/v1"], "--model"),
    ] {
        let (code, _, stderr) = output(init(&home, options)).await;
        assert_eq!(code, 1, "{options:?}");
        assert!(stderr.contains(missing), "{stderr}");
    }
    let base = provider.base_url();
    let options = ["--provider", "compatible", "--base-url", &base, "--model", "scripted"];
    let (code, stdout, stderr) = unattended(&home, &options, &format!("{SECRET}\n")).await;
    assert_eq!((code, stdout.trim()), (0, file(&home).to_str().unwrap()), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
    // What is there already need not be said again.
    let (code, _, stderr) = output(init(&home, &["--yes", "--model", "other"])).await;
    assert_eq!(code, 0, "{stderr}");
    let text = std::fs::read_to_string(file(&home)).unwrap();
    assert!(text.contains("LLM_MODEL = \"other\"") && text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn what_the_environment_says_is_neither_copied_nor_overruled_in_silence() {
    let provider = ready().await;
    let home = Home::new();
    let base = provider.base_url();
    let options = ["--yes", "--provider", "compatible", "--base-url", &base, "--model", "scripted"];
    let mut command = init(&home, &options);
    command.env("LLM_MODEL", "another");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("LLM_MODEL in the environment would overrule"), "{stderr}");
    assert!(!file(&home).exists());

    let mut command = init(&home, &options);
    command.env("OPENAI_API_KEY", SECRET).env("OPENAI_BASE_URL", &base);
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 0, "{stderr}");
    let text = std::fs::read_to_string(file(&home)).unwrap();
    assert_eq!(text, "LLM_PROVIDER = \"openai\"\nLLM_MODEL = \"scripted\"\n");
}

#[tokio::test]
async fn a_broken_file_is_not_touched() {
    let home = Home::new();
    std::fs::write(file(&home), "OPENAI_API_KEY = sk-hunter2\n").unwrap();
    let (code, _, stderr) = output(init(&home, &["--yes", "--provider", "openai", "--model", "m"])).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("line 1") && !stderr.contains("hunter2"), "{stderr}");
    assert_eq!(std::fs::read_to_string(file(&home)).unwrap(), "OPENAI_API_KEY = sk-hunter2\n");
}

/// The scripted model of others, which speaks every provider's format, and answers the trial.
async fn ready_peer() -> Peer {
    let peer = aimock().await;
    let fixture = json!({"fixtures": [{"match": {"userMessage": "Say: ready"}, "response": {"content": "ready"}}]});
    tell(&peer, "/__aimock/fixtures", &fixture).await;
    peer
}

async fn tell(peer: &Peer, path: &str, body: &Value) {
    let answer = reqwest::Client::new().post(peer.base(path)).json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

/// Which paths were asked.
async fn asked(peer: &Peer) -> Vec<String> {
    let journal: Vec<Value> = reqwest::get(peer.base("/__aimock/journal")).await.unwrap().json().await.unwrap();
    journal.iter().filter_map(|entry| entry["path"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn anthropic_and_ollama_are_tried_in_their_own_format_before_they_are_written() {
    let peer = ready_peer().await;
    for (provider, base, path, setting) in [
        ("anthropic", peer.base("/v1"), "/v1/messages", "ANTHROPIC_BASE_URL"),
        ("ollama", peer.base(""), "/api/chat", "OLLAMA_BASE_URL"),
    ] {
        let home = Home::new();
        let key = home.path().join("key");
        std::fs::write(&key, format!("{SECRET}\n")).unwrap();
        let options = ["--provider", provider, "--base-url", &base, "--model", "some-model"];
        let unattended = async |home: &Home, options: &[&str]| {
            // The address of Ollama is not that of the environment here.
            let mut command = adjutant(home, &["init", "--yes"]);
            command.args(options);
            if provider == "anthropic" {
                command.arg("--key-file").arg(&key);
            }
            output(command).await
        };
        tell(&peer, "/__aimock/error", &json!({"status": 401, "body": {"message": "invalid x-api-key"}})).await;
        let (code, stdout, stderr) = unattended(&home, &options).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{provider}: {stderr}");
        assert!(stderr.contains("nothing was written") && stderr.contains("key"), "{provider}: {stderr}");
        assert!(!file(&home).exists() && !stderr.contains("hunter2"), "{provider}: {stderr}");

        let away = ["--provider", provider, "--base-url", "http://127.0.0.1:1", "--model", "some-model"];
        let (code, _, stderr) = unattended(&home, &away).await;
        assert_eq!(code, 1, "{provider}: {stderr}");
        assert!(stderr.contains("nothing was written") && !file(&home).exists(), "{provider}: {stderr}");

        // Other settings, and words of the operator, stay as they are.
        std::fs::write(file(&home), "# mine\nADJUTANT_LOG = \"warn\"\n").unwrap();
        let (code, _, stderr) = unattended(&home, &options).await;
        assert_eq!(code, 0, "{provider}: {stderr}");
        assert!(stderr.contains("It works: some-model answered \"ready\""), "{provider}: {stderr}");
        assert!(asked(&peer).await.iter().any(|asked| asked.starts_with(path)), "{provider}: {:?}", asked(&peer).await);
        let secret =
            if provider == "anthropic" { format!("ANTHROPIC_API_KEY = \"{SECRET}\"\n") } else { String::new() };
        let expected = format!(
            "# mine\nADJUTANT_LOG = \"warn\"\nLLM_PROVIDER = \"{provider}\"\nLLM_MODEL = \"some-model\"\n{setting} = \"{base}\"\n{secret}"
        );
        assert_eq!(std::fs::read_to_string(file(&home)).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_ollama_that_nobody_configured_is_found_offered_and_answers() {
    let peer = ready_peer().await;
    let base = peer.base("");
    let found = |home: &Home, arguments: &[&str]| {
        let mut command = adjutant(home, arguments);
        command.env("OLLAMA_BASE_URL", &base);
        command
    };
    let home = Home::new();
    let mut terminal = Terminal::open(&mut found(&home, &["init"]));
    terminal.until("Ollama on this machine (found, with ").await;
    terminal.until("Number or name [ollama]: ").await;
    terminal.write("\n");
    terminal.until("   1  ").await;
    terminal.until("Model, by number or name").await;
    terminal.write("1\n");
    terminal.until("It works: ").await;
    assert_eq!(terminal.end().await, Some(0), "{}", terminal.shown());
    let text = std::fs::read_to_string(file(&home)).unwrap();
    assert!(text.starts_with("LLM_PROVIDER = \"ollama\"\nLLM_MODEL = "), "{text}");

    // Without any file the server finds it by itself.
    let home = Home::new();
    let mut command = found(&home, &["serve"]);
    command.env("ASSISTANT_API_KEY", KEY);
    let server = Serving::start(command).await;
    let mut chat = adjutant(&home, &["chat", "hello"]);
    chat.env("ADJUTANT_URL", format!("http://{}", server.address)).env("ADJUTANT_API_KEY", KEY);
    let (code, said, talk) = output(chat).await;
    assert_eq!(code, 0, "{talk}");
    assert!(said.starts_with("Good to hear from you."), "{said}");
    assert!(asked(&peer).await.iter().any(|asked| asked.starts_with("/api/chat")));
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn who_leaves_in_the_middle_leaves_the_file_as_it_was() {
    let provider = ready().await;
    let home = Home::new();
    let before = "LLM_PROVIDER = \"openai\"\nLLM_MODEL = \"scripted\"\nOPENAI_BASE_URL = \"http://127.0.0.1:9/v1\"\n";
    std::fs::write(file(&home), before).unwrap();
    let base = provider.base_url();
    // Each question in turn: Enter or an answer up to there, then the end of the input, or Ctrl-C.
    let answers = [
        ("Number or name", "compatible\n"),
        ("Its address", &*format!("{base}\n")),
        ("Key (", "\n"),
        ("Model, by", ""),
    ];
    for stop in 0..answers.len() {
        for key in ["\u{4}", "\u{3}"] {
            let mut terminal = Terminal::open(&mut init(&home, &[]));
            for (question, typed) in &answers[..stop] {
                terminal.until(question).await;
                terminal.until(": ").await;
                terminal.write(typed);
            }
            terminal.until(answers[stop].0).await;
            terminal.until(": ").await;
            let in_secret = answers[stop].0.starts_with("Key");
            match key {
                // The end of input in a secret is Enter.
                "\u{4}" if in_secret => terminal.write("\u{3}"),
                "\u{3}" if !in_secret => terminal.interrupt(),
                _ => terminal.write(key),
            }
            let code = terminal.end().await;
            assert!(matches!(code, None | Some(130)), "{stop} {key:?} {code:?}: {}", terminal.shown());
            assert_eq!(std::fs::read_to_string(file(&home)).unwrap(), before, "{stop} {key:?}");
        }
    }
}
