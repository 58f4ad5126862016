//! `postmaster.pid`, which tells who serves a cluster and whether it is ready, and what to do when it lies.
//!
//! postgres refuses to start when the file names a living process of the same user, also when that number
//! was long given to another program. We hold a lock of our own and may therefore look closer.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::socket::PORT;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) socket_dir: Option<PathBuf>,
    pub(crate) ready: bool,
}

/// `None` when there is no file, or when it is half written.
pub(crate) fn read(cluster: &Path) -> Option<PidFile> {
    parse(&fs::read_to_string(path(cluster)).ok()?)
}

/// Lines: pid, data folder, start time, port, socket folder, listen address, shared memory, status.
fn parse(text: &str) -> Option<PidFile> {
    let lines: Vec<&str> = text.lines().collect();
    // A minus sign marks a standalone backend.
    let pid = lines.first()?.trim().trim_start_matches('-').parse().ok()?;
    let socket_dir = lines.get(4).filter(|line| !line.is_empty()).map(PathBuf::from);
    Some(PidFile { pid, socket_dir, ready: lines.get(7).is_some_and(|line| line.trim() == "ready") })
}

/// Whether `pid` is a postgres that serves `cluster`. A doubt counts as yes: then we wait and delete nothing.
pub(crate) fn serves(pid: u32, cluster: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    match fs::read_link(process.join("exe")) {
        Ok(exe) => {
            let name = exe.file_name().unwrap_or_default().to_string_lossy();
            name.trim_end_matches(" (deleted)") == "postgres" && works_in(&process, cluster)
        }
        // Gone, or a dead child that nobody waited for.
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        // Root in a container may not look at another user's processes; the name is open to all.
        Err(_) => fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == "postgres"),
    }
}

/// A postgres changes into its cluster. Compared by identity, because a path can be a link or a bind mount.
fn works_in(process: &Path, cluster: &Path) -> bool {
    match (fs::metadata(process.join("cwd")), fs::metadata(cluster)) {
        (Ok(folder), Ok(cluster)) => (folder.dev(), folder.ino()) == (cluster.dev(), cluster.ino()),
        _ => true,
    }
}

/// Removes lock files that name a living process which is not the server, or nothing at all. Those that name
/// a dead process are left to postgres, which also looks for its orphaned sessions. Only under our lock.
pub(crate) fn remove_false(cluster: &Path, socket_dir: &Path) -> Result<(), Error> {
    for file in [path(cluster), socket_dir.join(format!(".s.PGSQL.{PORT}.lock"))] {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let is_false = parse(&text)
            .is_none_or(|lock| Path::new(&format!("/proc/{}", lock.pid)).exists() && !serves(lock.pid, cluster));
        if is_false {
            fs::remove_file(&file).map_err(Error::io("remove the stale file", &file))?;
            tracing::warn!(file = %file.display(), "removed a lock file of an earlier postgres that named another process");
        }
    }
    Ok(())
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_server_is_recognised() {
        let text = "4711\n/d/data\n1763000000\n5432\n/d/socket\n\n  6881304         2\nready   \n";
        let expected = PidFile { pid: 4711, socket_dir: Some("/d/socket".into()), ready: true };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn a_half_written_file_is_no_server() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("12\n/d"), Some(PidFile { pid: 12, socket_dir: None, ready: false }));
        assert_eq!(parse("4711\n/d\n1\n5432\n/s\n\n  1 2\nstarting\n").map(|file| file.ready), Some(false));
    }

    #[test]
    fn another_program_with_the_number_is_not_the_server() {
        assert!(!serves(std::process::id(), Path::new("/")));
    }
}
