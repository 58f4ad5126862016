//! How to reach a server that runs, for the process that started it and for others of the same user.

use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::socket::PORT;
use crate::{cluster, pidfile};

/// The bootstrap superuser. For creating roles and extensions, never for serving.
pub const SUPERUSER: &str = "postgres";

#[derive(Clone)]
pub struct Connection {
    pub(crate) socket_dir: PathBuf,
    pub(crate) password: String,
    pub(crate) pid: u32,
}

impl Connection {
    /// The server that another process of ours runs on this data, when there is one and it is ready.
    pub(crate) fn existing(options: &Options) -> Option<Connection> {
        let data_dir = options.data_dir.canonicalize().ok()?;
        let cluster = data_dir.join("data");
        let file = pidfile::read(&cluster).filter(|file| file.ready && pidfile::serves(file.pid, &cluster))?;
        Some(Connection { socket_dir: file.socket_dir?, password: cluster::password(&data_dir).ok()?, pid: file.pid })
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Part of the socket's name; the server listens on no network port.
    pub fn port(&self) -> u16 {
        PORT
    }

    pub fn superuser(&self) -> &'static str {
        SUPERUSER
    }

    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("socket_dir", &self.socket_dir)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}
