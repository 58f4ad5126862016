//! Why the embedded server could not be had. Every text says what to do about it.

use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "there is no embedded postgres for this platform: set SYSTEM_DB_URL to a postgres 17 server with pgvector 0.8, \
         or build one with gateway/crates/postgres/bundle/build.sh"
    )]
    Unsupported,

    #[error("another process already runs the database in {data_dir}: stop it first, or choose another folder")]
    AlreadyRunning { data_dir: PathBuf },

    #[error(
        "{path} cannot be reached by uid {uid}, which runs the database because postgres refuses root: {blocked} is \
         closed to it; choose a folder such as /var/lib/adjutant, or open it with `chmod o+x {blocked}`"
    )]
    Unreachable { path: PathBuf, blocked: PathBuf, uid: u32 },

    #[error(
        "{path} belongs to uid {owner} but the database would run as uid {uid}: run as that user, or change its owner"
    )]
    WrongOwner { path: PathBuf, owner: u32, uid: u32 },

    #[error(
        "the data in {path} was written by postgres {found}, this is postgres {}: dump it with the old version and restore it \
         here, or set SYSTEM_DB_URL to a server that can read it",
        crate::MAJOR
    )]
    WrongMajor { path: PathBuf, found: String },

    #[error("{path} holds files but is no database (PG_VERSION is missing): restore it, or move it away to begin anew")]
    NotACluster { path: PathBuf },

    #[error("the password file {path} is missing or empty: restore it from the backup of that folder")]
    PasswordMissing { path: PathBuf },

    #[error("no usable postgres in {path}: {reason}")]
    BadInstall { path: PathBuf, reason: String },

    #[error("no folder for the database's socket: {path} {reason}; remove it, or choose a shorter data folder")]
    SocketDir { path: PathBuf, reason: &'static str },

    #[error("initdb failed, nothing was kept; free space and permissions are the usual causes: {output}")]
    Initdb { output: String },

    #[error("postgres ended while it started ({status}); the end of {log}: {tail}")]
    Exited { status: ExitStatus, log: PathBuf, tail: String },

    #[error("postgres was not ready after {seconds} s and was stopped; see {log}")]
    NotReady { seconds: u64, log: PathBuf },

    #[error(
        "an earlier postgres (process {pid}) still runs in {data_dir} after {seconds} s: stop it with `kill -INT {pid}`"
    )]
    StillRunning { pid: u32, data_dir: PathBuf, seconds: u64 },

    #[error("the hidden postgres subcommand is only for adjutant itself: {0}")]
    Launch(&'static str),

    #[error("cannot {what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
}

impl Error {
    /// For `map_err`: what was tried, with which path.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}
