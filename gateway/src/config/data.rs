//! Where files live: the data directory, and a cache that may be deleted at any time.

use std::path::{Path, PathBuf};

use super::environment::{Environment, Reader};

const DIR: &str = "ADJUTANT_DATA_DIR";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    pub dir: PathBuf,
    /// Holds the unpacked database server, once per version and for all data directories.
    pub cache_dir: PathBuf,
}

impl Data {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let root = rustix::process::geteuid().is_root();
        let dir = reader.parsed(DIR, absolute).or_else(|| default_dir(reader.environment, root));
        let dir = dir.unwrap_or_else(|| {
            reader.fault(DIR, "is not set, and neither is HOME: name a directory for the data");
            PathBuf::new()
        });
        let cache_dir = cache_dir(reader.environment, root).unwrap_or_else(|| dir.join("cache"));
        Self { dir, cache_dir }
    }

    /// The folder of the embedded database.
    pub fn postgres_dir(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// Relative to where the server is started. It need not exist yet.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|error| format!("is no path: {error}"))
}

/// As root below `/var`: the database runs as another user, who cannot reach root's home.
fn default_dir(environment: &Environment, root: bool) -> Option<PathBuf> {
    if root {
        return Some("/var/lib/adjutant".into());
    }
    Some(home_or(environment, "XDG_DATA_HOME", ".local/share")?.join("adjutant"))
}

fn cache_dir(environment: &Environment, root: bool) -> Option<PathBuf> {
    if root {
        return Some("/var/cache/adjutant".into());
    }
    Some(home_or(environment, "XDG_CACHE_HOME", ".cache")?.join("adjutant"))
}

fn home_or(environment: &Environment, name: &str, below_home: &str) -> Option<PathBuf> {
    let named = environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(below_home)))
}
