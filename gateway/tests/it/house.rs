//! Which module of the gateway may use which: the table of ARCHITECTURE.md, held against the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module, and the siblings that it may use.
const TABLE: &[(&str, &[&str])] = &[
    ("app", &["auth", "config", "ui"]),
    ("auth", &["app", "config", "problem"]),
    ("boot", &["app", "auth", "config", "http"]),
    ("cli", &["auth", "boot", "config", "telemetry"]),
    // A key's form and a log filter are checked where they are read.
    ("config", &["auth", "telemetry"]),
    // The router mounts the WebSocket, so that one table names every route; AG-UI over SSE says what its frames say.
    ("http", &["app", "auth", "config", "problem", "wire", "ws"]),
    ("problem", &[]),
    ("telemetry", &[]),
    ("ui", &[]),
    ("wire", &[]),
    ("ws", &["app", "auth", "problem", "wire"]),
];

#[test]
fn modules_use_only_the_siblings_that_the_table_names() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if matches!(name.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = TABLE.iter().find(|(module, _)| *module == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("the table does not name {name}"));
        let mut used = BTreeSet::new();
        for file in files(&path) {
            used.extend(siblings(&std::fs::read_to_string(file).unwrap()));
        }
        used.remove(&name);
        let foreign: Vec<_> = used.iter().filter(|sibling| !allowed.contains(&sibling.as_str())).collect();
        assert!(foreign.is_empty(), "{name} uses {foreign:?}");
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

/// The modules named in `crate::…` paths.
fn siblings(text: &str) -> impl Iterator<Item = String> {
    let named = text
        .split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>());
    named.filter(|name| !name.is_empty()).collect::<Vec<_>>().into_iter()
}
