//! Folders that do not fit, and the sentences about them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use adjutant_postgres::{Error, Install, Options, Server, StopMode};

use crate::rig::{NOBODY, Rig, cache_dir, is_root, sql};

#[test]
fn a_folder_that_nobody_cannot_reach_is_named() {
    if !is_root() {
        return; // an ordinary user runs the server as itself
    }
    let rig = Rig::new("closed");
    let home = rig.root.join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let options = Options { data_dir: home.join("adjutant/pg"), ..rig.options() };
    let error = Server::start(&options).unwrap_err();
    assert!(matches!(&error, Error::Unreachable { blocked, .. } if *blocked == home), "{error}");
    assert!(error.to_string().contains("/var/lib/adjutant"), "{error}");
    assert!(!options.data_dir.join("data").exists());
}

#[test]
fn data_of_another_version_is_refused_and_kept() {
    let rig = Rig::new("version");
    let data = foreign_data(&rig, "PG_VERSION", "16\n");
    let error = Server::start(&rig.options()).unwrap_err();
    assert!(matches!(&error, Error::WrongMajor { found, .. } if found == "16"), "{error}");
    assert_eq!(fs::read_to_string(data.join("PG_VERSION")).unwrap(), "16\n");
}

#[test]
fn a_folder_that_is_no_database_is_refused_and_kept() {
    let rig = Rig::new("foreign");
    let data = foreign_data(&rig, "letters.txt", "dear diary");
    assert!(matches!(Server::start(&rig.options()), Err(Error::NotACluster { .. })));
    assert!(data.join("letters.txt").exists());
}

#[test]
fn a_lost_password_file_is_named() {
    let rig = Rig::new("lost");
    foreign_data(&rig, "PG_VERSION", "17\n");
    assert!(matches!(Server::start(&rig.options()), Err(Error::PasswordMissing { .. })));
}

#[test]
fn a_long_path_is_served_through_a_short_socket() {
    let rig = Rig::new("long");
    let options = Options { data_dir: rig.root.join("x".repeat(90)), ..rig.options() };
    let server = Server::start(&options).unwrap();
    let socket_dir = server.socket_dir().to_owned();
    assert!(!socket_dir.starts_with(&rig.root));
    assert_eq!(sql(server.connection(), "select 1"), "1");
    assert_eq!(Server::existing(&options).unwrap().socket_dir(), socket_dir);
    server.stop(StopMode::Fast).unwrap();
    fs::remove_dir_all(socket_dir).unwrap();
}

#[test]
fn two_processes_unpack_at_once() {
    let rig = Rig::new("unpack");
    let cache = rig.root.join("cache");
    std::thread::scope(|scope| {
        let both = ["a", "b"].map(|name| {
            let (rig, cache) = (&rig, &cache);
            // The folders of the data differ, that of the cache is one.
            scope.spawn(move || rig.serve(name, cache, None))
        });
        for started in both {
            let (mut child, connection) = started.join().unwrap();
            assert_eq!(sql(&connection, "select 1"), "1");
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
    });
    let left: Vec<_> = fs::read_dir(cache.join("pg")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "one installation and one lock: {left:?}");
}

#[test]
fn an_installation_can_be_given() {
    let home = Install::bundled(&cache_dir()).unwrap().bin_dir().parent().unwrap().to_owned();
    let install = Install::at(&home).unwrap();
    assert_eq!(install.bin_dir(), home.join("bin"));
    assert!(matches!(Install::at(&home.join("share")), Err(Error::BadInstall { .. })));
}

/// A cluster folder that holds one file, owned as a real one would be.
fn foreign_data(rig: &Rig, file: &str, text: &str) -> std::path::PathBuf {
    let outer = rig.root.join("pg");
    let data = outer.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(data.join(file), text).unwrap();
    if is_root() {
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    data
}
