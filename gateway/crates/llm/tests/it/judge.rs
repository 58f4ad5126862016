//! Against llmock, a second provider that others wrote: it breaks its streams and judges its client.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use adjutant_core::model::ModelErrorKind;
use adjutant_llm::settings::{Provider, Settings};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::support::{alone, settings, soon, tell};

struct Judge {
    program: PathBuf,
    port: u16,
    _process: Child,
}

impl Judge {
    async fn start(arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
        let peers = std::env::var_os("ADJUTANT_PEERS_DIR").map_or_else(|| root.join(".peers"), PathBuf::from);
        let program = peers.join("bin/llmock");
        assert!(program.exists(), "{} is missing: run tests/peers/install", program.display());
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(&program)
            .args(["serve", "-p", &port.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        soon(async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self { program, port, _process: process }
    }

    fn settings(&self, provider: Provider) -> Settings {
        let path = if provider == Provider::Anthropic { "anthropic/v1" } else { "v1" };
        Settings { provider, model: "m".to_owned(), ..settings(&format!("http://127.0.0.1:{}/{path}", self.port)) }
    }

    /// What it thinks of its client.
    async fn verdict(&self) -> (bool, String) {
        let url = format!("http://127.0.0.1:{}", self.port);
        let told = Command::new(&self.program).args(["report", "--url", &url, "--strict"]).output().await.unwrap();
        (told.status.success(), String::from_utf8_lossy(&told.stdout).into_owned())
    }
}

#[tokio::test]
async fn the_judges_broken_streams_are_failed_calls_in_both_formats() {
    use ModelErrorKind::{Garbled, TimedOut, Truncated, Unavailable};
    for (fault, kinds) in [
        ("disconnect", &[Truncated, Unavailable][..]),
        ("truncate", &[Truncated]),
        ("stall", &[TimedOut]),
        ("malformed", &[Garbled, Truncated]),
    ] {
        let judge = Judge::start(&["--stream-fault", &format!("{fault}=1.0")]).await;
        for provider in [Provider::OpenAi, Provider::Anthropic] {
            let mut settings = judge.settings(provider);
            settings.tries = 1;
            settings.timeouts.idle = std::time::Duration::from_millis(800);
            let told = tell(&alone(settings), "hello").await;
            let kind = told.end.as_ref().map(|answer| answer.text.clone()).map_err(|error| error.kind);
            assert!(kind.as_ref().is_err_and(|kind| kinds.contains(kind)), "{fault} {provider:?}: {kind:?}");
        }
    }
}

#[tokio::test]
async fn the_judge_finds_nothing_wrong_with_a_client_that_meets_failing_servers() {
    let judge = Judge::start(&["--error-rate", "503=0.3"]).await;
    for provider in [Provider::OpenAi, Provider::Anthropic] {
        let client = alone(judge.settings(provider));
        for _ in 0..6 {
            // Now and then all tries meet an error.
            let _ = tell(&client, "hello").await;
        }
    }
    let (passed, report) = judge.verdict().await;
    assert!(passed, "{report}");
}
