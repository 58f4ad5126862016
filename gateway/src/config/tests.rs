//! The settings as an operator may write them, well and badly.

use super::*;

fn read(entries: &[(&str, &str)]) -> Result<Config, Faults> {
    let mut all = vec![("HOME", "/home/anna")];
    all.extend(entries);
    Config::read(&all.into_iter().collect())
}

fn faults(entries: &[(&str, &str)]) -> String {
    read(entries).err().map(|faults| faults.to_string()).unwrap_or_default()
}

#[test]
fn nothing_set_is_a_server_for_one_person_on_this_machine() {
    let config = read(&[]).unwrap();
    assert_eq!(config.doors.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.owner.user.as_str(), "owner");
    assert!(config.owner.key.is_none() && config.model.settings.is_none());
    assert!(matches!(config.database, Database::Embedded { install: None }));
    assert!(config.mcp.servers.enabled.is_empty());
}

#[test]
fn an_empty_value_is_no_value() {
    assert!(read(&[("LLM_PROVIDER", ""), ("ASSISTANT_API_KEY", " "), ("ADJUTANT_LISTEN", "")]).is_ok());
}

#[test]
fn all_faults_are_told_at_once_and_none_shows_a_secret() {
    let text = faults(&[
        ("ADJUTANT_LISTEN", "nowhere"),
        ("ADJUTANT_USER", "Anna B"),
        ("ASSISTANT_API_KEY", "hunter2"),
        ("ADJUTANT_BEHIND_PROXY", "perhaps"),
        ("LLM_PROVIDER", "openai"),
        ("ADJUTANT_MCP_CONFIG", "/nowhere/mcp.json"),
        ("ADJUTANT_LISTENS", "x"),
    ]);
    for name in [
        "ADJUTANT_LISTEN:",
        "ADJUTANT_USER:",
        "ASSISTANT_API_KEY:",
        "ADJUTANT_BEHIND_PROXY:",
        "LLM_MODEL:",
        "OPENAI_API_KEY:",
        "ADJUTANT_MCP_CONFIG:",
        "ADJUTANT_LISTENS: there is no such setting; did you mean ADJUTANT_LISTEN?",
        "openssl rand -hex 32",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_public_address_needs_a_proxy() {
    for address in ["0.0.0.0:80", "[::]:80", "192.168.1.4:8080"] {
        assert!(faults(&[("ADJUTANT_LISTEN", address)]).contains("ADJUTANT_BEHIND_PROXY"), "{address}");
        assert!(read(&[("ADJUTANT_LISTEN", address), ("ADJUTANT_BEHIND_PROXY", "1")]).is_ok());
    }
    for address in ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.8.8.8:1"] {
        assert!(read(&[("ADJUTANT_LISTEN", address)]).is_ok(), "{address}");
    }
}

#[test]
fn a_model_is_set_up_whole_or_not_at_all() {
    assert!(faults(&[("LLM_MODEL", "m")]).contains("LLM_PROVIDER"));
    assert!(faults(&[("LLM_PROVIDER", "other"), ("LLM_MODEL", "m"), ("OPENAI_API_KEY", "k")]).contains("only openai"));
    let base = ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
    let config = read(&[("LLM_PROVIDER", "openai"), ("LLM_MODEL", "m"), base]).unwrap();
    assert_eq!(config.model.settings.unwrap().base_url, base.1);
    let wrong = ("OPENAI_BASE_URL", "ftp://x");
    assert!(faults(&[("LLM_PROVIDER", "openai"), ("LLM_MODEL", "m"), wrong]).contains("base URL"));
    assert!(read(&[("OPENAI_API_KEY", "k")]).is_ok(), "a key that other programs use");
}

#[test]
fn hosts_and_origins_are_exact() {
    let good = [
        ("ADJUTANT_ALLOWED_HOSTS", "A.example.org, b.example.org:8443"),
        ("ADJUTANT_ALLOWED_ORIGINS", "https://a.example.org/"),
    ];
    let doors = read(&good).unwrap().doors;
    assert_eq!(doors.allowed_hosts, ["a.example.org", "b.example.org:8443"]);
    assert_eq!(doors.allowed_origins, ["https://a.example.org"]);
    for (name, value) in [
        ("ADJUTANT_ALLOWED_HOSTS", "https://a.example.org"),
        ("ADJUTANT_ALLOWED_HOSTS", "*.example.org"),
        ("ADJUTANT_ALLOWED_ORIGINS", "a.example.org"),
        ("ADJUTANT_ALLOWED_ORIGINS", "https://a.example.org/path"),
        ("ADJUTANT_ALLOWED_ORIGINS", "*"),
    ] {
        assert!(faults(&[(name, value)]).contains(name), "{name}={value}");
    }
}

#[test]
fn an_admin_url_alone_is_a_mistake() {
    assert!(faults(&[("SYSTEM_DB_ADMIN_URL", "postgres://root@h")]).contains("SYSTEM_DB_URL"));
}

#[test]
fn debug_shows_no_secret() {
    let config = read(&[
        ("SYSTEM_DB_URL", "postgres://adjutant_app:hunter2@h/d"),
        ("ASSISTANT_API_KEY", "hunter2hunter2hunter2hunter2hunter2"),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "m"),
        ("OPENAI_API_KEY", "sk-hunter2"),
    ]);
    assert!(!format!("{:?}", config.unwrap()).contains("hunter2"));
}
