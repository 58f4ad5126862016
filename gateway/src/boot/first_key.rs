//! The first key: seeded when there is none, from `ASSISTANT_API_KEY` or a fresh one that is shown once.

use adjutant_core::scope::Role;
use adjutant_store::keys::{self, KeyIdentity, KeyProfile};
use adjutant_store::store::Store;
use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::key::{self, NewKey};
use crate::config::owner::Owner;

const LABEL: &str = "first key";

/// Returns the key to show when it was made here.
pub async fn seed(store: &Store, owner: &Owner) -> Result<Option<SecretString>> {
    let made = key::generate().context("the system gives no random numbers")?;
    let given = owner.key.as_ref().map(|given| as_given(given, &made));
    let (id, hash) = given.clone().unwrap_or_else(|| (made.id.clone(), made.digest));
    let identity = KeyIdentity {
        key_id: id,
        user: owner.user.clone(),
        // Whoever sets the server up makes the profiles, too.
        profile: KeyProfile::Any,
        role: Role::Admin,
        allow_operator_llm: true,
    };
    let new = keys::NewKey { identity, hash, label: LABEL.to_owned() };
    let seeded = store.system("seed the first key", async |tx| keys::seed(tx, &new).await).await?;
    match given {
        None => Ok(seeded.then_some(made.secret)),
        Some((_, hash)) => {
            if !seeded && store.key_lookup(&hash).await?.is_none() {
                tracing::warn!(
                    "ASSISTANT_API_KEY is not among the keys, because it only counts while there are none; \
                     `adjutant key create` adds one"
                );
            }
            Ok(None)
        }
    }
}

/// Id and hash of the operator's key: its own id when it is one of our form.
fn as_given(given: &SecretString, made: &NewKey) -> (String, key::Digest) {
    let text = given.expose_secret();
    let fits =
        |id: &&str| (4..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let id = key::id_of(text).filter(fits).unwrap_or(&made.id);
    (id.to_owned(), key::digest(text))
}
