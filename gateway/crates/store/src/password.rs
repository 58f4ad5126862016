//! Passwords of the serving roles, in the form in which the server keeps them (SCRAM-SHA-256, RFC 5803): statements with
//! a password in plain text would end up in a server's log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// What `create role … password` accepts in place of the password. `None` when the password is not ASCII: both sides
/// would have to normalise it alike.
pub(crate) fn verifier(password: &SecretString, salt: [u8; 16]) -> Option<String> {
    const ROUNDS: u32 = 4096;
    let password = password.expose_secret();
    if !password.is_ascii() {
        return None;
    }
    let mut block = salt.to_vec();
    block.extend(1_u32.to_be_bytes());
    let mut round = mac(password.as_bytes(), &block);
    let mut salted = round;
    for _ in 1..ROUNDS {
        round = mac(password.as_bytes(), &round);
        salted.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    let stored = Sha256::digest(mac(&salted, b"Client Key"));
    let server = mac(&salted, b"Server Key");
    Some(format!(
        "SCRAM-SHA-256${ROUNDS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    ))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key fits");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_the_one_that_postgres_computes() {
        // Read from pg_authid of a PostgreSQL 17 after `create role x password 'pencil'`.
        let salt = STANDARD.decode("AcB7OKx1uIkIV+mcEOLZmQ==").unwrap().try_into().unwrap();
        assert_eq!(
            verifier(&"pencil".into(), salt).unwrap(),
            "SCRAM-SHA-256$4096:AcB7OKx1uIkIV+mcEOLZmQ==$GFe3I3RUkoX/SVDL9G1TNYF7tJdnH0QOaysL0+nUpYA=:2SShJmZGepAB4PNq8dOJ/ZfcVSkwJXd8BQUDDZtLz2c="
        );
        assert_eq!(verifier(&"pässword".into(), salt), None);
    }
}
