//! The keys that encrypt credentials. Without them the embedded database gets a key file of its own at the first start;
//! a server with `SYSTEM_DB_URL` runs, but stores no credential.

use adjutant_store::vault::key_ring::KeyRing;

use super::environment::Reader;

const KEYS: &str = "CREDENTIALS_ENCRYPTION_KEY";

#[derive(Debug, Clone)]
pub struct Vault {
    /// The first encrypts, all decrypt.
    pub keys: Option<KeyRing>,
}

impl Vault {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self { keys: reader.parsed(KEYS, KeyRing::parse) }
    }
}
