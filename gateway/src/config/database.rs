//! The system database: a server of the operator's, or the embedded one.

use std::path::PathBuf;

use secrecy::SecretString;

use super::data::absolute;
use super::environment::Reader;

#[derive(Debug, Clone)]
pub enum Database {
    Embedded {
        /// An installation to use instead of the bundled one.
        install: Option<PathBuf>,
    },
    External {
        url: SecretString,
        admin_url: Option<SecretString>,
        /// The login of the system role, where it cannot be derived from `url`.
        system_url: Option<SecretString>,
    },
}

impl Database {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let install = reader.parsed("ADJUTANT_POSTGRES_DIR", absolute);
        let (admin_url, system_url) = (reader.secret("SYSTEM_DB_ADMIN_URL"), reader.secret("SYSTEM_DB_SYSTEM_URL"));
        if let Some(url) = reader.secret("SYSTEM_DB_URL") {
            return Self::External { url, admin_url, system_url };
        }
        for (name, set) in [("SYSTEM_DB_ADMIN_URL", &admin_url), ("SYSTEM_DB_SYSTEM_URL", &system_url)] {
            if set.is_some() {
                reader.fault(name, "is set but SYSTEM_DB_URL is not: set that too, or neither");
            }
        }
        Self::Embedded { install }
    }
}
