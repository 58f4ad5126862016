//! Against aimock, a scripted provider that others wrote. `tests/peers/install` puts it into place;
//! its lines are in `tests/peers/aimock`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use adjutant_core::ids::ToolCallId;
use adjutant_core::message::{ForeignText, OutcomeKind, Part, Role, ToolCallPart, ToolResultPart};
use adjutant_core::model::{LlmClient, ModelAnswer, ModelErrorKind, ModelRequest, StopReason, Usage};
use adjutant_llm::router::Router;
use adjutant_llm::settings::{Provider, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{SHORT, alone, ask, message, read, settings, soon, tell};

struct Peer {
    base_url: String,
    _process: Child,
}

impl Peer {
    async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
        let peers = std::env::var_os("ADJUTANT_PEERS_DIR").map_or_else(|| root.join(".peers"), PathBuf::from);
        let node = peers.join("bin/node");
        let program = peers.join("node_modules/@copilotkit/aimock/dist/cli.js");
        for file in [&node, &program] {
            assert!(file.exists(), "{} is missing: run tests/peers/install", file.display());
        }
        let mut process = Command::new(node)
            .arg(program)
            .args(["-p", "0", "-c", "6", "--strict", "-f"])
            .arg(root.join("tests/peers/aimock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = soon(async {
            loop {
                let line = lines.next_line().await.unwrap().expect("aimock says where it listens");
                if let Some((_, address)) = line.split_once("listening on ") {
                    return address.to_owned();
                }
            }
        })
        .await;
        // Its later lines must have somewhere to go.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { base_url: format!("{address}/v1"), _process: process }
    }

    fn speaking(&self, provider: Provider) -> Router {
        let base_url = match provider {
            Provider::Ollama => self.base_url.trim_end_matches("/v1").to_owned(),
            Provider::OpenAi | Provider::Anthropic => self.base_url.clone(),
        };
        alone(Settings { provider, ..settings(&base_url) })
    }

    fn client(&self) -> Router {
        alone(settings(&self.base_url))
    }
}

fn calls(answer: &ModelAnswer) -> Vec<(&str, &str, Value)> {
    answer
        .calls
        .iter()
        .map(|call| (call.provider_id.as_str(), call.name.as_str(), call.arguments.clone().unwrap()))
        .collect()
}

/// The request that follows an answer whose calls have all been made.
fn with_results(mut request: ModelRequest, answer: &ModelAnswer) -> ModelRequest {
    let mut parts: Vec<Part> = answer.thinking.iter().cloned().map(Part::Thinking).collect();
    parts.push(Part::text(&answer.text));
    let mut results = Vec::new();
    for call in &answer.calls {
        let (id, provider_id, name) = (ToolCallId::new(), call.provider_id.clone(), call.name.clone());
        let arguments = call.arguments.clone().unwrap();
        parts.push(Part::ToolCall(ToolCallPart {
            id,
            provider_id: provider_id.clone(),
            name: name.clone(),
            arguments,
        }));
        let content = ForeignText::new("ok");
        let outcome = OutcomeKind::Succeeded;
        results.push(Part::ToolResult(ToolResultPart {
            call_id: id,
            provider_id,
            name,
            outcome,
            content,
            truncated: false,
        }));
    }
    request.messages.push(message(Role::Assistant, parts));
    request.messages.push(message(Role::Tool, results));
    request
}

#[tokio::test]
async fn the_peers_answers_arrive_whole() {
    let peer = Peer::start().await;
    let client = peer.client();
    let hello = tell(&client, "hello").await.answer();
    assert!(hello.text.starts_with("Good to hear from you.") && hello.text.contains("the cat 🐈 are here"));
    assert_eq!((hello.stop, hello.calls.len(), hello.model.as_str()), (StopReason::Finished, 0, "scripted"));
    let counted = tell(&client, "count my tokens").await.answer();
    assert_eq!(counted.usage, Usage { input_tokens: 1200, output_tokens: 34, ..Usage::default() });
    assert_eq!(tell(&client, "run out of tokens").await.answer().stop, StopReason::Length);
    assert_eq!(tell(&client, "refuse me").await.answer().stop, StopReason::Filtered);
    assert_eq!(tell(&client, "think first").await.answer().text, "Thought through.");
}

