//! A server that this process started. Dropping it stops it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;

use crate::connection::Connection;
use crate::error::Error;
use crate::install::Install;
use crate::options::Options;
use crate::stop::StopMode;
use crate::{start, stop};

pub struct Server {
    pub(crate) connection: Connection,
    pub(crate) install: Install,
    pub(crate) child: Child,
    /// Set once the child was waited for.
    pub(crate) exited: Option<ExitStatus>,
    /// Ends the thread that spawned the child, which the kernel takes for its parent.
    pub(crate) _parent: Sender<()>,
    /// Released last, when no server can be left.
    pub(crate) _lock: File,
}

impl Server {
    /// Unpacks, initialises and starts as far as needed; returns when the server accepts connections.
    /// Blocks for about half a second at the first start, and for milliseconds later.
    pub fn start(options: &Options) -> Result<Server, Error> {
        start::start(options)
    }

    /// The server that another process of ours runs on this data, so that a command can connect to it.
    pub fn existing(options: &Options) -> Option<Connection> {
        Connection::existing(options)
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn socket_dir(&self) -> &Path {
        self.connection.socket_dir()
    }

    pub fn port(&self) -> u16 {
        self.connection.port()
    }

    pub fn superuser(&self) -> &'static str {
        self.connection.superuser()
    }

    pub fn superuser_password(&self) -> &str {
        self.connection.superuser_password()
    }

    pub fn pid(&self) -> u32 {
        self.connection.pid()
    }

    /// The folder with `psql`, `pg_dump` and `pg_restore` of the same version.
    pub fn bin_dir(&self) -> &Path {
        self.install.bin_dir()
    }

    /// How the server ended, when it did. Then drop this value and start again.
    pub fn try_exited(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten();
        }
        self.exited
    }

    /// Stops the server and waits for its end.
    pub fn stop(mut self, mode: StopMode) -> Result<(), Error> {
        stop::stop(&mut self, mode)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.try_exited().is_none()
            && let Err(error) = stop::stop(self, StopMode::Fast)
        {
            tracing::warn!(%error, "the embedded postgres was not stopped cleanly");
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("connection", &self.connection).finish_non_exhaustive()
    }
}
