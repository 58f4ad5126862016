//! A postgres installation: ours out of the bundle, or one that somebody unpacked or built.
#![expect(clippy::disallowed_methods, reason = "this crate is the one that starts processes")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::{account, archive, unpack};

#[derive(Debug, Clone)]
pub struct Install {
    bin_dir: PathBuf,
    parallel_index_builds: bool,
}

impl Install {
    /// The bundled installation, unpacked below `cache_dir` when it is not there yet.
    pub fn bundled(cache_dir: &Path) -> Result<Install, Error> {
        let archive = archive::BUNDLED.ok_or(Error::Unsupported)?;
        Ok(Install::inspect(&unpack::unpack(&archive, cache_dir)?))
    }

    /// An installation in `path` with `bin/`, `lib/` and `share/`, as `bundle/build.sh` leaves it.
    pub fn at(path: &Path) -> Result<Install, Error> {
        let path = account::canonical(path)?;
        let install = Install::inspect(&path);
        for program in ["postgres", "initdb"] {
            if !install.program(program).is_file() {
                return Err(Error::BadInstall { path, reason: format!("bin/{program} is missing") });
            }
        }
        let version = install.version()?;
        let major = version.split('.').next().unwrap_or_default();
        if major.parse() != Ok(crate::MAJOR) {
            return Err(Error::BadInstall {
                path,
                reason: format!("it is postgres {version}, and version {} is needed", crate::MAJOR),
            });
        }
        Ok(install)
    }

    /// The folder with `postgres`, `psql`, `pg_dump` and the other programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// pgvector before 0.8.2 writes out of bounds when it builds an HNSW index in parallel (CVE-2026-3172).
    pub fn parallel_index_builds(&self) -> bool {
        self.parallel_index_builds
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    fn inspect(home: &Path) -> Install {
        let control = fs::read_to_string(home.join("share/extension/vector.control")).unwrap_or_default();
        Install { bin_dir: home.join("bin"), parallel_index_builds: vector_version(&control) >= Some((0, 8, 2)) }
    }

    fn version(&self) -> Result<String, Error> {
        let program = self.program("postgres");
        let output =
            Command::new(&program).arg("--version").env_clear().output().map_err(Error::io("run", &program))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // "postgres (PostgreSQL) 17.11", and distributions add a name in brackets behind it
        text.split_whitespace().nth(2).map(str::to_owned).ok_or_else(|| Error::BadInstall {
            path: program,
            reason: format!("it does not run ({})", String::from_utf8_lossy(&output.stderr).trim()),
        })
    }
}

/// `None` when the control file does not tell, which counts as too old.
fn vector_version(control: &str) -> Option<(u32, u32, u32)> {
    let line = control.lines().find_map(|line| line.trim().strip_prefix("default_version"))?;
    let mut numbers = line.trim_matches([' ', '=', '\'', '\t']).split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pgvector_version_is_read_from_its_control_file() {
        let control = "comment = 'vector data type'\ndefault_version = '0.8.10'\nrelocatable = true\n";
        assert_eq!(vector_version(control), Some((0, 8, 10)));
        assert!(vector_version(control) >= Some((0, 8, 2)));
        assert!(vector_version("") < Some((0, 8, 2)));
        assert!(vector_version("default_version = '0.8.0'") < Some((0, 8, 2)));
    }
}
