//! One server that others wrote, two users with two profiles each, 10,000 calls at once with shuffled delays: every
//! session counts its requests from the same number, so that equal ids are on their way all the time.

use adjutant_core::tool::{ToolRequest, ToolSource};
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::book::{Book, own};
use crate::peers::{digest, start};
use crate::support::{CEILING, of, parsed, patient, request};

const CALLS: u64 = 10_000;
const AT_ONCE: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_headers_of_two_users_and_two_profiles_are_never_mixed() {
    let peer = start("bin/python", "fastmcp_headers.py").await;
    let book = Book::default();
    let scopes = [("alice", "personal"), ("alice", "work"), ("bob", "personal"), ("bob", "work")];
    let secret = |user: &str, profile: &str| format!("{user}-of-{profile}");
    for (user, profile) in scopes {
        let secret = secret(user, profile);
        let authorization = format!("Bearer {secret}");
        let server = own("who", &peer.url, &[("x-user", &secret), ("authorization", &authorization)]);
        book.write(&of(user, profile).owner(), |page| page.servers.push(server));
    }
    let options = Options { limits: patient(), ..Options::default() };
    let bridges = Bridges::new(parsed(&json!({})), Some(book.directory()), options);
    for (user, profile) in scopes {
        assert!(!bridges.list(&of(user, profile)).await.tools.is_empty());
    }
    // A pseudo-random order, the same in every run.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let plan: Vec<(u64, u64, u64)> = (0..CALLS).map(|number| (number, next() % 4, next() % 20)).collect();
    let done = futures::stream::iter(plan)
        .map(|(number, who, delay)| {
            let (user, profile) = scopes[usize::try_from(who).expect("a small number")];
            let (bridges, expected) = (&bridges, secret(user, profile));
            async move {
                let arguments = json!({"tag": number.to_string(), "delay": delay});
                let request = ToolRequest { timeout: CEILING * 3, ..request("who", "whoami_later", arguments) };
                let reply = bridges.call(&of(user, profile), request).await.expect("a reply");
                let answer: Value = serde_json::from_str(reply.content.as_str()).expect("JSON");
                let authorization = digest(&format!("Bearer {expected}"));
                let wanted =
                    json!({"x-user": digest(&expected), "authorization": authorization, "tag": number.to_string()});
                assert_eq!(answer, wanted, "call {number} of {user} {profile}");
            }
        })
        .buffer_unordered(AT_ONCE)
        .count()
        .await;
    assert_eq!(done as u64, CALLS);
    bridges.shutdown().await;
}
