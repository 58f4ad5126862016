//! `adjutant init`, on a terminal and off it: what it asks, tries, writes and refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use adjutant_testkit::provider::{Provider, Reply};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::binary::{Home, Serving, adjutant, output};
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
