//! The binary from its first start to its end: key, port, signals, the embedded database, the commands.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::binary::{Home, Serving, adjutant, database_pid, output};
use crate::server::soon;

fn key_in(said: &[String]) -> Option<String> {
    said.iter().map(|line| line.trim()).find(|line| line.starts_with("adj_")).map(str::to_owned)
}

#[tokio::test]
async fn the_first_start_shows_a_key_once_and_commands_work_with_and_without_a_server() {
    let home = Home::new();
    let server = Serving::start(adjutant(&home, &["serve"])).await;
    let first = key_in(&server.said).expect("a key is shown");
    assert_eq!(server.status("/api/threads", &first).await, Some(200));

    let (code, made, _) = output(adjutant(&home, &["key", "create", "--label", "phone"])).await;
    let made = made.trim();
    assert_eq!((code, made.lines().count()), (0, 1), "{made}");
    assert_eq!(server.status("/api/threads", made).await, Some(200));
    let (_, listed, _) = output(adjutant(&home, &["key", "list", "--json"])).await;
    assert!(!listed.contains(made) && !listed.contains(&first), "{listed}");
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 2);
    let id = listed.iter().find(|key| key["label"] == "phone").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(output(adjutant(&home, &["key", "revoke", &id])).await.0, 0);
    soon("the revoked key is refused", || async { server.status("/api/threads", made).await == Some(401) }).await;
    assert_eq!(server.terminate().await, 0);
    assert_eq!(database_pid(&home), None, "the database ended with its server");

    // Nobody serves, and the last key is lost.
    let id = listed.iter().find(|key| key["label"] != "phone").unwrap()["id"].as_str().unwrap();
    assert_eq!(output(adjutant(&home, &["key", "revoke", id])).await.0, 0);
    assert_eq!(output(adjutant(&home, &["key", "revoke", "nosuchkey"])).await.0, 1);
    let (_, new, _) = output(adjutant(&home, &["key", "create", "--role", "admin"])).await;
    let server = Serving::start(adjutant(&home, &[])).await;
    assert_eq!(key_in(&server.said), None, "only the first start shows a key");
    assert_eq!(server.status("/api/threads", new.trim()).await, Some(200));
    assert_eq!(server.status("/api/threads", &first).await, Some(401));
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn a_database_that_is_killed_is_started_again_and_a_killed_server_leaves_none() {
    let home = Home::new();
    let mut server = Serving::start(adjutant(&home, &["serve"])).await;
    let key = key_in(&server.said).expect("a key is shown");
    let killed = database_pid(&home).expect("a database runs");
    kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    soon("another database answers", || async {
        database_pid(&home).is_some_and(|pid| pid != killed) && server.status("/api/threads", &key).await == Some(200)
    })
    .await;

    let database = database_pid(&home).unwrap();
    server.child.start_kill().unwrap();
    server.child.wait().await.unwrap();
    soon("the database is gone", || async { !std::path::Path::new(&format!("/proc/{database}")).exists() }).await;
    let server = Serving::start(adjutant(&home, &["serve"])).await;
    assert_eq!(server.status("/api/threads", &key).await, Some(200));
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn a_port_in_use_is_said_plainly_before_anything_is_started() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = adjutant(&home, &["serve"]);
    command.env("ADJUTANT_LISTEN", &address);
    let (code, stdout, stderr) = output(command).await;
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains(&format!("port {}", taken.local_addr().unwrap().port())), "{stderr}");
    assert!(stderr.contains("in use") && stderr.contains("ADJUTANT_LISTEN"), "{stderr}");
    assert_eq!(database_pid(&home), None);
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_says_what_was_wrong() {
    let home = Home::new();
    for arguments in [&["nonsense"][..], &["serve", "--nonsense"], &["key"], &["key", "create", "--role", "god"]] {
        let (code, stdout, stderr) = output(adjutant(&home, arguments)).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.contains("Usage") || stderr.contains("--help"), "{stderr}");
    }
    let mut command = adjutant(&home, &["serve"]);
    command.env("ADJUTANT_LISTEN", "0.0.0.0:0").env("ASSISTANT_API_KEY", "hunter2").env("ADJUTANT_USR", "x");
    let (code, _, stderr) = output(command).await;
    assert_eq!(code, 2);
    for name in ["ADJUTANT_LISTEN", "ASSISTANT_API_KEY", "ADJUTANT_USER"] {
        assert!(stderr.contains(name), "{name} in {stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
    assert_eq!(output(adjutant(&home, &["--version"])).await.0, 0);
    assert_eq!(output(adjutant(&home, &["--help"])).await.0, 0);
}

#[tokio::test]
async fn doctor_tells_programs_what_it_tells_people() {
    let home = Home::new();
    let server = Serving::start(adjutant(&home, &["serve"])).await;
    let (code, stdout, _) = output(adjutant(&home, &["doctor", "--json"])).await;
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    for name in ["row security", "application role", "system role", "schema", "pgvector", "server"] {
        assert!(checks.iter().any(|check| check["name"] == name && check["state"] == "ok"), "{name}: {report:#}");
    }
    assert!(checks.iter().any(|check| check["area"] == "model" && check["state"] == "warning"));
    let found = |area: &str, name: &str| {
        let found = checks.iter().find(|check| check["area"] == area && check["name"] == name);
        found.map(|check| format!("{}: {}", check["state"].as_str().unwrap(), check["detail"].as_str().unwrap()))
    };
    assert!(found("people", "users").unwrap().starts_with("ok: 1 active with 1 profiles, 0 disabled"), "{report:#}");
    assert!(found("mcp", "servers of users").unwrap().starts_with("ok: 0 that people added"), "{report:#}");
    assert!(found("settings", "file").unwrap().starts_with("ok: none; `adjutant init` makes "), "{report:#}");
    assert!(found("credentials", "key").unwrap().starts_with("ok: "), "{report:#}");
    let file = home.path().join("adjutant.toml");
    std::fs::write(&file, "OPENAI_API_KEY = 'sk-hunter2hunter2'\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, stdout, _) = output(adjutant(&home, &["doctor"])).await;
    assert_eq!(code, 0, "a warning is no failure: {stdout}");
    assert!(stdout.contains("run chmod 600") && !stdout.contains("hunter2"), "{stdout}");
    std::fs::write(&file, "LLM_MODELL = 'x'\n").unwrap();
    let (code, stdout, _) = output(adjutant(&home, &["doctor"])).await;
    assert_eq!(code, 1);
    assert!(stdout.contains("did you mean LLM_MODEL?") && stdout.contains("line 1"), "{stdout}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(report["limits"].as_array().unwrap().len(), adjutant_core::limits::TABLE.len());

    let mcp = r#"{"mcpServers": {"gone": {"type": "http", "url": "http://127.0.0.1:1/mcp"}}}"#;
    std::fs::write(home.path().join("mcp.json"), mcp).unwrap();
    let mut command = adjutant(&home, &["doctor"]);
    command.env("LLM_PROVIDER", "openai").env("LLM_MODEL", "m").env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
    let (code, stdout, _) = output(command).await;
    assert_eq!(code, 1, "{stdout}");
    let failed = stdout.lines().filter(|line| line.starts_with("FAILED")).count();
    assert_eq!(failed, 2, "{stdout}");
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test]
async fn people_are_added_granted_and_disabled_beside_a_server_and_profiles_come_from_the_file() {
    let home = Home::new();
    let file = "[[profile]]\nname = 'work'\nuser_context_file = 'me.md'\n[[profile]]\nuser = 'ben'\nname = 'home'\n";
    std::fs::write(home.path().join("profiles.toml"), file).unwrap();
    std::fs::write(home.path().join("me.md"), "I am the owner.").unwrap();
    let server = Serving::start(adjutant(&home, &["serve"])).await;
    let run = async |arguments: &[&str]| output(adjutant(&home, arguments)).await;
    assert_eq!(run(&["user", "add", "anna", "--name", "Anna", "--operator-llm"]).await.0, 0);
    assert_eq!(run(&["user", "add", "anna"]).await.0, 1, "twice");
    assert_eq!(run(&["user", "add", "Anna B"]).await.0, 2);
    let (_, annas, said) = run(&["key", "create", "--user", "anna", "--profile", "*"]).await;
    assert!(!said.contains("new here"), "{said}");
    let (_, _, said) = run(&["key", "create", "--user", "zoe"]).await;
    assert!(said.contains("adjutant user grant zoe"), "{said}");
    assert_eq!(run(&["user", "grant", "zoe"]).await.0, 0);
    assert_eq!(run(&["user", "grant", "nobody"]).await.0, 1);
    let (_, listed, _) = run(&["user", "list", "--json"]).await;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let shown: Vec<String> = listed
        .iter()
        .map(|user| format!("{} {} {}", user["user"], user["allowOperatorLlm"], user["profiles"]))
        .collect();
    let expected = [
        r#""owner" true ["personal","work"]"#,
        r#""ben" false ["home","personal"]"#,
        r#""anna" true ["personal"]"#,
        r#""zoe" true ["personal"]"#,
    ];
    assert_eq!(shown, expected);
    let annas = annas.trim();
    assert_eq!(server.status("/api/me", annas).await, Some(200));
    assert_eq!(run(&["user", "disable", "anna"]).await.0, 0);
    soon("anna is refused", || async { server.status("/api/me", annas).await == Some(401) }).await;
    assert_eq!(run(&["user", "enable", "anna"]).await.0, 0);
    soon("anna is back", || async { server.status("/api/me", annas).await == Some(200) }).await;
    assert_eq!(server.terminate().await, 0);
}
