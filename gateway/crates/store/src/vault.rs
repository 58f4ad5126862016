//! Encryption of secrets before they reach a row: AES-256-GCM under a ring of keys, a fresh random nonce per write, and
//! associated data that names the place, so that a ciphertext moved anywhere else does not open. Pure; no SQL.

pub mod key_ring;

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use zeroize::Zeroizing;

use self::key_ring::KeyRing;

/// Stands first in every ciphertext and in its associated data; another form gets another number.
const FORMAT: u8 = 1;
const LABEL: &[u8] = b"adjutant vault";
const NONCE: usize = 12;
const TAG: usize = 16;

/// Encrypts and opens secrets. Cheap to clone; shows nothing of its keys.
#[derive(Clone)]
pub struct Vault(Arc<Vec<Key>>);

struct Key {
    id: String,
    cipher: Aes256Gcm,
}

/// The place of a secret. Each part is bound: changing one makes the ciphertext unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing<'a> {
    pub table: &'a str,
    pub column: &'a str,
    pub user: &'a str,
    pub profile: &'a str,
    /// The primary key of the row, behind its owner.
    pub row: &'a [&'a str],
    pub service: &'a str,
    /// Where it may be sent: whoever can write to the database must not send it elsewhere.
    pub origin: &'a str,
}

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    /// Format, nonce, ciphertext, tag.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error(
        "this server has no key to encrypt credentials with: set CREDENTIALS_ENCRYPTION_KEY to what `openssl rand -base64 32` prints, and start it again"
    )]
    NoKey,

    #[error(
        "is encrypted with the key {key_id:?}, which this server does not have: give that key back to it in CREDENTIALS_ENCRYPTION_KEY or master.key, or store the credential again"
    )]
    UnknownKey { key_id: String },

    /// Altered, moved here from another place, or encrypted by another key of that id. Which, is not to be known.
    #[error("cannot be decrypted, because it was changed or comes from another place: store the credential again")]
    Refused,

    #[error("the system gives no random numbers")]
    Entropy,
}

impl Vault {
    pub fn new(ring: &KeyRing) -> Self {
        let key = |id: &str, key: &[u8; 32]| Key { id: id.to_owned(), cipher: Aes256Gcm::new(key.into()) };
        Self(Arc::new(ring.keys().map(|(id, bytes)| key(id, bytes)).collect()))
    }

    /// Without a key: nothing can be stored, and nothing that is stored can be read.
    pub fn without_key() -> Self {
        Self(Arc::default())
    }

    /// The key that new secrets are encrypted with.
    pub fn current_key(&self) -> Option<&str> {
        self.0.first().map(|key| key.id.as_str())
    }

    /// Whether secrets under that key can be opened.
    pub fn knows(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id == key_id)
    }

    pub fn seal(&self, place: &Sealing<'_>, plain: &[u8]) -> Result<Sealed, VaultError> {
        let key = self.0.first().ok_or(VaultError::NoKey)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::Entropy)?;
        let mut bytes = vec![FORMAT];
        bytes.extend(nonce);
        bytes.extend(encrypt(&key.cipher, &nonce, &associated(place, &key.id), plain)?);
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    pub fn open(&self, place: &Sealing<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let unknown = || VaultError::UnknownKey { key_id: sealed.key_id.clone() };
        let key = self.0.iter().find(|key| key.id == sealed.key_id).ok_or_else(unknown)?;
        let (&format, rest) = sealed.bytes.split_first().ok_or(VaultError::Refused)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Refused)?;
        if format != FORMAT || body.len() < TAG {
            return Err(VaultError::Refused);
        }
        decrypt(&key.cipher, nonce, &associated(place, &key.id), body)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Every part with its length before it, so that no two places are written alike.
fn associated(place: &Sealing<'_>, key_id: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(160);
    let mut part = |bytes: &[u8]| {
        data.extend((bytes.len() as u64).to_be_bytes());
        data.extend(bytes);
    };
    part(LABEL);
    part(&[FORMAT]);
    for text in [place.table, place.column, place.user, place.profile] {
        part(text.as_bytes());
    }
    part(&(place.row.len() as u64).to_be_bytes());
    for text in place.row {
        part(text.as_bytes());
    }
    part(place.service.as_bytes());
    part(place.origin.as_bytes());
    part(key_id.as_bytes());
    data
}

/// Ciphertext and tag.
fn encrypt(cipher: &Aes256Gcm, nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, VaultError> {
    cipher.encrypt(&Nonce::from(*nonce), Payload { msg, aad }).map_err(|_| VaultError::Refused)
}

/// Of ciphertext and tag. Nothing is decrypted before the tag is found right.
fn decrypt(cipher: &Aes256Gcm, nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg, aad }).map(Zeroizing::new).map_err(|_| VaultError::Refused)
}

#[cfg(test)]
mod tests;
