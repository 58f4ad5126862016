//! The binary is asked to end while a run is going: it drains in order, and ends at once when asked twice.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Provider, Reply};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::binary::{Home, Serving, adjutant};
use super::server::{KEY, soon};
use super::ws_support::{Client, PATIENCE, ends_run, is, text_of};

fn tell(server: &Serving, signal: Signal) {
    let pid = Pid::from_raw(server.child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn serve(home: &Home, provider: &Provider) -> Serving {
    let mut command = adjutant(home, &["serve"]);
    command.env("LLM_PROVIDER", "openai").env("LLM_MODEL", "scripted").env("OPENAI_BASE_URL", provider.base_url());
    command.env("ASSISTANT_API_KEY", KEY);
    Serving::start(command).await
}

#[tokio::test]
async fn a_second_signal_ends_a_server_that_drains_at_once_and_its_run_goes_on_at_the_next_start() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let provider = Provider::start(move |_| {
        let (before, after) = (Piece::Text("before ".to_owned()), Piece::Text("after".to_owned()));
        Reply::Stream(vec![before, Piece::Hold(Arc::clone(&gate)), after])
    })
    .await;
    let home = Home::new();
    let mut server = serve(&home, &provider).await;
    let mut client = Client::open(server.address.parse().unwrap(), KEY).await;
    client.say(None, "one", "hello").await;
    let frames = client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap().to_owned();
    tell(&server, Signal::TERM);
    soon("it accepts no more", async || TcpStream::connect(&server.address).await.is_err()).await;
    tell(&server, Signal::TERM);
    let ended = timeout(std::time::Duration::from_secs(2), server.child.wait()).await.expect("at once").unwrap();
    assert_eq!(ended.code(), Some(1));

    hold.add_permits(100);
    let server = serve(&home, &provider).await;
    let mut client = Client::open(server.address.parse().unwrap(), KEY).await;
    client.resume(&thread, 0).await;
    let frames: Vec<Value> = timeout(PATIENCE, client.until(ends_run)).await.expect("the run goes on");
    assert_eq!(frames.last().unwrap()["event"]["outcome"], json!({"type": "success"}));
    assert!(text_of(&frames).ends_with("before after"), "{}", text_of(&frames));
    assert_eq!(server.terminate().await, 0);
}
