//! The official SDKs against our door, with aimock as the model and real MCP servers behind it.
//! `tests/peers/install` puts them into place.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::server::{KEY, TestServer};

const CEILING: std::time::Duration = std::time::Duration::from_secs(25);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn peer(name: &str) -> PathBuf {
    let peers = std::env::var_os("ADJUTANT_PEERS_DIR").map_or_else(|| root().join(".peers"), PathBuf::from);
    let path = peers.join(name);
    assert!(path.exists(), "{} is missing: run tests/peers/install", path.display());
    path
}

/// The scripted model. Dropping the process ends it.
async fn aimock() -> (String, Child) {
    let mut command = Command::new(peer("bin/node"));
    command.arg(root().join("tests/peers/aimock.mjs")).arg("0");
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("aimock becomes ready");
            if let Some(port) = line.strip_prefix("ready ") {
                return port.to_owned();
            }
        }
    };
    let port = timeout(CEILING, ready).await.expect("aimock becomes ready");
    // Its later lines must have somewhere to go.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (format!("http://127.0.0.1:{port}/v1"), process)
}

/// Runs every check of a script against a server of its own.
async fn every_check_passes(runtime: &str, script: &str) {
    let (model, _aimock) = aimock().await;
    let folder = std::env::temp_dir().join(format!("adjutant-sdk-{}-{script}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let config = folder.join("mcp.json");
    let time = json!({"command": peer("bin/mcp-server-time"), "args": []});
    std::fs::write(&config, json!({"mcpServers": {"time": time}}).to_string()).unwrap();
    let server = TestServer::start_with(&[
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", &model),
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
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 14, "{said}");
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
