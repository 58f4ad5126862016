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
    for wrong in ["llava", "openai/", "ollama/a,nobody/b"] {
        assert!(faults(&[("LLM_VISION_MODELS", wrong)]).contains("LLM_VISION_MODELS"), "{wrong}");
    }
    // Where keys of users go is read also where the operator has no model.
    for provider in ["none", ""] {
        let wrong = faults(&[("LLM_PROVIDER", provider), ("ANTHROPIC_BASE_URL", "nowhere")]);
        assert!(wrong.contains("ANTHROPIC_BASE_URL"), "{wrong}");
        let named = read(&[("LLM_PROVIDER", provider), ("OPENAI_BASE_URL", "http://10.0.0.7:8000/v1")]).unwrap();
        assert_eq!(named.model.origin_of("openai").as_deref(), Some("http://10.0.0.7:8000"));
        assert!(named.model.operator.providers.is_empty());
    }
    assert!(faults(&[("LLM_MODEL", "m")]).contains("LLM_PROVIDER"));
    assert!(
        faults(&[("LLM_PROVIDER", "other"), ("LLM_MODEL", "m"), ("OPENAI_API_KEY", "k")])
            .contains("is openai, anthropic, ollama or none")
    );
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

/// A folder that goes away with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("adjutant-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn environment(&self, entries: &[(&str, &str)]) -> Environment {
        let dir = self.at("");
        let mut all = vec![("ADJUTANT_DATA_DIR", dir.as_str())];
        all.extend(entries);
        all.into_iter().collect::<Environment>().with_files()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_an_empty_value_does_not() {
    let text = "LLM_PROVIDER = 'openai'\nLLM_MODEL = 'of-the-file'\nOPENAI_BASE_URL = 'http://127.0.0.1:1/v1'\n";
    let folder = Folder::with("wins", &[(file::NAME, text)]);
    let model = |entries: &[(&str, &str)]| {
        Config::read(&folder.environment(entries)).unwrap().model.settings.map(|settings| settings.model)
    };
    assert_eq!(model(&[]).as_deref(), Some("of-the-file"));
    assert_eq!(model(&[("LLM_MODEL", "of-the-environment")]).as_deref(), Some("of-the-environment"));
    assert_eq!(model(&[("LLM_MODEL", "")]).as_deref(), Some("of-the-file"));
    let elsewhere = Folder::with("elsewhere", &[("mine.toml", "LLM_MODEL = 'elsewhere'")]);
    let named = elsewhere.at("mine.toml");
    assert_eq!(folder.environment(&[("ADJUTANT_CONFIG", &named)]).get("LLM_MODEL"), Some("elsewhere"));
    let missing = Config::read(&folder.environment(&[("ADJUTANT_CONFIG", "/nowhere/a.toml")])).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/a.toml: cannot be read"), "{missing}");
}

#[test]
fn faults_of_the_file_name_its_line_and_come_with_all_others() {
    let text = "ADJUTANT_LISTEN = 'nowhere'\nADJUTANT_LISTENS = 'x'\nADJUTANT_DATA_DIR = '/x'\nLLM_MODEL = 'm'\n";
    let folder = Folder::with("faults", &[(file::NAME, text)]);
    let faults = Config::read(&folder.environment(&[("ADJUTANT_USER", "Anna B")])).unwrap_err().to_string();
    let path = folder.at(file::NAME);
    for expected in [
        format!("ADJUTANT_LISTEN: must be an address and a port, as 127.0.0.1:8080 ({path}, line 1)"),
        format!("ADJUTANT_LISTENS: there is no such setting; did you mean ADJUTANT_LISTEN? ({path}, line 2)"),
        "ADJUTANT_DATA_DIR: decides which file is read".to_owned(),
        "ADJUTANT_USER: ".to_owned(),
        "LLM_PROVIDER: ".to_owned(),
    ] {
        assert!(faults.contains(&expected), "{expected} in {faults}");
    }
}

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let folder = Folder::with("secrets", &[("key", "sk-hunter2\n"), (file::NAME, "")]);
    let file = folder.at("key");
    let environment = folder.environment(&[("OPENAI_API_KEY_FILE", &file)]);
    assert_eq!(environment.get("OPENAI_API_KEY"), Some("sk-hunter2"));
    let both = [("OPENAI_API_KEY_FILE", file.as_str()), ("OPENAI_API_KEY", "sk-other")];
    assert_eq!(folder.environment(&both).get("OPENAI_API_KEY"), Some("sk-other"));
    let missing = folder.environment(&[("OPENAI_API_KEY_FILE", "/nowhere/key")]);
    assert!(Config::read(&missing).unwrap_err().to_string().contains("OPENAI_API_KEY_FILE: /nowhere/key cannot be"));
    assert!(faults(&[("ADJUTANT_LISTEN_FILE", "x")]).contains("there is no such setting"));
}

#[test]
fn a_file_of_secrets_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::with("mode", &[(file::NAME, "OPENAI_API_KEY = 'k'")]);
    let path = folder.at(file::NAME);
    let warning = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        folder.environment(&[]).file().unwrap().warning()
    };
    assert!(warning(0o644).unwrap().contains("mode 0644"));
    assert!(warning(0o640).unwrap().contains("chmod 600"));
    assert_eq!(warning(0o600), None);
    std::fs::write(&path, "LLM_MODEL = 'm'").unwrap();
    assert_eq!(warning(0o644), None);
}

