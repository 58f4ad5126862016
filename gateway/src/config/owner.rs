//! The person whose server this is, and the key that the first start seeds.

use adjutant_core::scope::UserId;
use secrecy::SecretString;

use super::environment::Reader;
use crate::auth::key;

const USER: &str = "ADJUTANT_USER";
const KEY: &str = "ASSISTANT_API_KEY";
const DEFAULT_USER: &str = "owner";

#[derive(Debug, Clone)]
pub struct Owner {
    pub user: UserId,
    /// Seeded when there are no keys; without it the server makes one.
    pub key: Option<SecretString>,
}

impl Owner {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let key = reader.parsed(KEY, check_key);
        let user = reader.parsed(USER, UserId::parse);
        #[expect(clippy::expect_used, reason = "the default is a valid slug")]
        let user = user.unwrap_or_else(|| UserId::parse(DEFAULT_USER).expect("a slug"));
        Self { user, key }
    }
}

fn check_key(text: &str) -> Result<SecretString, String> {
    if text.len() < key::SHORTEST {
        return Err(format!(
            "is shorter than {} characters, so it could be guessed; make a good one with: openssl rand -hex 32",
            key::SHORTEST
        ));
    }
    if text.len() > key::LONGEST || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("must be at most {} visible ASCII characters without spaces", key::LONGEST));
    }
    Ok(text.into())
}
