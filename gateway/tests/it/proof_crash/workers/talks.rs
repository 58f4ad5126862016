//! Somebody who talks, and allows or denies each call that asks.

use std::sync::Arc;

use serde_json::json;

use crate::proof_crash::aim::{Moment, Random};
use crate::proof_crash::arena::Arena;
use crate::proof_crash::client::Client;
use crate::proof_crash::referee::{Decision, Rule};

pub(in crate::proof_crash) async fn work(arena: Arc<Arena>, name: String, random: Random) {
    let mut client = Client::new(arena, random);
    let mut thread = None;
    for number in 1.. {
        if client.arena.is_over() {
            return;
        }
        // A fresh thread now and then: otherwise the thread's older tool results make all tools ask.
        if number % 3 == 1 {
            thread = None;
        }
        let id = format!("{name}m{number}");
        let decision = if client.random.one_in(3) { Decision::Deny } else { Decision::Once };
        client.arena.referee.expect(format!("{id}a"), Rule::MayAsk(Decision::Once));
        client.arena.referee.expect(format!("{id}c"), Rule::Asks(decision));
        let frame = json!({"type": "run.submit", "clientMessageId": id, "threadId": thread, "content": id});
        thread = client.converse(frame, Moment::Message).await.map(|ack| ack.thread);
    }
}
