//! The test process's own PostgreSQL: the bundled server on a copy of a migrated template, in memory
//! where there is any, without fsync. It ends with the process.
//!
//! Every test binary is its own launcher: it says [`crate::launcher`]`!();` once in its `main.rs`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use adjutant_postgres::{Launcher, Options, Server, StopMode};
use adjutant_store::migrate;
use adjutant_store::pool::Settings;
use sha2::{Digest, Sha256};

/// The database that every test's database is a copy of.
pub(crate) const TEMPLATE: &str = "adjutant_template";
pub(crate) const APP_PASSWORD: &str = "app-password-of-the-tests";

/// Lets a test binary start servers: expands to the hidden test that becomes one.
#[macro_export]
macro_rules! launcher {
    () => {
        mod launcher {
            #[test]
            fn launch() {
                $crate::cluster::become_server_if_told();
            }
        }
    };
}

/// For [`launcher`]: replaces this process by the server when the arguments say so.
pub fn become_server_if_told() {
    let args: Vec<OsString> = std::env::args_os().skip_while(|arg| arg != "--").skip(1).collect();
    if !args.is_empty() {
        let Err(error) = adjutant_postgres::launch_child(args);
        panic!("{error}");
    }
}

pub(crate) struct Cluster {
    server: Server,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The server of this process, started on first use. Blocks.
pub(crate) fn shared() -> &'static Cluster {
    CLUSTER.get_or_init(|| {
        let home = home();
        sweep(&home);
        let template = template(&home);
        let folder = home.join(format!("run-{}", std::process::id()));
        copy(&template, &folder);
        Cluster { server: Server::start(&options(&home, folder)).expect("the test database starts") }
    })
}

impl Cluster {
    pub(crate) fn admin_url(&self, database: &str) -> String {
        self.url(self.server.superuser(), self.server.superuser_password(), database)
    }

    pub(crate) fn app_url(&self, database: &str) -> String {
        self.url("adjutant_app", APP_PASSWORD, database)
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        let socket = self.server.socket_dir().display().to_string().replace('/', "%2F");
        format!("postgres://{user}:{password}@localhost:{}/{database}?host={socket}", self.server.port())
    }
}

/// A folder of this user in memory, if there is memory to have.
fn home() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let home = base.join(format!("adjutant-test-{}", rustix::process::geteuid().as_raw()));
    std::fs::create_dir_all(&home).expect("a folder for test databases");
    open_to_all(&home);
    home
}

/// As root the server runs as another user, who must reach its data.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

fn options(home: &Path, data_dir: PathBuf) -> Options {
    let program = std::env::current_exe().expect("the path of this test");
    let args = ["launcher::launch", "--exact", "--nocapture", "--"].map(OsString::from).to_vec();
    Options {
        data_dir,
        cache_dir: home.join("cache"),
        install: None,
        settings: vec![("max_connections".into(), "60".into())],
        launcher: Launcher { program, args },
        durable: false,
    }
}

/// A stopped server's folder with a migrated template database; made once per set of migrations.
fn template(home: &Path) -> PathBuf {
    let folder = home.join(format!("template-{}", fingerprint()));
    let lock = std::fs::File::create(home.join("template.lock")).expect("a lock file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the template's lock");
    if folder.join("made").exists() {
        return folder;
    }
    remove_old_templates(home);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the template");
    open_to_all(&folder);
    let server = Server::start(&options(home, folder.clone())).expect("the template's server starts");
    let cluster = Cluster { server };
    let settings = Settings {
        app_url: cluster.app_url(TEMPLATE).into(),
        admin_url: Some(cluster.admin_url("postgres").into()),
        system_url: None,
        test_clock: None,
    };
    std::thread::scope(|scope| {
        let migrated = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(migrate::migrate(&settings)).expect("the migrations apply");
        });
        migrated.join().expect("the migrations apply");
    });
    cluster.server.stop(StopMode::Fast).expect("the template's server stops");
    std::fs::write(folder.join("made"), "").expect("the template is marked");
    folder
}

/// Templates of earlier migrations; younger ones may belong to another checkout.
fn remove_old_templates(home: &Path) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let made = entry.path().join("made").metadata().and_then(|made| made.modified()).ok();
        let is_old = made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > DAY);
        if is_old && entry.file_name().to_string_lossy().starts_with("template-") {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Changes with every migration and with the way in which templates are made.
fn fingerprint() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../migrations");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the migrations").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for source in [
        include_str!("cluster.rs"),
        include_str!("../../store/src/roles.rs"),
        include_str!("../../store/src/migrate.rs"),
    ] {
        hash.update(source);
    }
    for file in files {
        hash.update(std::fs::read(file).expect("a migration"));
    }
    hex::encode(&hash.finalize()[..8])
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success(), "the template could not be copied");
}

/// Removes what dead test processes left.
fn sweep(home: &Path) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix("run-")) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
