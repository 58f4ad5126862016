//! From a folder to a server that accepts connections.
#![expect(
    clippy::disallowed_methods,
    reason = "a starting postgres tells its state only through a file, so this polls"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use crate::account::{self, Account};
use crate::cluster::{self, last_lines};
use crate::connection::Connection;
use crate::error::Error;
use crate::install::Install;
use crate::options::{self, Options};
use crate::server::Server;
use crate::stop::{self, StopMode};
use crate::{child, pidfile, socket};

/// How long an earlier server may take to stop, asked for every quarter of a second.
const OLD_SERVER: Duration = Duration::from_mins(1);
const OLD_SERVER_STEP: Duration = Duration::from_millis(250);
/// How long the start may take, replay after a crash included.
const READY: Duration = Duration::from_mins(2);
const READY_STEP: Duration = Duration::from_millis(2);
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

pub(crate) fn start(options: &Options) -> Result<Server, Error> {
    let begun = Instant::now();
    account::make_dirs(&options.data_dir, account::outer_mode())?;
    let options = &Options { data_dir: account::canonical(&options.data_dir)?, ..options.clone() };
    let cluster = options.cluster_dir();
    let lock = cluster::lock(&options.data_dir)?;

    let account = Account::for_cluster(&cluster)?;
    let install = match &options.install {
        Some(path) => Install::at(path)?,
        None => Install::bundled(&options.cache_dir)?,
    };
    account.check_reaches(&options.data_dir)?;
    account.check_reaches(install.bin_dir())?;
    let password = cluster::prepare(options, &install, account)?;
    // The cluster may be a link to another disk.
    account.check_reaches(&account::canonical(&cluster)?)?;
    let socket_dir = socket::prepare(&options.data_dir, account)?;

    let deadline = Instant::now() + OLD_SERVER;
    loop {
        wait_for_old_server(&cluster, &socket_dir, deadline)?;
        let log = Log::open(options.data_dir.join("postgres.log"))?;
        let command = server_command(options, &install, account, &socket_dir, &log)?;
        let (child, parent) = spawn_from_own_thread(command).map_err(Error::io("run", &options.launcher.program))?;
        let connection = Connection { socket_dir: socket_dir.clone(), password: password.clone(), pid: child.id() };
        // A second handle on the same lock: it is held until both are closed.
        let held = lock.try_clone().map_err(Error::io("share the lock of", &options.data_dir))?;
        let install = install.clone();
        let mut server = Server { connection, install, child, exited: None, _parent: parent, _lock: held };
        match wait_until_ready(&mut server, &cluster, &log) {
            Ok(()) => {
                let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(postgres.pid = server.pid(), duration_ms, "the embedded postgres is ready");
                return Ok(server);
            }
            // Its processes can outlive a killed postmaster for a moment, without leaving a file that says so.
            Err(Error::Exited { tail, .. }) if in_use(&tail) && Instant::now() < deadline => {
                std::thread::sleep(OLD_SERVER_STEP);
            }
            Err(error) => return Err(error),
        }
    }
}

fn server_command(
    options: &Options,
    install: &Install,
    account: Account,
    socket_dir: &Path,
    log: &Log,
) -> Result<Command, Error> {
    let mut command = child::command(options, install, account, "postgres")?;
    command.arg("-D").arg(options.cluster_dir());
    for (name, value) in options::settings(options, socket_dir, install.parallel_index_builds()) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.stdout(log.handle()?).stderr(log.handle()?);
    Ok(command)
}

/// The parent-death signal comes when the spawning *thread* ends, and our caller's thread may be short-lived.
fn spawn_from_own_thread(mut command: Command) -> std::io::Result<(Child, Sender<()>)> {
    let (answer, child) = mpsc::channel();
    let (parent, ended) = mpsc::channel::<()>();
    std::thread::Builder::new().name("postgres-parent".to_owned()).spawn(move || {
        let _ = answer.send(command.spawn());
        // Nothing is ever sent: this returns when the server is dropped.
        let _ = ended.recv();
    })?;
    let child = child.recv().map_err(std::io::Error::other)??;
    Ok((child, parent))
}

/// Waits while a server that lost its parent is still stopping.
fn wait_for_old_server(cluster: &Path, socket_dir: &Path, deadline: Instant) -> Result<(), Error> {
    while let Some(file) = pidfile::read(cluster) {
        if !pidfile::serves(file.pid, cluster) {
            break;
        }
        if Instant::now() >= deadline {
            let (pid, data_dir) = (file.pid, cluster.to_owned());
            return Err(Error::StillRunning { pid, data_dir, seconds: OLD_SERVER.as_secs() });
        }
        std::thread::sleep(OLD_SERVER_STEP);
    }
    pidfile::remove_false(cluster, socket_dir)
}

fn wait_until_ready(server: &mut Server, cluster: &Path, log: &Log) -> Result<(), Error> {
    let deadline = Instant::now() + READY;
    loop {
        if let Some(status) = server.try_exited() {
            return Err(Error::Exited { status, log: log.path.clone(), tail: log.tail() });
        }
        if pidfile::read(cluster).is_some_and(|file| file.ready && file.pid == server.pid()) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            stop::stop(server, StopMode::Immediate)?;
            return Err(Error::NotReady { seconds: READY.as_secs(), log: log.path.clone() });
        }
        std::thread::sleep(READY_STEP);
    }
}

fn in_use(tail: &str) -> bool {
    ["pre-existing shared memory block", "lock file \""].iter().any(|sign| tail.contains(sign))
}

/// The server's own log. Emptied at a start when it has grown large, never while the server writes.
struct Log {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl Log {
    fn open(path: PathBuf) -> Result<Log, Error> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        let mut begin = file.metadata().map_err(Error::io("read", &path))?.len();
        if begin > LOG_LIMIT {
            file.set_len(0).map_err(Error::io("empty", &path))?;
            begin = 0;
        }
        Ok(Log { path, file, begin })
    }

    fn handle(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(Error::io("share", &self.path))
    }

    /// What this start wrote.
    fn tail(&self) -> String {
        let mut text = Vec::new();
        let read = fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begin))?;
            file.take(LOG_LIMIT).read_to_end(&mut text)
        });
        if read.is_ok() { last_lines(&String::from_utf8_lossy(&text), 5) } else { String::new() }
    }
}
