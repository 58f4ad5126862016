//! Kills, and what must be left after them.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use adjutant_postgres::{Options, Server, StopMode};

use crate::rig::{Rig, cache_dir, eventually, is_root, kill_hard, psql, sql, uid_of};

#[test]
fn committed_rows_survive_a_killed_server() {
    let rig = Rig::new("postmaster");
    let options = Options { durable: true, ..rig.options() };
    let mut server = Server::start(&options).unwrap();
    assert_eq!(sql(server.connection(), "show fsync"), "on");
    sql(server.connection(), "create table kept (n int)");
    for round in 1..=2 {
        sql(server.connection(), &format!("insert into kept values ({round})"));
        kill_hard(server.pid());
        let status = eventually("the server is gone", || server.try_exited());
        assert_eq!(status.signal(), Some(9));
        drop(server);
        server = Server::start(&options).unwrap();
        assert_eq!(sql(server.connection(), "select count(*) from kept"), round.to_string());
    }
}

#[test]
fn a_session_that_outlives_the_server_is_waited_for() {
    let rig = Rig::new("orphan");
    let mut server = Server::start(&rig.options()).unwrap();
    sql(server.connection(), "create table kept (n int); insert into kept values (7)");
    // A busy session does not notice that its server is gone, and postgres refuses to start beside it.
    let busy = "do $$ declare began timestamptz := clock_timestamp(); begin
        while clock_timestamp() < began + interval '1 s' loop null; end loop; end $$";
    let mut session = psql(server.connection(), busy).stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("the session is busy", || {
        let count = "select count(*) from pg_stat_activity where state = 'active' and query like 'do %'";
        (sql(server.connection(), count) == "1").then_some(())
    });
    kill_hard(server.pid());
    eventually("the server is gone", || server.try_exited());
    drop(server);
    let server = Server::start(&rig.options()).unwrap();
    assert_eq!(sql(server.connection(), "select n from kept"), "7");
    let log = fs::read_to_string(rig.root.join("pg/postgres.log")).unwrap();
    assert!(log.contains("pre-existing shared memory block"), "{log}");
    session.wait().unwrap();
}

#[test]
fn the_server_goes_with_its_killed_starter_and_the_next_one_takes_over() {
    let rig = Rig::new("starter");
    let (mut starter, connection) = rig.serve("pg", &cache_dir(), None);
    sql(&connection, "create table kept (n int); insert into kept values (7)");
    kill_hard(starter.id());
    starter.wait().unwrap();
    // At once: it may meet the old server while that is still stopping.
    let server = Server::start(&rig.options()).unwrap();
    assert_ne!(server.pid(), connection.pid());
    assert_eq!(sql(server.connection(), "select n from kept"), "7");
    eventually("the old server is gone", || {
        // Whoever adopted it may be slow to collect it; the dead have no command line.
        let command = fs::read(format!("/proc/{}/cmdline", connection.pid()));
        command.unwrap_or_default().is_empty().then_some(())
    });
}

#[test]
fn a_lock_file_that_names_another_program_is_removed() {
    let rig = Rig::new("stale");
    let options = rig.options();
    let server = Server::start(&options).unwrap();
    let uid = uid_of(server.pid());
    sql(server.connection(), "create table kept (n int); insert into kept values (7)");
    let socket_dir = server.socket_dir().to_owned();
    let cluster = rig.root.join("pg/data");
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
    server.stop(StopMode::Immediate).unwrap();

    // The number was given to another program of the same user: postgres itself would refuse to start.
    let mut command = Command::new("sleep");
    command.arg("60");
    if is_root() {
        command.uid(uid).gid(uid);
    }
    let mut other = command.spawn().unwrap();
    let text = format!("{}\n{}", other.id(), text.split_once('\n').unwrap().1);
    fs::write(cluster.join("postmaster.pid"), &text).unwrap();
    fs::write(socket_dir.join(".s.PGSQL.5432.lock"), &text).unwrap();

    let started = Server::start(&options);
    assert!(other.try_wait().unwrap().is_none(), "the other program was left alone");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(sql(started.unwrap().connection(), "select n from kept"), "7");
}

#[test]
fn a_killed_initdb_leaves_nothing_that_matters() {
    let rig = Rig::new("initdb");
    let half = rig.root.join("pg/.initdb-1/data");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "17\n").unwrap();
    let pg = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    fs::set_permissions(rig.root.join("pg"), pg).unwrap();
    let server = Server::start(&rig.options()).unwrap();
    assert_eq!(sql(server.connection(), "select 1"), "1");
    assert!(!rig.root.join("pg/.initdb-1").exists());
}
