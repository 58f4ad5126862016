//! What the caller decides, and the server settings that follow from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where and how the embedded server runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of this database: holds `data/`, the socket, the superuser's password, the lock and the log.
    /// As root it must be reachable by `nobody`; `/var/lib/adjutant/postgres` is a good place.
    pub data_dir: PathBuf,
    /// Where the bundle is unpacked, once per version: `<cache_dir>/pg/<sum>/`. As root, reachable by `nobody` too.
    pub cache_dir: PathBuf,
    /// An unpacked installation to use instead of the bundle (`bin/`, `lib/` and `share/`).
    pub install: Option<PathBuf>,
    /// Further server settings; a later one wins over an earlier one and over our own.
    pub settings: Vec<(String, String)>,
    pub launcher: Launcher,
    /// `false` turns every safeguard against power loss off. Only for tests.
    pub durable: bool,
}

impl Options {
    pub(crate) fn cluster_dir(&self) -> PathBuf {
        self.data_dir.join("data")
    }
}

/// The program that ends in [`crate::launch_child`]: usually our own executable with its hidden subcommand.
/// It is called with `args` followed by the arguments that `launch_child` takes.
#[derive(Debug, Clone)]
pub struct Launcher {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

/// Everything passed to `postgres` with `-c`, in order.
pub(crate) fn settings(options: &Options, socket_dir: &Path, parallel_index_builds: bool) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = FIXED.iter().map(|(name, value)| own(name, value)).collect();
    all.push(own("unix_socket_directories", &quoted(socket_dir)));
    if !parallel_index_builds {
        all.push(own("max_parallel_maintenance_workers", "0"));
    }
    if !options.durable {
        // Commits still reach the kernel, so that even such a server keeps them when it is killed.
        all.extend(["fsync", "full_page_writes"].map(|name| own(name, "off")));
        // Shared memory inside the data folder, so that a killed test server leaves nothing outside it.
        all.push(own("dynamic_shared_memory_type", "mmap"));
    }
    all.extend(options.settings.iter().cloned());
    all
}

const FIXED: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    // One household on a small machine: the pools together stay below 40.
    ("max_connections", "40"),
    ("shared_buffers", "32MB"),
    ("effective_cache_size", "256MB"),
    ("max_wal_size", "256MB"),
    ("min_wal_size", "32MB"),
    // No replicas are ever attached, so the log need only carry what a crash needs.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_logical_replication_workers", "0"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // The log must not hold what people wrote: no statements, no row values in details.
    ("logging_collector", "off"),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("log_checkpoints", "off"),
];

fn own(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The setting is a list: a comma or a quote in the path would end the entry.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(durable: bool) -> Options {
        Options {
            data_dir: "/d".into(),
            cache_dir: "/c".into(),
            install: None,
            settings: vec![own("max_connections", "7")],
            launcher: Launcher { program: "/l".into(), args: Vec::new() },
            durable,
        }
    }

    fn last<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
        all.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_callers_settings_win() {
        let all = settings(&options(true), Path::new("/run/a,b"), true);
        assert_eq!(last(&all, "max_connections"), Some("7"));
        assert_eq!(last(&all, "unix_socket_directories"), Some("\"/run/a,b\""));
        assert_eq!(last(&all, "fsync"), None);
        assert_eq!(last(&all, "max_parallel_maintenance_workers"), None);
    }

    #[test]
    fn an_old_pgvector_never_builds_indexes_in_parallel() {
        let all = settings(&options(false), Path::new("/run/a"), false);
        assert_eq!(last(&all, "max_parallel_maintenance_workers"), Some("0"));
        assert_eq!(last(&all, "fsync"), Some("off"));
    }
}
