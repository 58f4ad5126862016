//! Reading `mcp.json`.

use std::time::Duration;

use adjutant_mcp::config::{Lifecycle, Servers, Transport, parse};
use reqwest::header::HeaderName;
use serde_json::{Value, json};

fn lookup(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "hunter2-token".to_owned())
}

fn read(value: &Value) -> Result<Servers, Vec<String>> {
    parse(&value.to_string(), &lookup).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn all_three_shapes_are_read() {
    let entries = json!({"time": {"command": "mcp-server-time"}, "web": {"url": "https://example.com/mcp"}});
    for file in [json!({"mcpServers": entries}), json!({"servers": entries}), entries.clone()] {
        let servers = read(&file).expect("a correct file");
        let names: Vec<_> = servers.enabled.iter().map(|server| server.name.as_str()).collect();
        assert_eq!((names, servers.warnings), (vec!["time", "web"], vec![]), "{file}");
    }
}

#[test]
fn every_field_is_read() {
    let servers = read(&json!({"mcpServers": {
        "a": {"type": "stdio", "command": "run", "args": ["--key", "${TOKEN}"], "env": {"KEY": "${env:TOKEN}", "PORT": 80},
              "cwd": "${HOME:-/srv}/x", "lifecycle": "initialize", "timeout": 2.5},
        "b": {"type": "streamable-http", "url": "http://127.0.0.1:1/mcp", "headers": {"X-User": "${TOKEN}"}, "lifecycle": "stateless"},
        "c": {"command": "x", "enabled": false},
        "d": {"url": 7, "disabled": true}
    }}))
    .expect("a correct file");
    let [a, b] = &servers.enabled[..] else { panic!("two servers") };
    let Transport::Stdio(stdio) = &a.transport else { panic!("a stdio server") };
    assert_eq!(
        (stdio.command.as_str(), &stdio.args[..]),
        ("run", &["--key".to_owned(), "hunter2-token".to_owned()][..])
    );
    assert_eq!(stdio.cwd.as_deref(), Some(std::path::Path::new("/srv/x")));
    assert_eq!(stdio.env.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["KEY", "PORT"]);
    assert_eq!((a.lifecycle, a.timeout), (Lifecycle::Initialize, Some(Duration::from_millis(2_500))));
    let Transport::Http(http) = &b.transport else { panic!("an HTTP server") };
    assert_eq!(http.headers[&HeaderName::from_static("x-user")], "hunter2-token");
    assert_eq!((b.lifecycle, b.timeout), (Lifecycle::Stateless, None));
    assert_eq!(servers.disabled, ["c", "d"]);
}

#[test]
fn all_faults_are_reported_together() {
    let mut faults = read(&json!({"mcpServers": {
        "GitHub": {"command": "x"},
        "both": {"command": "x", "url": "http://x"},
        "none": {},
        "sse": {"type": "sse", "url": "http://x"},
        "kind": {"type": "http", "command": "x"},
        "types": {"command": "x", "args": "y", "timeout": 0, "lifecycle": "new", "enabled": "yes"},
        "url": {"url": "file:///etc/passwd"},
        "vars": {"command": "${NONE}", "args": ["${LOST}"], "env": {"K": "${GONE}"}},
        "head": {"url": "http://x", "headers": {"Mcp-Session-Id": "1", "a b": "c", "ok": "line\nbreak"}},
        "text": "x"
    }}))
    .expect_err("faults");
    let name = "a server's name is 1 to 32 characters of a-z, 0-9, '-' and '_', without \"__\" and not ending in '_'";
    let mut expected = [
        format!("mcp server \"GitHub\": {name}"),
        "mcp server \"both\": has both `command` and `url`".to_owned(),
        "mcp server \"head\": the header \"Mcp-Session-Id\" is set by the protocol and cannot be configured".to_owned(),
        "mcp server \"head\": the header \"a b\" has a name or value that HTTP does not allow".to_owned(),
        "mcp server \"head\": the header \"ok\" has a name or value that HTTP does not allow".to_owned(),
        "mcp server \"kind\": `type` must be \"stdio\" for a server with `command`".to_owned(),
        "mcp server \"none\": needs `command` or `url`".to_owned(),
        "mcp server \"sse\": `type` \"sse\" is not supported; use the server's Streamable HTTP address and \"http\""
            .to_owned(),
        "mcp server \"text\": must be an object with `command` or `url`".to_owned(),
        "mcp server \"types\": `enabled` must be true or false".to_owned(),
        "mcp server \"types\": `lifecycle` must be \"auto\", \"initialize\" or \"stateless\"".to_owned(),
        "mcp server \"types\": `timeout` must be a number of seconds, above 0 and at most 3600".to_owned(),
        "mcp server \"types\": `args` must be a list of strings".to_owned(),
        "mcp server \"url\": `url` must be an http or https address".to_owned(),
        "mcp server \"vars\": `command`: the variable NONE is not set".to_owned(),
        "mcp server \"vars\": each of `args`: the variable LOST is not set".to_owned(),
        "mcp server \"vars\": \"K\" in `env`: the variable GONE is not set".to_owned(),
    ];
    // In the file's order or in that of names, as the JSON reader was built.
    faults.sort();
    expected.sort();
    assert_eq!(faults, expected);
}

#[test]
fn names_that_would_blur_a_tools_name_are_refused() {
    for good in ["a", "my-server_2", &"x".repeat(32)] {
        assert!(read(&json!({good: {"command": "x"}})).is_ok(), "{good}");
    }
    for bad in ["", "A", "a b", "ä", "a__b", "a_", &"x".repeat(33)] {
        assert!(read(&json!({bad: {"command": "x"}})).is_err(), "{bad}");
    }
}

#[test]
fn unknown_keys_are_warnings() {
    let servers =
        read(&json!({"inputs": [], "servers": {"a": {"command": "x", "gallery": true}}})).expect("a correct file");
    let warnings: Vec<_> = servers.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "mcp servers: the key \"inputs\" is not known and was ignored",
            "mcp server \"a\": the key \"gallery\" is not known and was ignored"
        ]
    );
}

#[test]
fn what_is_no_file_of_servers_is_refused() {
    for text in ["", "{", "[]", "null", r#"{"mcpServers": []}"#] {
        assert_eq!(parse(text, &lookup).map_err(|faults| faults.len()).expect_err("a fault"), 1, "{text}");
    }
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("s{n}"), json!({"command": "x"}))).collect();
    assert!(read(&Value::Object(many)).is_err());
}

#[test]
fn secrets_are_never_shown() {
    let servers = read(&json!({
        "a": {"command": "x", "args": ["${TOKEN}"], "env": {"K": "${TOKEN}"}},
        "b": {"url": "http://u:${TOKEN}@127.0.0.1/?k=${TOKEN}", "headers": {"Authorization": "Bearer ${TOKEN}"}}
    }));
    let shown = format!("{servers:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let faults = read(&json!({"a": {"url": "ftp://${TOKEN}", "headers": {"x": "${TOKEN}\n"}}})).expect_err("faults");
    assert!(!faults.join(" ").contains("hunter2"), "{faults:?}");
}

#[test]
fn the_sample_in_the_repository_is_a_correct_file() {
    let text = include_str!("../../../../../mcp.example.json");
    let home = |name: &str| (name == "HOME").then(|| "/home/anna".to_owned());
    let servers = parse(text, &home).unwrap();
    let enabled: Vec<_> = servers.enabled.iter().map(|server| server.name.as_str()).collect();
    assert_eq!((enabled, servers.warnings.len()), (vec!["everything", "time"], 0));
    assert_eq!(servers.disabled, ["files", "team"]);
}