#[test]
fn profiles_are_read_from_their_file_and_the_texts_beside_it() {
    let folder = Folder::with(
        "profiles",
        &[
            ("mcp.json", r#"{"mcpServers": {"time": {"command": "true"}}}"#),
            ("user-context.md", "I am Anna."),
            (
                "profiles.toml",
                "[[profile]]
                 name = \"personal\"
                 [[profile]]
                 name = \"work\"
                 display_name = \"Work\"
                 models = [\"anthropic/claude\", \"openai/gpt\"]
                 user_context_file = \"user-context.md\"
                 system_prompt = \"Be brief.\"
                 time_zone = \"Europe/Berlin\"
                 servers = [\"time\"]
                 [[profile]]
                 user = \"ben\"
                 name = \"work\"",
            ),
        ],
    );
    let profiles = read(&[("ADJUTANT_DATA_DIR", &folder.at(""))]).unwrap().profiles.entries;
    let names: Vec<String> = profiles.iter().map(|entry| format!("{}/{}", entry.user, entry.name)).collect();
    assert_eq!(names, ["owner/personal", "owner/work", "ben/work"]);
    let work = &profiles[1].settings;
    assert_eq!((work.display_name.as_str(), work.time_zone.name()), ("Work", "Europe/Berlin"));
    assert_eq!(work.models, ["anthropic/claude", "openai/gpt"]);
    assert_eq!(work.user_context.as_deref(), Some("I am Anna."));
    assert_eq!(work.system_prompt.as_deref(), Some("Be brief."));
    assert_eq!(work.allowed_servers.as_deref(), Some(&["time".to_owned()][..]));
}

#[test]
fn all_faults_of_the_profiles_are_told_with_the_others() {
    let folder = Folder::with(
        "profile-faults",
        &[(
            "profiles.toml",
            "[[profile]]
             name = \"Work!\"
             user = \"Anna B\"
             time_zone = \"Berlin\"
             servers = [\"nowhere\"]
             user_context = \"x\"
             user_context_file = \"y\"
             system_prompt_file = \"missing.md\"
             models = [\"a b\"]
             [[profile]]
             name = \"twice\"
             [[profile]]
             name = \"twice\"",
        )],
    );
    let text = faults(&[("ADJUTANT_DATA_DIR", &folder.at("")), ("ADJUTANT_LISTEN", "nowhere")]);
    for fault in [
        "ADJUTANT_LISTEN:",
        "a profile name is",
        "a user id is",
        "time_zone is no time zone",
        "servers names \"nowhere\"",
        "user_context and user_context_file cannot both be given",
        "system_prompt_file: cannot read",
        "models has an entry",
        "profile \"twice\": is there twice",
    ] {
        assert!(text.contains(fault), "{fault} in {text}");
    }
    std::fs::write(folder.at("profiles.toml"), "[[profile]]\nname = \"a\"\ncolour = 1").unwrap();
    let text = faults(&[("ADJUTANT_DATA_DIR", &folder.at(""))]);
    assert!(text.contains("line 3") && text.contains("colour"), "{text}");
    assert!(faults(&[("ADJUTANT_PROFILES", "/nowhere/profiles.toml")]).contains("ADJUTANT_PROFILES"));
}

/// `docs/configuration.md` and the code name the same settings.
#[test]
fn each_setting_is_documented_and_nothing_else_is() {
    const PAGE: &str = include_str!("../../../docs/configuration.md");
    let is_name = |text: &str| text.contains('_') && text.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = rows.map(|(name, _)| name).filter(|name| is_name(name)).collect();
    for name in names::all() {
        assert_eq!(documented.iter().filter(|other| **other == name).count(), 1, "{name} has one row");
    }
    let unknown: Vec<_> = documented.iter().filter(|name| !names::is_known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let secrets = PAGE.split("## Secrets in files").nth(1).unwrap().split("\n## ").next().unwrap();
    for name in names::SECRETS {
        assert!(secrets.contains(&format!("`{name}`")), "{name}");
    }
}

/// What the code reads of the environment is a setting that is known, or something of the system that the page names.
#[test]
fn nothing_is_read_that_nobody_documents() {
    const PAGE: &str = include_str!("../../../docs/configuration.md");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.join("config"), source.join("cli")];
    let mut read = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.file_stem().is_some_and(|name| name == "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let mut before = "";
            for (index, piece) in code.split('"').enumerate() {
                let is_name = piece.len() > 3
                    && piece.contains('_')
                    && piece.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
                // Modules of the settings name what they read in constants, too.
                if index % 2 == 1
                    && is_name
                    && (path.starts_with(source.join("config")) || before.ends_with("environment.get("))
                {
                    read.insert(piece.to_owned());
                }
                before = piece;
            }
        }
    }
    read.retain(|name| !names::NOT_OURS.contains(&name.as_str()));
    assert!(read.contains("LLM_SMALL_MODEL") && read.contains("NO_COLOR"), "{read:?}");
    let undocumented: Vec<_> =
        read.iter().filter(|name| !name.starts_with('_') && !PAGE.contains(name.as_str())).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
}
