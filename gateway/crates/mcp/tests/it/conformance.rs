//! The judgement of the official conformance suite on our bridges: every core scenario of its client suite but those
//! on the checked-in list.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::peer;

#[tokio::test]
async fn proof_the_bridges_pass_the_conformance_suite_but_for_the_list() {
    // Beside this test's own binary, where cargo puts examples.
    let own = std::env::current_exe().expect("this binary");
    let probe = own.parent().and_then(|deps| deps.parent()).expect("a target folder").join("examples/conformance");
    assert!(probe.exists(), "build it first: cargo build -p adjutant-mcp --example conformance");
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance-client.yml");
    let folder = std::env::temp_dir().join(format!("adjutant-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the results");
    let mut suite = Command::new(peer("bin/mcp-conformance"));
    suite.args(["client", "--suite", "core", "--expected-failures", list, "--command"]).arg(&probe);
    suite.current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(240), suite.output()).await.expect("its end").expect("it runs");
    let _ = std::fs::remove_dir_all(&folder);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for scenario in ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"] {
        assert!(said.contains(scenario), "{scenario} was not tried: {said}");
    }
}
