//! What a running server offers and keeps to itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use adjutant_postgres::{Error, Install, Server, StopMode};

use crate::rig::{NOBODY, Rig, cache_dir, is_root, run_sql, sql, uid_of};

#[test]
fn a_started_server_answers_and_keeps_its_data() {
    let rig = Rig::new("answers");
    let options = rig.options();
    let server = Server::start(&options).unwrap();
    let connection = server.connection().clone();
    assert!(sql(&connection, "show server_version").starts_with("17."));
    assert_eq!(sql(&connection, "show listen_addresses"), "");
    assert_eq!(sql(&connection, "create extension vector; select '[1,2]'::vector <-> '[1,4]'"), "2");
    // Full text folds the case of more than ASCII.
    assert_eq!(sql(&connection, "select to_tsvector('simple', 'ÄRGER') @@ to_tsquery('simple', 'ärger')"), "t");
    sql(&connection, "create table kept (n int); insert into kept values (42)");
    if is_root() {
        assert_eq!(uid_of(server.pid()), NOBODY);
    }
    server.stop(StopMode::Fast).unwrap();
    assert!(Server::existing(&options).is_none());

    let server = Server::start(&options).unwrap();
    assert_eq!(sql(server.connection(), "select n from kept"), "42");
}

#[test]
fn only_the_password_opens_the_server() {
    let rig = Rig::new("password");
    let server = Server::start(&rig.options()).unwrap();
    assert_eq!(server.superuser_password().len(), 64);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&rig.root.join("pg/superuser.password")), 0o600);
    assert_eq!(mode(server.socket_dir()), 0o700);

    fs::write(rig.root.join("pg/superuser.password"), "wrong").unwrap();
    let stranger = Server::existing(&rig.options()).unwrap();
    let output = run_sql(&stranger, "select 1");
    assert!(String::from_utf8_lossy(&output.stderr).contains("password authentication failed"));
}

#[test]
fn the_log_holds_no_statement_and_no_row() {
    let rig = Rig::new("log");
    let server = Server::start(&rig.options()).unwrap();
    sql(server.connection(), "create table t (secret text unique); insert into t values ('canary')");
    assert!(!run_sql(server.connection(), "insert into t values ('canary')").status.success());
    assert!(!run_sql(server.connection(), "select 'canary' from nowhere").status.success());
    let log = fs::read_to_string(rig.root.join("pg/postgres.log")).unwrap();
    assert!(log.contains("duplicate key value") && log.contains("nowhere"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn a_second_starter_is_refused_and_can_connect_instead() {
    let rig = Rig::new("second");
    let options = rig.options();
    let server = Server::start(&options).unwrap();
    assert!(matches!(Server::start(&options), Err(Error::AlreadyRunning { .. })));
    let existing = Server::existing(&options).unwrap();
    assert_eq!(existing.pid(), server.pid());
    assert_eq!(sql(&existing, "select 1"), "1");
}

#[test]
fn the_server_outlives_the_thread_that_asked_for_it() {
    let rig = Rig::new("thread");
    let options = rig.options();
    let mut server = std::thread::spawn(move || Server::start(&options)).join().unwrap().unwrap();
    assert_eq!(sql(server.connection(), "select 1"), "1");
    assert!(server.try_exited().is_none());
    server.stop(StopMode::Immediate).unwrap();
}

#[test]
fn an_ordinary_user_runs_the_server_as_itself() {
    if !is_root() {
        return; // then every other test shows it
    }
    let rig = Rig::new("user");
    Install::bundled(&cache_dir()).unwrap();
    let (mut child, connection) = rig.serve("mine", &cache_dir(), Some(NOBODY));
    assert_eq!(uid_of(connection.pid()), NOBODY);
    assert_eq!(sql(&connection, "select 1"), "1");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
