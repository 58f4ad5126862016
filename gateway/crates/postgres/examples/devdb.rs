//! A throwaway database with all migrations, for `./x sqlx`: prints `DATABASE_URL=…`, then waits until its input ends.
//!
//! It stands here, and not where migrations are run for real, because that crate does not compile while the query data
//! is out of date, which is when this is needed.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a tool for developers"
)]

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use adjutant_postgres::{Launcher, Options, Server, StopMode, launch_child};

/// What `adjutant migrate` prepares, and the ledger that the migrator makes before the first migration.
const PREPARED: &str = "create role adjutant_owner; create role adjutant_app; create role adjutant_system; \
    create extension if not exists vector; \
    create table _sqlx_migrations (version bigint primary key, description text not null, installed_on timestamptz, \
        success boolean not null, checksum bytea not null, execution_time bigint not null);";

fn main() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == "launch") {
        let Err(error) = launch_child(args);
        panic!("{error}");
    }
    let folder = std::env::temp_dir().join(format!("adjutant-devdb-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(&Options {
        data_dir: folder.join("data"),
        cache_dir: folder.join("cache"),
        install: None,
        settings: Vec::new(),
        launcher: Launcher { program: std::env::current_exe().unwrap(), args: vec![OsString::from("launch")] },
        durable: false,
    })
    .unwrap();
    psql(&server, &["-c", PREPARED]);
    for migration in migrations() {
        psql(&server, &["-f", migration.to_str().unwrap()]);
    }
    let (user, password) = (server.superuser(), server.superuser_password());
    let socket = server.socket_dir().display().to_string().replace('/', "%2F");
    println!("DATABASE_URL=postgres://{user}:{password}@localhost:{}/postgres?host={socket}", server.port());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    server.stop(StopMode::Fast).unwrap();
    fs::remove_dir_all(&folder).unwrap();
}

fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn psql(server: &Server, args: &[&str]) {
    let done = Command::new(server.bin_dir().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h"])
        .arg(server.socket_dir())
        .args(["-p", &server.port().to_string(), "-U", server.superuser(), "-d", "postgres"])
        .args(args)
        .env("PGPASSWORD", server.superuser_password())
        .status()
        .unwrap();
    assert!(done.success(), "psql failed");
}
