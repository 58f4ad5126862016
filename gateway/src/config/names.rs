//! The names of all settings. A name that begins like ours and is not listed is a mistake.

const PREFIX: &str = "ADJUTANT_";
/// Behind the name of a secret.
pub(super) const FILE: &str = "_FILE";

const KNOWN: &[&str] = &[
    "ADJUTANT_ALLOWED_HOSTS",
    "ADJUTANT_ALLOWED_ORIGINS",
    "ADJUTANT_API_KEY",
    "ADJUTANT_BEHIND_PROXY",
    "ADJUTANT_CONFIG",
    "ADJUTANT_DATA_DIR",
    "ADJUTANT_LISTEN",
    "ADJUTANT_LOG",
    "ADJUTANT_MCP_CONFIG",
    "ADJUTANT_POSTGRES_DIR",
    "ADJUTANT_PROFILES",
    "ADJUTANT_URL",
    "ADJUTANT_USER",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ASSISTANT_API_KEY",
    "CREDENTIALS_ENCRYPTION_KEY",
    "LLM_FALLBACK",
    "LLM_MODEL",
    "LLM_PRICES",
    "LLM_PROVIDER",
    "LLM_SMALL_MODEL",
    "LLM_THINKING",
    "LLM_VISION_MODELS",
    "OLLAMA_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "SYSTEM_DB_ADMIN_URL",
    "SYSTEM_DB_SYSTEM_URL",
    "SYSTEM_DB_URL",
];

/// Those whose value nobody may see. Each may also be given as the name of a file that holds it, `NAME_FILE`.
pub(super) const SECRETS: &[&str] = &[
    "ADJUTANT_API_KEY",
    "ANTHROPIC_API_KEY",
    "ASSISTANT_API_KEY",
    "CREDENTIALS_ENCRYPTION_KEY",
    "OPENAI_API_KEY",
    "SYSTEM_DB_ADMIN_URL",
    "SYSTEM_DB_SYSTEM_URL",
    "SYSTEM_DB_URL",
];

/// Read by the repository's own scripts and tests.
pub(super) const NOT_OURS: &[&str] = &["ADJUTANT_PEERS_DIR", "ADJUTANT_REQUIRE_REAL_MODEL"];

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied()
}

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name.strip_suffix(FILE).is_some_and(|name| SECRETS.contains(&name))
}

pub(super) fn is_mistaken(name: &str) -> bool {
    name.starts_with(PREFIX) && !is_known(name) && !NOT_OURS.contains(&name)
}

/// The known name that differs least, if it differs little.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    let (known, distance) = KNOWN.iter().map(|known| (*known, distance(&name, known))).min_by_key(|entry| entry.1)?;
    (distance <= name.len() / 3).then_some(known)
}

/// Levenshtein distance of two short ASCII names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
