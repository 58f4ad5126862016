//! The database folder: its lock, its first initialisation, the superuser's password. Nothing here deletes
//! a folder that ever held data.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::connection::SUPERUSER;
use crate::error::Error;
use crate::install::Install;
use crate::options::Options;
use crate::{MAJOR, child};

const UNFINISHED: &str = ".initdb-";

/// Held as long as one of our processes may start or run the server in `data_dir`.
pub(crate) fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::AlreadyRunning { data_dir: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

/// Makes sure that a cluster of our version is there, and returns the superuser's password.
pub(crate) fn prepare(options: &Options, install: &Install, account: Account) -> Result<String, Error> {
    let cluster = options.cluster_dir();
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(version) if version.trim().parse() == Ok(MAJOR) => {}
        Ok(version) => return Err(Error::WrongMajor { path: cluster, found: version.trim().to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if fs::read_dir(&cluster).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(Error::NotACluster { path: cluster });
            }
            initialise(options, install, account)?;
        }
        Err(error) => return Err(Error::io("read the version of", cluster)(error)),
    }
    password(&options.data_dir)
}

/// The superuser's password, 0600 and outside the folder that belongs to the server's user.
pub(crate) fn password(data_dir: &Path) -> Result<String, Error> {
    let path = password_path(data_dir);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(Error::PasswordMissing { path }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::PasswordMissing { path }),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Builds the cluster under another name and renames it, so that a killed initdb leaves no half cluster.
fn initialise(options: &Options, install: &Install, account: Account) -> Result<(), Error> {
    remove_unfinished(&options.data_dir)?;
    let password = match password(&options.data_dir) {
        Ok(password) => password,
        Err(Error::PasswordMissing { .. }) => new_password(&options.data_dir)?,
        Err(error) => return Err(error),
    };

    let workshop = options.data_dir.join(format!("{UNFINISHED}{}", std::process::id()));
    account.private_dir(&workshop)?;
    let password_file = workshop.join("password");
    write_private(&password_file, &password)?;
    account.give(&password_file)?;
    let fresh = workshop.join("data");

    tracing::info!(postgres.data = %options.cluster_dir().display(), "creating the embedded database");
    let mut command = child::command(options, install, account, "initdb")?;
    command.arg("-D").arg(&fresh).args(["-U", SUPERUSER, "-E", "UTF8"]);
    command.args(["--locale-provider=builtin", "--locale=C.UTF-8", "-A", "scram-sha-256"]);
    command.arg("--pwfile").arg(&password_file);
    if !options.durable {
        command.arg("-N");
    }
    let output = command.output().map_err(Error::io("run", &options.launcher.program))?;
    if !output.status.success() {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(Error::Initdb { output: last_lines(&text, 5) });
    }

    fs::rename(&fresh, options.cluster_dir()).map_err(Error::io("finish", options.cluster_dir()))?;
    if options.durable {
        let folder = File::open(&options.data_dir).map_err(Error::io("open", &options.data_dir))?;
        folder.sync_all().map_err(Error::io("sync", &options.data_dir))?;
    }
    remove_unfinished(&options.data_dir)
}

/// These folders never became a database: no server ran on them. Only under the lock.
fn remove_unfinished(data_dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(data_dir).map_err(Error::io("read", data_dir))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

fn new_password(data_dir: &Path) -> Result<String, Error> {
    let mut bytes = [0_u8; 32];
    let source = Path::new("/dev/urandom");
    File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::io("read", source))?;
    let password = hex::encode(bytes);
    let (temporary, path) = (data_dir.join(format!("{UNFINISHED}password")), password_path(data_dir));
    let _ = fs::remove_file(&temporary);
    write_private(&temporary, &password)?;
    fs::rename(&temporary, &path).map_err(Error::io("finish", path))?;
    Ok(password)
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut file =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map_err(Error::io("create", path))?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

fn password_path(data_dir: &Path) -> PathBuf {
    data_dir.join("superuser.password")
}

/// The end of a program's output, for an error that has to fit on a screen.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
