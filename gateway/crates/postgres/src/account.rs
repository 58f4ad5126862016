//! Which user runs the server, and which folders that user can reach. postgres refuses to run as root, so
//! as root the server runs as the owner of its data, for new data `nobody`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

const NOBODY: u32 = 65534;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether we are root, and the child has to become this account.
    pub(crate) drop: bool,
}

impl Account {
    /// The account for the cluster in `cluster`, which may not exist yet.
    pub(crate) fn for_cluster(cluster: &Path) -> Result<Account, Error> {
        let own =
            Account { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), drop: false };
        let owner = match fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", cluster)(error)),
        };
        match (own.uid, owner) {
            (0, Some((0, _))) => Err(Error::WrongOwner { path: cluster.to_owned(), owner: 0, uid: NOBODY }),
            (0, Some((uid, gid))) => Ok(Account { uid, gid, drop: true }),
            (0, None) => Ok(Account { uid: NOBODY, gid: NOBODY, drop: true }),
            (uid, Some((owner, _))) if owner != uid => Err(Error::WrongOwner { path: cluster.to_owned(), owner, uid }),
            _ => Ok(own),
        }
    }

    /// Fails when a folder on the way to `path`, or `path` itself, may not be entered by this account.
    /// Our own rights need no check: the first access tells.
    pub(crate) fn check_reaches(&self, path: &Path) -> Result<(), Error> {
        if !self.drop {
            return Ok(());
        }
        for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let metadata = fs::metadata(ancestor).map_err(Error::io("read", ancestor))?;
            let bit = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & bit == 0 {
                return Err(Error::Unreachable { path: path.to_owned(), blocked: ancestor.to_owned(), uid: self.uid });
            }
        }
        Ok(())
    }

    /// Makes an entry of ours the account's own.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        if self.drop {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
                .map_err(Error::io("change the owner of", path))?;
        }
        Ok(())
    }

    /// Creates a folder that only this account (and root) may enter.
    pub(crate) fn private_dir(&self, path: &Path) -> Result<(), Error> {
        fs::create_dir(path).map_err(Error::io("create", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(Error::io("close", path))?;
        self.give(path)
    }
}

/// The mode of the folder around the cluster: as root, `nobody` has to pass through it.
pub(crate) fn outer_mode() -> u32 {
    if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 }
}

/// Creates `path` and what is missing above it with exactly this mode; leaves existing folders alone.
pub(crate) fn make_dirs(path: &Path, mode: u32) -> Result<(), Error> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dirs(parent, mode)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
        }
        // somebody else was faster
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", path)(error)),
    }
}

/// The server changes its working directory and compares paths, so they are absolute and free of links.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::io("find", path))
}
