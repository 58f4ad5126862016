//! A folder per test, and what the tests do with a server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use adjutant_postgres::{Connection, Install, Options, Server};

use crate::launcher;

pub(crate) const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) struct Rig {
    pub(crate) root: PathBuf,
}

impl Rig {
    /// A folder that `nobody` can pass through, in memory where possible.
    pub(crate) fn new(name: &str) -> Rig {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let root = base.join(format!("adjutant-pg-{name}-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        Rig { root }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            data_dir: self.root.join("pg"),
            cache_dir: cache_dir(),
            install: None,
            settings: Vec::new(),
            launcher: launcher::this_binary(),
            durable: false,
        }
    }

    /// Another process that runs a server in `name` until it is killed or told to stop.
    pub(crate) fn serve(&self, name: &str, cache_dir: &Path, uid: Option<u32>) -> (Child, Connection) {
        let data_dir = self.root.join(name);
        let mut program = std::env::current_exe().unwrap();
        if uid.is_some() {
            // The checkout may be closed to that user.
            let copy = self.root.join("program");
            fs::copy(&program, &copy).unwrap();
            program = copy;
        }
        let mut command = Command::new(&program);
        command.args(launcher::args_of("launcher::serve")).arg(&data_dir).arg(cache_dir).current_dir("/");
        if let Some(uid) = uid {
            fs::create_dir(&data_dir).unwrap();
            chown(&data_dir, Some(uid), Some(uid)).unwrap();
            command.uid(uid).gid(uid);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let options = Options { data_dir, ..self.options() };
        let connection = eventually("the other process serves", || Server::existing(&options));
        (child, connection)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Shared by all runs of one user: unpacking takes longer than most tests.
pub(crate) fn cache_dir() -> PathBuf {
    std::env::temp_dir().join(format!("adjutant-test-cache-{}", rustix::process::geteuid().as_raw()))
}

pub(crate) fn run_sql(connection: &Connection, sql: &str) -> Output {
    psql(connection, sql).output().unwrap()
}

pub(crate) fn psql(connection: &Connection, sql: &str) -> Command {
    let install = Install::bundled(&cache_dir()).unwrap();
    let mut command = Command::new(install.bin_dir().join("psql"));
    command.env_clear().env("PGPASSWORD", connection.superuser_password());
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-U", connection.superuser(), "-h"]);
    command.arg(connection.socket_dir()).args(["-p", &connection.port().to_string(), "-c", sql]);
    command
}

pub(crate) fn sql(connection: &Connection, sql: &str) -> String {
    let output = run_sql(connection, sql);
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn kill_hard(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The user that a process runs as.
pub(crate) fn uid_of(pid: u32) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}")).unwrap())
}

pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
