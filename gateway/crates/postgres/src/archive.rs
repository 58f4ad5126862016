//! The bundle inside our binary, where there is one for the platform. `bundle/build.sh` makes it.

pub(crate) struct Archive {
    /// A tar file, compressed with zstd: `bin/`, `lib/`, `share/`, `licenses/`, `VERSIONS`.
    pub(crate) bytes: &'static [u8],
    /// SHA-256 of `bytes` in hex, written by the build script; a test compares them.
    pub(crate) sum: &'static str,
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
pub(crate) const BUNDLED: Option<Archive> = Some(Archive {
    bytes: include_bytes!("../bundle/postgres-17.11-pgvector-0.8.0-x86_64-linux.tar.zst"),
    sum: include_str!("../bundle/archive.sha256").trim_ascii(),
});

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
pub(crate) const BUNDLED: Option<Archive> = None;

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn the_recorded_sum_is_that_of_the_archive() {
        if let Some(archive) = super::BUNDLED {
            assert_eq!(hex::encode(Sha256::digest(archive.bytes)), archive.sum);
        }
    }
}
