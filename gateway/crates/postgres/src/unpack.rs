//! Unpacks the bundle once per version into the cache. Two processes may do so at once; a killed one leaves
//! nothing that looks finished.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account;
use crate::archive::Archive;
use crate::error::Error;

const UNFINISHED: &str = ".unpack-";

/// The folder that holds the unpacked archive: `<cache_dir>/pg/<sum>/`.
pub(crate) fn unpack(archive: &Archive, cache_dir: &Path) -> Result<PathBuf, Error> {
    account::make_dirs(cache_dir, 0o755)?;
    let parent = account::canonical(cache_dir)?.join("pg");
    let home = parent.join(archive.sum);
    if finished(&home)? {
        return Ok(home);
    }

    account::make_dirs(&parent, 0o755)?;
    let lock_path = parent.join(".lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(Error::io("open", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    if finished(&home)? {
        return Ok(home);
    }

    remove_unfinished(&parent)?;
    let temporary = parent.join(format!("{UNFINISHED}{}", std::process::id()));
    fs::create_dir(&temporary).map_err(Error::io("create", &temporary))?;
    extract(archive.bytes, &temporary).map_err(Error::io("unpack postgres into", &temporary))?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).map_err(Error::io("open up", &temporary))?;
    fs::rename(&temporary, &home).map_err(Error::io("finish", &home))?;
    tracing::info!(postgres.home = %home.display(), "unpacked the embedded postgres");
    Ok(home)
}

/// We are about to run these files, so another user must not have been able to put them there.
fn finished(home: &Path) -> Result<bool, Error> {
    let Ok(metadata) = fs::symlink_metadata(home) else { return Ok(false) };
    if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::BadInstall {
            path: home.to_owned(),
            reason: "it belongs to another user; choose another cache folder".to_owned(),
        });
    }
    Ok(metadata.is_dir())
}

fn extract(bytes: &[u8], into: &Path) -> std::io::Result<()> {
    let reader = ruzstd::decoding::StreamingDecoder::new(bytes).map_err(std::io::Error::other)?;
    let mut archive = tar::Archive::new(reader);
    // Whatever our umask is: the files are run and read by `nobody` when we are root.
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(false);
    archive.unpack(into)?;
    // The rename must not become durable before the contents: a power cut would leave empty programs.
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(fs::File::open(into)?)?;
    Ok(())
}

/// Only called under the lock, so nobody is still writing them.
fn remove_unfinished(parent: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(parent).map_err(Error::io("read", parent))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    Ok(())
}