#[tokio::test]
async fn the_peer_takes_tool_results_over_several_rounds() {
    let peer = Peer::start().await;
    let client = peer.client();

    let request = ask("echo three things");
    let answer = read(client.stream(request.clone())).await.answer();
    let echo = |id, message: &str| (id, "everything__echo", json!({"message": message}));
    assert_eq!(
        calls(&answer),
        [echo("call_echo_one", "one"), echo("call_echo_two", "two"), echo("call_echo_three", "three")]
    );
    let answer = read(client.stream(with_results(request, &answer))).await.answer();
    assert_eq!(answer.text, "Echoed one, two and three.");

    let request = ask("add, then the time");
    let sum = read(client.stream(request.clone())).await.answer();
    assert_eq!(sum.text, "First the sum.");
    assert_eq!(calls(&sum), [("call_sum", "everything__get-sum", json!({"a": 2, "b": 3}))]);
    let request = with_results(request, &sum);
    let clock = read(client.stream(request.clone())).await.answer();
    assert_eq!(calls(&clock), [("call_clock", "time__get_current_time", json!({"timezone": "UTC"}))]);
    let answer = read(client.stream(with_results(request, &clock))).await.answer();
    assert_eq!((answer.text.as_str(), answer.calls.len()), ("Two and three are five, and the clock has answered.", 0));
}

#[tokio::test]
async fn the_peers_faults_have_their_kinds() {
    let peer = Peer::start().await;
    let mut settings = settings(&peer.base_url);
    settings.tries = 2;
    settings.timeouts.retry_after_max = SHORT;
    settings.timeouts.first_byte = 4 * SHORT;
    settings.timeouts.idle = 4 * SHORT;
    let client = alone(settings);
    let cases = [
        ("always rate limited", ModelErrorKind::RateLimited),
        ("always failing", ModelErrorKind::Unavailable),
        ("overloaded", ModelErrorKind::Unavailable),
        ("key refused", ModelErrorKind::Unauthorized),
        ("model unknown", ModelErrorKind::Refused),
        ("too long for the model", ModelErrorKind::Refused),
        ("cut off early", ModelErrorKind::Truncated),
        ("cut off in a call", ModelErrorKind::Truncated),
        ("hang up at once", ModelErrorKind::Unavailable),
        ("garbled", ModelErrorKind::Garbled),
        ("late first byte", ModelErrorKind::TimedOut),
        ("stop in the middle", ModelErrorKind::TimedOut),
    ];
    for (words, kind) in cases {
        let told = tell(&client, words).await;
        assert_eq!(told.end.as_ref().map_err(|error| error.kind), Err(kind), "{words}: {:?}", told.relayed);
    }
}

#[tokio::test]
async fn the_peer_passes_the_check() {
    let peer = Peer::start().await;
    assert!(peer.client().check().await.remove(0).sentence().starts_with("the model provider answers"));
}

#[tokio::test]
async fn the_peer_speaks_the_other_formats_too() {
    let peer = Peer::start().await;
    for provider in [Provider::Anthropic, Provider::Ollama] {
        let client = peer.speaking(provider);
        let hello = tell(&client, "hello").await.answer();
        assert!(hello.text.contains("the cat 🐈 are here"), "{provider:?}");
        let thought = tell(&client, "think first").await;
        assert_eq!(thought.end.as_ref().unwrap().text, "Thought through.", "{provider:?}");
        // The peer's Ollama keeps its thinking to itself.
        if provider == Provider::Anthropic {
            assert_eq!(thought.thought, "Let me think about this. It is a test.");
            assert!(thought.answer().thinking[0].signature.is_some(), "the peer signs what it thinks");
        }
        let request = ask("echo three things");
        let answer = read(client.stream(request.clone())).await.answer();
        let messages: Vec<_> = answer.calls.iter().map(|call| call.arguments.clone().unwrap()).collect();
        let echo = |message: &str| json!({"message": message});
        assert_eq!(messages, [echo("one"), echo("two"), echo("three")], "{provider:?}");
        let answer = read(client.stream(with_results(request, &answer))).await.answer();
        assert_eq!(answer.text, "Echoed one, two and three.", "{provider:?}");
        assert!(client.check().await.remove(0).said.is_ok(), "{provider:?}");
        for (words, kind) in [
            ("key refused", ModelErrorKind::Unauthorized),
            ("model unknown", ModelErrorKind::Refused),
            ("overloaded", ModelErrorKind::Unavailable),
            ("cut off early", ModelErrorKind::Truncated),
            ("cut off in a call", ModelErrorKind::Truncated),
        ] {
            // A call of Ollama's comes in one line, which the peer does not cut.
            if (provider, words) == (Provider::Ollama, "cut off in a call") {
                continue;
            }
            assert_eq!(tell(&client, words).await.kind(), kind, "{provider:?} {words}");
        }
    }
}
