//! The form of the keys we make: `adj_<id>_<secret>`, where the secret is 32 random bytes and a CRC-32
//! that helps secret scanners. Keys of other forms are welcome too; only the SHA-256 of the whole counts.

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a presented key.
pub type Digest = [u8; 32];

/// `ASSISTANT_API_KEY` must be at least this long.
pub const SHORTEST: usize = 32;
/// Nothing longer is hashed.
pub const LONGEST: usize = 512;

const PREFIX: &str = "adj";
const TICKET_PREFIX: &str = "adjt";

/// A key that exists nowhere but here until its hash is stored.
pub struct NewKey {
    pub id: String,
    pub secret: SecretString,
    pub digest: Digest,
}

/// A ticket that exists nowhere but here until its hash is stored.
pub struct NewTicket {
    pub secret: SecretString,
    pub digest: Digest,
}

/// Makes a key. Fails only when the system gives no random numbers.
pub fn generate() -> Result<NewKey, getrandom::Error> {
    let mut id = [0; 5];
    let mut secret = [0; 32];
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = hex::encode(id);
    let body = format!("{PREFIX}_{id}_{}", hex::encode(secret));
    let text = format!("{body}{:08x}", crc32fast::hash(body.as_bytes()));
    let digest = digest(&text);
    Ok(NewKey { id, secret: text.into(), digest })
}

/// Makes the text of a one-use ticket and its hash.
pub fn generate_ticket() -> Result<NewTicket, getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let text = format!("{TICKET_PREFIX}_{}", hex::encode(secret));
    let digest = digest(&text);
    Ok(NewTicket { secret: text.into(), digest })
}

pub fn digest(key: &str) -> Digest {
    Sha256::digest(key.as_bytes()).into()
}

/// The display id of a key that we made and that was copied whole.
pub fn id_of(key: &str) -> Option<&str> {
    let (body, sum) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let id = body.strip_prefix(PREFIX)?.strip_prefix('_')?.split('_').next()?;
    (format!("{:08x}", crc32fast::hash(body.as_bytes())) == sum).then_some(id)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_made_key_names_its_id_and_survives_no_typing_error() {
        let key = generate().unwrap();
        let text = key.secret.expose_secret();
        assert_eq!(text.len(), "adj_".len() + 10 + 1 + 64 + 8);
        assert_eq!(id_of(text), Some(key.id.as_str()));
        assert_eq!(digest(text), key.digest);
        assert_eq!(id_of(&text.replace('a', "b")), None);
        for other in ["", "adj_", "adj_x_y", "ä", "some other key of some length"] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
