//! The official SDKs against our door, with aimock as the model and real MCP servers behind it.
//! `tests/peers/install` puts them into place.

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::peers::{CEILING, aimock, peer, root};
use crate::server::{KEY, TestServer};

/// Runs every check of a script against a server of its own.
async fn every_check_passes(runtime: &str, script: &str) {
    let model = aimock().await;
    let base = model.base("/v1");
    let folder = std::env::temp_dir().join(format!("adjutant-sdk-{}-{script}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("mcp.json");
    let time = json!({"command": peer("bin/mcp-server-time"), "args": []});
    std::fs::write(&config, json!({"mcpServers": {"time": time}}).to_string()).unwrap();
    let server = TestServer::start_with(&[
        ("LLM_PROVIDER", "openai"),
        // By its name it sees.
        ("LLM_MODEL", "gpt-4o"),
        ("OPENAI_BASE_URL", &base),
        ("OPENAI_API_KEY", "sk-none"),
        ("ADJUTANT_MCP_CONFIG", config.to_str().unwrap()),
    ])
    .await;
    let mut command = Command::new(peer(runtime));
    command.arg(root().join("tests/peers").join(script)).env("BASE_URL", server.url("/v1")).env("API_KEY", KEY);
    command.env("ADJUTANT_PEERS_DIR", peer("")).kill_on_drop(true);
    let output = timeout(CEILING, command.output()).await.expect("the script ends").unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 15, "{said}");
    let files: Vec<String> =
        sqlx::query_scalar("select media_type from files").fetch_all(&server.db.admin()).await.unwrap();
    assert_eq!(files, ["image/png"], "one, however often it was sent");
    server.stop().await;
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn the_python_sdk_finds_openais_door() {
    every_check_passes("bin/python", "openai_sdk.py").await;
}

#[tokio::test]
async fn the_npm_sdk_finds_openais_door() {
    every_check_passes("bin/node", "openai_sdk.mjs").await;
}
