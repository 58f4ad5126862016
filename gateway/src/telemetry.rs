//! Logs: to stderr, as text. Never prompts, message text or keys. Deliberately absent: what other
//! crates say below a warning, unless the operator names them, because some of them log what they carry.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt;

/// They log what they carry, with addresses and bodies, also as errors; what matters of it is told by our own crates.
const TALKATIVE: &str = "rmcp=off,genai=off";
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Reads the operator's filter. A bare level is meant for our own crates.
pub fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let level = directives.to_ascii_lowercase();
    if LEVELS.contains(&level.as_str()) {
        EnvFilter::try_new(format!("warn,{TALKATIVE},adjutant={level}"))
    } else {
        EnvFilter::try_new(directives)
    }
}

/// Starts logging. A filter that cannot be read is a fault of the settings, told with all others.
pub fn start(directives: &str) {
    let filter = filter(directives).or_else(|_| filter("info")).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .finish();
    // Already set when several servers run in one process, as in tests.
    let _ = subscriber.try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_for_our_own_crates() {
        let shown = filter("DEBUG").unwrap().to_string();
        let mut directives: Vec<&str> = shown.split(',').collect();
        directives.sort_unstable();
        assert_eq!(directives, ["adjutant=debug", "genai=off", "rmcp=off", "warn"]);
        assert_eq!(filter("rmcp=debug").unwrap().to_string(), "rmcp=debug");
        assert!(filter("a=b=c").is_err());
    }
}
