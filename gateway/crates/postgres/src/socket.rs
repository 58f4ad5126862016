//! Where the server's socket lies: beside the data, or in a short folder when that path is too long for the
//! kernel (107 bytes with the file's name).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::error::Error;

pub(crate) const PORT: u16 = 5432;
const LONGEST: usize = 107;

/// Prepares the folder for the socket of the database in `data_dir`, closed to everybody else.
pub(crate) fn prepare(data_dir: &Path, account: Account) -> Result<PathBuf, Error> {
    let folder = choose(data_dir, account);
    match fs::symlink_metadata(&folder) {
        Err(_) => account.private_dir(&folder)?,
        // A shared folder such as /tmp may hold a trap of the same name.
        Ok(metadata) if !metadata.is_dir() => return Err(Error::SocketDir { path: folder, reason: "is not a folder" }),
        Ok(metadata) if metadata.uid() != account.uid => {
            return Err(Error::SocketDir { path: folder, reason: "belongs to another user" });
        }
        Ok(_) => {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(Error::io("close", &folder))?;
        }
    }
    Ok(folder)
}

fn choose(data_dir: &Path, account: Account) -> PathBuf {
    let beside = data_dir.join("socket");
    if fits(&beside) {
        return beside;
    }
    let name = format!("adjutant-{}", &hex::encode(Sha256::digest(data_dir.as_os_str().as_bytes()))[..16]);
    let own_run = PathBuf::from(format!("/run/user/{}", account.uid));
    let base = if account.drop && Path::new("/run").is_dir() {
        PathBuf::from("/run")
    } else if fs::metadata(&own_run).is_ok_and(|metadata| metadata.uid() == account.uid) {
        own_run
    } else {
        PathBuf::from("/tmp")
    };
    base.join(name)
}

fn fits(folder: &Path) -> bool {
    folder.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Account = Account { uid: 4_000_000, gid: 4_000_000, drop: false };

    #[test]
    fn a_long_path_gets_a_short_socket_folder_of_its_own() {
        let long = |name: &str| PathBuf::from(format!("/{}/{name}", "x".repeat(100)));
        assert_eq!(choose(Path::new("/var/lib/adjutant"), USER), Path::new("/var/lib/adjutant/socket"));
        assert!(fits(&choose(&long("a"), USER)));
        assert_ne!(choose(&long("a"), USER), choose(&long("b"), USER));
    }
}
