//! `adjutant doctor` on setups that are broken, each in its own way: it names the cause and the cure, and no secret.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use adjutant_testkit::provider::{Provider, Reply};
use serde_json::{Value, json};
use tokio::process::Command;

use super::binary::{Home, Serving, adjutant, output};
use super::server::KEY;

/// The checks of `adjutant doctor --json`, and its exit code.
async fn doctor(home: &Home, settings: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut command: Command = adjutant(home, &["doctor", "--json"]);
    let names_ollama = settings.iter().any(|(_, value)| value.starts_with("ollama/"));
    if names_ollama || settings.iter().all(|(name, _)| *name != "LLM_PROVIDER") {
        // Not that of this machine.
        command.env("OLLAMA_BASE_URL", "http://127.0.0.1:1");
    }
    command.envs(settings.iter().copied());
    let (code, stdout, stderr) = output(command).await;
    assert!(!stdout.contains("hunter2"), "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    (code, report["checks"].as_array().unwrap().clone())
}

/// `state: detail` of one check.
fn found(checks: &[Value], area: &str, name: &str) -> String {
    let check = checks.iter().find(|check| check["area"] == area && check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("{area} {name} in {checks:#?}"));
    format!("{}: {}", check["state"].as_str().unwrap(), check["detail"].as_str().unwrap())
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn the_key_file_the_stored_credentials_and_the_room_for_files_are_told() {
    let home = Home::new();
    let mut command = adjutant(&home, &["serve"]);
    command.env("ASSISTANT_API_KEY", KEY);
    let server = Serving::start(command).await;
    let client = reqwest::Client::new();
    let upload = client.post(format!("http://{}/api/files?name=a.txt", server.address)).header("x-api-key", KEY);
    assert!(upload.body("x".repeat(3 * 512)).send().await.unwrap().status().is_success());
    let put = client.put(format!("http://{}/api/credentials/llm_openai", server.address)).header("x-api-key", KEY);
    assert!(put.json(&json!({"apiKey": "sk-hunter2hunter2"})).send().await.unwrap().status().is_success());

    let (code, checks) = doctor(&home, &[]).await;
    assert_eq!(code, 0, "{checks:#?}");
    let key = home.path().join("master.key");
    assert_eq!(found(&checks, "credentials", "key file"), format!("ok: {}, mode 0600", key.display()));
    assert_eq!(found(&checks, "credentials", "stored"), "ok: there is a key for every credential");
    assert_eq!(found(&checks, "people", "files"), "ok: 1.5 KiB in all; who has most uses 1.5 KiB of 2.0 GiB");

    set_mode(&key, 0o400);
    let (code, checks) = doctor(&home, &[]).await;
    let told = found(&checks, "credentials", "key file");
    assert!(code == 0 && told.starts_with("warning: ") && told.contains("mode 0400"), "{told}");
    set_mode(&key, 0o640);
    let (code, checks) = doctor(&home, &[]).await;
    let told = found(&checks, "credentials", "key");
    assert!(code == 1 && told.starts_with("failed: ") && told.contains("(mode 0640): run chmod 600"), "{told}");

    // Another key than the one that encrypted what is stored.
    std::fs::remove_file(&key).unwrap();
    let other = "other:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let (code, checks) = doctor(&home, &[("CREDENTIALS_ENCRYPTION_KEY", other)]).await;
    let told = found(&checks, "credentials", "stored");
    assert!(code == 1 && told.starts_with("failed: ") && told.contains("put the keys back"), "{told}");
    assert_eq!(found(&checks, "credentials", "key"), "ok: the current key is other");
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_with_the_setting_to_change() {
    let home = Home::new();
    // It offers one model, `scripted`.
    let provider = Provider::start(|_| Reply::text("hello")).await;
    let base_url = provider.base_url();
    let models = |small: &'static str| {
        [
            ("LLM_PROVIDER", "openai"),
            ("LLM_MODEL", "scripted"),
            ("LLM_SMALL_MODEL", small),
            ("OPENAI_BASE_URL", base_url.as_str()),
        ]
    };
    let (code, checks) = doctor(&home, &models("")).await;
    assert_eq!(code, 0, "{checks:#?}");
    assert_eq!(found(&checks, "model", "openai"), "ok: the model provider answers and offers scripted");
    assert!(found(&checks, "model", "small model").starts_with("ok: none: "), "{checks:#?}");
    let (code, checks) = doctor(&home, &models("openai/scripted")).await;
    assert_eq!(code, 0);
    assert_eq!(found(&checks, "model", "small model"), "ok: the model provider answers and offers scripted");
    let (code, checks) = doctor(&home, &models("openai/tiny")).await;
    let told = found(&checks, "model", "small model");
    assert_eq!(code, 0);
    assert!(told.starts_with("warning: ") && told.contains("tiny is not among the 1 models"), "{told}");
    assert!(told.ends_with("name one of those in LLM_SMALL_MODEL"), "{told}");
    // Another provider for small work, and nobody is there.
    let away = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("LLM_SMALL_MODEL", "ollama/qwen3"),
    ];
    let (code, checks) = doctor(&home, &away).await;
    let told = found(&checks, "model", "small model");
    assert!(code == 1 && told.starts_with("failed: "), "{told}");
    assert!(found(&checks, "model", "openai").starts_with("ok: "), "{checks:#?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_and_settings_that_cannot_work_are_told_with_what_to_do() {
    let home = Home::new();
    let gone = [("SYSTEM_DB_URL", "postgres://adjutant_app:hunter2@127.0.0.1:1/assistant_system")];
    let (code, checks) = doctor(&home, &gone).await;
    let told = found(&checks, "database", "connection");
    assert!(code == 1 && told.starts_with("failed: ") && told.contains("check that it runs"), "{told}");
    let (code, checks) = doctor(&home, &[("ADJUTANT_LISTEN", "0.0.0.0:80"), ("LLM_PROVIDER", "openai")]).await;
    assert_eq!(code, 1);
    for (name, cure) in [("ADJUTANT_LISTEN", "ADJUTANT_BEHIND_PROXY"), ("LLM_MODEL", "name the model")] {
        let told = found(&checks, "settings", name);
        assert!(told.starts_with("failed: ") && told.contains(cure), "{told}");
    }
    std::fs::write(home.path().join("mcp.json"), "{\"mcpServers\": {\"a\": {}}}").unwrap();
    let (code, checks) = doctor(&home, &[]).await;
    assert_eq!(code, 1);
    let path = home.path().join("mcp.json").display().to_string();
    assert!(found(&checks, "settings", &path).starts_with("failed: "), "{checks:#?}");
}
