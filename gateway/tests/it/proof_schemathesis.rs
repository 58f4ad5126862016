//! Whatever fits the OpenAPI document, and much that does not, sent to the real routes by schemathesis: no answer of 5xx,
//! and nothing that the document does not say.

use std::process::Stdio;
use std::time::Duration;

use adjutant_core::scope::Role;
use adjutant_testkit::provider::Reply;
use tokio::process::Command;
use tokio::time::timeout;

use crate::peers::peer;
use crate::ws_support::House;

const CEILING: Duration = Duration::from_secs(240);
const EXAMPLES: &str = "6";
/// What is not checked, and why. `positive_data_acceptance`: what fits a schema may still name a thread that is not
/// there, or say nothing. `negative_data_rejection`: fields that nobody reads are skipped, not refused, as clients of
/// later versions send them. `ignored_auth`: it tries a wrong key at each route, and there are more routes than wrong keys
/// that one address may try; `keys` does the same.
const UNCHECKED: &str = "positive_data_acceptance,negative_data_rejection,ignored_auth";

#[tokio::test]
async fn nothing_that_is_sent_to_a_documented_route_breaks_the_server_or_the_document() {
    let house = House::new(|_| Reply::text("hello")).await;
    // Not an admin: what is thrown at the routes must not take the key away.
    let key = house.server.key("owner", "*", Role::Personal).await;
    let run = Command::new(peer("bin/schemathesis"))
        .args(["run", &house.server.url("/api/openapi.json"), "--header", &format!("X-API-Key: {}", key.secret)])
        .args(["--mode", "all", "--checks", "all", "--exclude-checks", UNCHECKED, "--continue-on-failure"])
        .args(["--max-examples", EXAMPLES, "--seed", "1", "--phases", "examples,coverage,fuzzing"])
        .args([
            "--workers",
            "1",
            "--request-timeout",
            "60",
            "--no-shrink",
            "--no-color",
            "--generation-database",
            "none",
        ])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let run = timeout(CEILING, run.wait_with_output()).await.expect("schemathesis ends").unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let summary = said.rfind("= SUMMARY").map_or(&*said, |at| &said[at..]);
    println!("{summary}");
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    house.server.stop().await;
}
