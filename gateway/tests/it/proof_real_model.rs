//! A real, if small, model behind a real server (SmolLM2 in llama.cpp), asked through the real binary. Run where the
//! download of the model was to be had; `.ci/run` insists on it.

use std::process::Stdio;
use std::time::Duration;

use adjutant_core::limits;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::binary::{Home, Serving, adjutant};
use super::peers::{Peer, smollm};
use super::server::KEY;
use super::ws_support::{Client, is_custom};

/// It writes a few words a second, and less where others are at work.
const PATIENCE: Duration = Duration::from_secs(180);

async fn serve(home: &Home, model: &Peer) -> Serving {
    let mut command = adjutant(home, &["serve"]);
    command.env("LLM_PROVIDER", "openai").env("LLM_MODEL", "smollm2").env("OPENAI_BASE_URL", model.base("/v1"));
    command.env("LLM_SMALL_MODEL", "openai/smollm2");
    command.env("ASSISTANT_API_KEY", KEY);
    Serving::start(command).await
}

/// What `echo MESSAGE | adjutant chat --json ARGUMENTS` printed: one frame a line.
async fn frames(home: &Home, server: &Serving, arguments: &[&str], message: &str) -> Vec<Value> {
    let mut command = adjutant(home, &["chat", "--json"]);
    command.args(arguments).env("ADJUTANT_URL", format!("http://{}", server.address)).env("ADJUTANT_API_KEY", KEY);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).await.unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The next title that the small model gives a thread.
async fn next_title(client: &mut Client) -> String {
    loop {
        let frame = client.next_within(PATIENCE).await.expect("the thread gets a title");
        if is_custom(&frame, "thread.changed") {
            return frame["event"]["value"]["title"].as_str().unwrap_or_default().to_owned();
        }
    }
}

fn answer(frames: &[Value]) -> String {
    frames.iter().filter_map(|frame| frame["event"]["delta"].as_str()).collect()
}

#[tokio::test]
async fn proof_real_model_a_real_model_answers_through_the_whole_server() {
    let Some(model) = smollm().await else {
        println!("the real model could not be fetched here: nothing was shown with it");
        return;
    };
    let home = Home::new();
    let server = serve(&home, &model).await;
    let mut client = Client::open(server.address.parse().unwrap(), KEY).await;
    let frames = frames(&home, &server, &[], "What is the capital of France?").await;
    let said = answer(&frames);
    let usage = &frames.last().unwrap()["event"]["usage"][0];
    println!("the real model said {said:?}, {usage}");
    assert!(said.contains("Paris"), "{said}");
    assert!(usage["inputTokens"].as_u64() > Some(100) && usage["outputTokens"].as_u64() > Some(0), "{usage}");
    let title = next_title(&mut client).await;
    println!("the real model calls the thread {title:?}");
    assert!(!title.trim().is_empty() && !title.contains('\n'), "{title:?}");
    assert!(title.chars().count() <= limits::MODEL_TITLE_CHARS, "{title:?}");

    let document = home.path().join("trip.txt");
    std::fs::write(&document, "The train to Lisbon leaves at nine o clock from platform four.").unwrap();
    let arguments = ["--file", document.to_str().unwrap()];
    let question = "From which platform does the train to Lisbon leave?";
    let said = answer(&self::frames(&home, &server, &arguments, question).await);
    println!("the real model said of a document {said:?}");
    assert!(said.to_lowercase().contains("four"), "{said}");
    assert_eq!(server.terminate().await, 0);
}
