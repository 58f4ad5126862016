//! Somebody who allows a tool of their own server for good, uses it unasked, and takes that back.

use std::sync::Arc;

use serde_json::json;

use crate::proof_crash::aim::{Moment, Random};
use crate::proof_crash::arena::Arena;
use crate::proof_crash::client::Client;
use crate::proof_crash::referee::{Decision, Rule};

/// The server of the person whose messages begin like this one: `h1` of `h1m7`.
pub(super) fn server_of(word: &str) -> String {
    format!("own{}", word.split('m').next().unwrap_or_default())
}

pub(in crate::proof_crash) async fn work(arena: Arc<Arena>, name: String, random: Random) {
    let mut client = Client::new(arena, random);
    let server = server_of(&name);
    let mut is_free = false;
    for number in 1.. {
        if client.arena.is_over() {
            check(&client, &server, is_free).await;
            return;
        }
        check(&client, &server, is_free).await;
        if is_free && client.random.one_in(3) {
            revoke(&client, &server).await;
            is_free = false;
            check(&client, &server, is_free).await;
        }
        let id = format!("{name}m{number}");
        let key = format!("{id}c");
        let decision = match client.random.below(4) {
            0 => Decision::Once,
            1 => Decision::Deny,
            _ => Decision::Always,
        };
        client.arena.referee.expect(key.clone(), if is_free { Rule::Free } else { Rule::Asks(decision) });
        let frame = json!({"type": "run.submit", "clientMessageId": id, "content": id});
        client.converse(frame, Moment::Message).await;
        if !is_free && decision == Decision::Always {
            is_free = match client.arena.referee.words(&key) {
                (_, true) => true,
                (false, false) => false,
                // Said, and the run ended before the answer came: it may have arrived.
                (true, false) => is_allowed(&client, &server).await,
            };
        }
    }
}

/// What was acknowledged last holds.
async fn check(client: &Client, server: &str, is_free: bool) {
    let listed = is_allowed(client, server).await;
    let referee = &client.arena.referee;
    referee.check(listed || !is_free, || format!("the tool of {server} was allowed for good, and that is lost"));
    referee.check(!listed || is_free, || {
        format!("the tool of {server} is allowed for good, and that was never said or taken back")
    });
}

async fn is_allowed(client: &Client, server: &str) -> bool {
    let all = client.arena.all("/api/consents").await;
    all.iter().any(|consent| consent["server"] == server && consent["tool"] == "effect")
}

async fn revoke(client: &Client, server: &str) {
    let answer = client.arena.call("DELETE", &format!("/api/consents/{server}/effect"), None).await;
    client.arena.see(Moment::Decision);
    let done = answer.is_done(204, 404);
    client.arena.referee.check(done, || format!("the consent for {server} could not be taken back: {answer:?}"));
}
