//! How sockets end: slow readers, revoked keys, a server that stops.

use std::sync::Arc;
use std::time::Duration;

use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::server::KEY;
use super::ws_support::{Client, House, ends_run, is};

const PIECES: usize = 14;
const PIECE: usize = 64 * 1024;
const RUNS: usize = 14;

#[tokio::test]
async fn a_slow_reader_is_cut_and_nobody_else_notices() {
    let step = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&step);
    // The next piece comes when the fast reader has the one before: only who reads nothing falls behind.
    let house = House::new(move |_| {
        let piece = || [Piece::Hold(Arc::clone(&gate)), Piece::Text("x".repeat(PIECE))];
        Reply::Stream((0..PIECES).flat_map(|_| piece()).collect())
    })
    .await;
    let mut slow = Client::open_narrow(house.server.address, KEY).await;
    let mut fast = house.owner().await;
    for run in 0..RUNS {
        fast.say(None, &format!("run-{run}"), "hello").await;
        step.add_permits(1);
        for _ in 0..PIECES {
            fast.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
            step.add_permits(1);
        }
        let frames = fast.until(ends_run).await;
        assert!(is(frames.last().unwrap(), "RUN_FINISHED"));
        step.forget_permits(1);
    }
    let mut bytes = 0;
    let code = loop {
        match slow.try_next().await {
            Ok(frame) => bytes += frame.to_string().len(),
            Err(code) => break code,
        }
    };
    assert_eq!(code, 4008);
    assert!(bytes < RUNS * PIECES * PIECE, "it was cut before the end");
    let mut back = house.owner().await;
    assert_eq!(back.arrived().await, [] as [Value; 0]);
}

#[tokio::test]
async fn revoking_a_key_ends_its_sockets_and_no_others() {
    let house = House::new(|_| Reply::text("hello")).await;
    let key = house.server.key("owner", "personal", Role::Personal).await;
    let mut revoked = Client::open(house.server.address, &key.secret).await;
    let mut other = house.owner().await;
    assert_eq!(revoked.arrived().await, [] as [Value; 0]);
    house.server.revoke(&key).await;
    let code = tokio::time::timeout(Duration::from_secs(1), revoked.close_code()).await;
    assert_eq!(code.expect("within a second"), 4001);
    assert!(Client::try_open(house.server.address, "/ws", &[("x-api-key", &key.secret)]).await.is_err());
    assert_eq!(other.arrived().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hello").await;
    client.until(ends_run).await;
    let stopping = tokio::spawn(house.server.stop());
    assert_eq!(client.close_code().await, 1001);
    stopping.await.unwrap();
}

#[tokio::test]
async fn whoever_asks_whether_the_server_is_there_hears_it_also_while_a_request_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let house =
        House::new(move |_| Reply::Stream(vec![Piece::Hold(Arc::clone(&held)), Piece::Text("hi".into())])).await;
    let mut client = house.owner().await;
    client.say(None, "a", "hello").await;
    client.send(json!({"type": "ping"})).await;
    client.until(|frame| frame["type"] == "pong").await;
    gate.add_permits(1);
    client.until(ends_run).await;
}
