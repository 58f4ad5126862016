//! Servers that other people wrote, over both transports.

use std::process::Stdio;

use adjutant_core::tool::{Hints, ToolError};
use adjutant_mcp::pool::Bridges;
use futures::future::join_all;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::TaskTracker;

use crate::support::{CEILING, bridges, call, list, names, patient, peer, scope, text};

/// A peer that prints `ready PORT`. Dropping it ends it.
pub(crate) struct Peer {
    pub(crate) url: String,
    child: Child,
    _tasks: TaskTracker,
}

pub(crate) async fn start(runtime: &str, script: &str) -> Peer {
    let script = format!("{}/../../../tests/peers/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(peer(runtime));
    command.args([&script, "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("the peer starts");
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let ready = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(port) = line.strip_prefix("ready ") {
                return port.to_owned();
            }
        }
        panic!("the peer {script} ended before it was ready");
    };
    let port = tokio::time::timeout(CEILING * 2, ready).await.expect("the peer becomes ready");
    // A peer that can no longer print ends.
    let tasks = TaskTracker::new();
    tasks.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Peer { url: format!("http://127.0.0.1:{port}/mcp"), child, _tasks: tasks }
}

/// As the peer shows a header: a credential as it is would be taken out of the reply.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// What server-everything can do, whatever the transport.
async fn everything(bridges: &Bridges) {
    let catalogue = list(bridges, "anna").await;
    assert_eq!(catalogue.troubles, []);
    assert!(names(&catalogue).contains(&"e__echo") && catalogue.tools.len() >= 10, "{:?}", names(&catalogue));
    assert_eq!(text(bridges, "anna", "e", "echo", json!({"message": "grüße"})).await, "Echo: grüße");
    let image = text(bridges, "anna", "e", "get-tiny-image", json!({})).await;
    assert!(image.contains("[image, image/png, about "), "{image}");
    let structured = text(bridges, "anna", "e", "get-structured-content", json!({"location": "Chicago"})).await;
    assert!(structured.contains("temperature"), "{structured}");
    let owner = scope("anna").owner();
    let resources = bridges.resources(&owner, "e").await.expect("a server").expect("a list");
    assert!(!resources.is_empty());
    let read = bridges.read_resource(&owner, "e", &resources[0].uri).await.expect("a server").expect("a resource");
    assert!(read[0].text.is_some() || read[0].blob.is_some(), "{read:?}");
    // The same for a model, as a tool that is ours.
    assert!(names(&catalogue).contains(&"e__read_resource"));
    let listed = text(bridges, "anna", "e", "resources/read", json!({})).await;
    assert!(listed.contains(&resources[0].uri), "{listed}");
    let read = text(bridges, "anna", "e", "resources/read", json!({"uri": resources[0].uri})).await;
    assert!(!read.is_empty());
    let none = call(bridges, "anna", "e", "resources/read", json!({"uri": "no:such"})).await.expect("a reply");
    assert!(none.is_error);
    let prompts = bridges.prompts(&owner, "e").await.expect("a server").expect("a list");
    let plain = prompts.iter().find(|prompt| prompt.arguments.iter().all(|argument| !argument.required));
    let name = &plain.expect("a prompt without arguments").name;
    let prompt = bridges.get_prompt(&owner, "e", name, Map::new()).await.expect("a server").expect("a prompt");
    assert!(!prompt[0].text.is_empty() && prompt[0].role == "user", "{prompt:?}");
    let wrong = call(bridges, "anna", "e", "echo", json!({"message": 1})).await;
    let refused = matches!(&wrong, Err(ToolError::Refused(_))) || wrong.as_ref().is_ok_and(|reply| reply.is_error);
    assert!(refused, "{wrong:?}");
}

#[tokio::test]
async fn everything_over_stdio() {
    let bridges = bridges(&json!({"e": {"command": peer("bin/mcp-server-everything")}}), patient());
    everything(&bridges).await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn everything_over_http() {
    let peer = start("bin/node", "everything.mjs").await;
    let bridges = bridges(&json!({"e": {"url": peer.url}}), patient());
    everything(&bridges).await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn the_time_server_in_every_lifecycle() {
    for lifecycle in ["auto", "initialize", "stateless"] {
        let server = json!({"command": peer("bin/mcp-server-time"), "lifecycle": lifecycle});
        let bridges = bridges(&json!({"time": server}), patient());
        assert_eq!(
            names(&list(&bridges, "anna").await),
            ["time__convert_time", "time__get_current_time"],
            "{lifecycle}"
        );
        let time = text(&bridges, "anna", "time", "get_current_time", json!({"timezone": "Europe/Berlin"})).await;
        assert!(time.contains("Europe/Berlin"), "{lifecycle}: {time}");
        bridges.shutdown().await;
    }
}

#[tokio::test]
async fn headers_of_two_configurations_are_never_mixed() {
    let peer = start("bin/python", "fastmcp_headers.py").await;
    for lifecycle in ["initialize", "stateless"] {
        let of = |user: &str| {
            let headers = json!({"X-User": user, "Authorization": format!("Bearer of-{user}")});
            bridges(&json!({"who": {"url": peer.url, "headers": headers, "lifecycle": lifecycle}}), patient())
        };
        let (alice, bob) = (of("alice"), of("bob"));
        let asked = (0..20).map(|n| {
            let (bridges, user) = if n % 2 == 0 { (&alice, "alice") } else { (&bob, "bob") };
            async move {
                let answer: Value =
                    serde_json::from_str(&text(bridges, user, "who", "whoami", json!({})).await).expect("JSON");
                let authorization = digest(&format!("Bearer of-{user}"));
                assert_eq!(answer, json!({"x-user": digest(user), "authorization": authorization}));
            }
        });
        join_all(asked).await;
        alice.shutdown().await;
        bob.shutdown().await;
    }
}

#[tokio::test]
async fn a_fastmcp_server_keeps_its_hints_and_its_failures() {
    let mut peer = start("bin/python", "fastmcp_headers.py").await;
    let bridges = bridges(&json!({"f": {"url": peer.url}}), patient());
    let catalogue = list(&bridges, "anna").await;
    let hints = |name: &str| catalogue.tools.iter().find(|tool| tool.tool == name).expect("the tool").hints;
    assert_eq!(hints("echo"), Hints { read_only: Some(true), open_world: Some(false), ..Hints::default() });
    assert_eq!(
        hints("append_note"),
        Hints { read_only: Some(false), destructive: Some(true), idempotent: Some(false), ..Hints::default() }
    );
    let failed = call(&bridges, "anna", "f", "fail", json!({"message": "no luck"})).await.expect("a reply");
    assert!(failed.is_error && failed.content.as_str().contains("no luck"), "{failed:?}");
    let huge = call(&bridges, "anna", "f", "huge", json!({"bytes": 1_000_000})).await.expect("a reply");
    assert_eq!((huge.content.as_str().len(), huge.truncated), (adjutant_core::limits::TOOL_RESULT_BYTES, true));
    let flood = call(&bridges, "anna", "f", "huge", json!({"bytes": 20_000_000})).await;
    assert!(matches!(flood, Err(ToolError::Lost(_))), "{flood:?}");
    assert_eq!(text(&bridges, "anna", "f", "echo", json!({"message": "well"})).await, "Echo: well");
    let crashed = call(&bridges, "anna", "f", "crash", json!({})).await;
    assert!(matches!(crashed, Err(ToolError::Lost(_))), "{crashed:?}");
    peer.child.wait().await.expect("its end");
    let gone = call(&bridges, "anna", "f", "echo", json!({"message": "?"})).await;
    assert!(matches!(gone, Err(ToolError::Unavailable(_))), "{gone:?}");
    bridges.shutdown().await;
}
