//! The keys that encrypt credentials: where they are, who may read them, and whether they open what is stored.

use adjutant_store::store::Store;
use adjutant_store::vault::{Vault, VaultError};

use super::{Check, State, check};
use crate::boot::vault;
use crate::cli::sentence;
use crate::config::Config;
use crate::config::database::Database;

const AREA: &str = "credentials";

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let (state, detail) = match vault::look(&config.data, &config.database, &config.vault) {
        Ok(Some(ring)) => (State::Ok, format!("the current key is {}", ring.current_id())),
        Ok(None) if matches!(config.database, Database::Embedded { .. }) => {
            let file = config.data.dir.join(vault::FILE);
            (State::Warning, format!("none yet; `adjutant serve` makes it in {}", file.display()))
        }
        Ok(None) => (State::Warning, VaultError::NoKey.to_string()),
        // What is wrong with the file, its mode among it, and what to do.
        Err(error) => return vec![check(AREA, "key", State::Failed, sentence(&error))],
    };
    let mut checks = vec![check(AREA, "key", state, detail)];
    if let Some((path, mode)) = vault::file_mode(&config.data, &config.database) {
        let shown = path.display();
        let (state, detail) = if mode == vault::PRIVATE {
            (State::Ok, format!("{shown}, mode {mode:04o}"))
        } else {
            (
                State::Warning,
                format!("{shown} has mode {mode:04o} instead of {:04o}: run chmod 600 {shown}", vault::PRIVATE),
            )
        };
        checks.push(check(AREA, "key file", state, detail));
    }
    checks
}

/// Whether there is a key for each credential that is stored.
pub(super) async fn of_credentials(config: &Config, store: &Store) -> Option<Check> {
    // What is wrong with the keys themselves is told elsewhere.
    let ring = vault::look(&config.data, &config.database, &config.vault).ok()?;
    let vault = ring.map_or_else(Vault::without_key, |ring| Vault::new(&ring));
    Some(match vault::missing_keys(store, &vault).await {
        Ok(missing) if missing.is_empty() => {
            check(AREA, "stored", State::Ok, "there is a key for every credential".to_owned())
        }
        Ok(missing) => {
            let detail = format!(
                "credentials are stored with the keys {}, which are not here, so nobody can read them: \
                 put the keys back (CREDENTIALS_ENCRYPTION_KEY, or {})",
                missing.join(", "),
                vault::FILE
            );
            check(AREA, "stored", State::Failed, detail)
        }
        Err(error) => check(AREA, "stored", State::Failed, sentence(&error)),
    })
}
