//! Where the server is and how connections to it behave: logins, limits, and the hook that cleans a connection
//! between two uses. Who may use a connection is decided in `store`.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::clock::Clock;
use adjutant_core::limits;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};
use url::Url;

use crate::check::StartError;

/// The role of the pool behind `scoped`.
pub const APP_ROLE: &str = "adjutant_app";
/// The role of the pool behind `system`.
pub const SYSTEM_ROLE: &str = "adjutant_system";
/// The role that owns every table and never logs in.
pub const OWNER_ROLE: &str = "adjutant_owner";

const DEFAULT_DATABASE: &str = "assistant_system";
const SYSTEM_CONNECTIONS: u32 = 2;
/// An idle backend keeps some megabytes of caches.
const IDLE: Duration = Duration::from_secs(120);
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A door does not wait for anything outside; a transaction idle for so long is a bug and must not hold its locks.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// Where the database is and who logs in.
#[derive(Clone)]
pub struct Settings {
    /// `SYSTEM_DB_URL`: logs in as [`APP_ROLE`].
    pub app_url: SecretString,
    /// `SYSTEM_DB_ADMIN_URL`: used only while the schema is behind.
    pub admin_url: Option<SecretString>,
    /// `SYSTEM_DB_SYSTEM_URL`: logs in as [`SYSTEM_ROLE`]; when absent, the server of `app_url` with a password derived from its password.
    pub system_url: Option<SecretString>,
    /// What `app_now()` answers. Only tests inject one.
    pub test_clock: Option<Arc<dyn Clock>>,
}

/// A database URL, taken apart.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) options: PgConnectOptions,
    pub(crate) password: Option<SecretString>,
}

impl Login {
    /// `name` is the setting to complain about; the URL itself holds a password and is never shown.
    pub(crate) fn parse(url: &SecretString, name: &'static str) -> Result<Self, StartError> {
        let bad = |reason| StartError::BadUrl { name, reason };
        let parsed = Url::parse(url.expose_secret()).map_err(|_| bad("is not a URL"))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(bad("does not begin with postgres://"));
        }
        if parsed.query_pairs().any(|(key, _)| matches!(&*key, "user" | "password" | "dbname")) {
            return Err(bad("must name user, password and database before the question mark"));
        }
        if parsed.username().is_empty() {
            return Err(bad("names no user"));
        }
        let password = match parsed.password() {
            Some(text) => Some(decode(text).ok_or_else(|| bad("has a password that is not UTF-8"))?),
            None => None,
        };
        let mut options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| bad("cannot be understood"))?;
        if parsed.path().trim_matches('/').is_empty() {
            options = options.database(DEFAULT_DATABASE);
        }
        Ok(Self { options, password: password.map(SecretString::from) })
    }

    /// An admin's URL may well name no database; `postgres` exists on every server.
    pub(crate) fn parse_admin(url: &SecretString) -> Result<Self, StartError> {
        let login = Self::parse(url, "SYSTEM_DB_ADMIN_URL")?;
        let named = Url::parse(url.expose_secret()).is_ok_and(|url| !url.path().trim_matches('/').is_empty());
        if named { Ok(login) } else { Ok(Self { options: login.options.database("postgres"), ..login }) }
    }

    pub(crate) fn database(&self) -> &str {
        self.options.get_database().unwrap_or(DEFAULT_DATABASE)
    }

    /// The system role on the same server. Both passwords are the server's own, so one may follow from the other, but
    /// not back: whoever learns the system role's password has not learnt the application's.
    pub(crate) fn derive_system(&self) -> Self {
        let password = self.password.as_ref().map(derive_password);
        let mut options = self.options.clone().username(SYSTEM_ROLE);
        if let Some(password) = &password {
            options = options.password(password.expose_secret());
        }
        Self { options, password }
    }
}

impl Settings {
    pub(crate) fn app(&self) -> Result<Login, StartError> {
        Login::parse(&self.app_url, "SYSTEM_DB_URL")
    }

    pub(crate) fn system(&self) -> Result<Login, StartError> {
        match &self.system_url {
            Some(url) => Login::parse(url, "SYSTEM_DB_SYSTEM_URL"),
            None => Ok(self.app()?.derive_system()),
        }
    }
}

/// The URL of a role on a server that listens on a unix socket alone, such as the embedded one.
pub fn socket_url(socket_dir: &Path, port: u16, role: &str, password: &str, database: &str) -> SecretString {
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let (role, password, database) = (encode(role), encode(password), encode(database));
    let host = encode(&socket_dir.to_string_lossy());
    format!("postgres://{role}:{password}@localhost:{port}/{database}?host={host}").into()
}

pub(crate) fn app_pool(login: &Login) -> PgPool {
    pool(limits::DB_CONNECTIONS, &login.options)
}

pub(crate) fn system_pool(login: &Login) -> PgPool {
    pool(SYSTEM_CONNECTIONS, &login.options)
}

/// Connects lazily, keeps nothing open while idle, and wakes nobody up meanwhile.
fn pool(connections: u32, options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .acquire_timeout(limits::DB_ACQUIRE)
        .idle_timeout(IDLE)
        .max_lifetime(LIFETIME)
        // Every release ends with a ping, so one that was idle for a moment only need not answer another.
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(1) {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        // A request cancelled around BEGIN can leave a transaction open that sqlx 0.9.0 does not know of. The BEGIN
        // is there because a ROLLBACK alone writes a warning to the server's log each time there is nothing to roll back.
        .after_release(|conn, _| {
            Box::pin(async move {
                conn.execute("begin; rollback; reset all").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(with_limits(options.clone()))
}

/// Settings of the start-up packet: unlike those of a `SET`, they survive the release hook's `RESET ALL`.
pub(crate) fn with_limits(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("adjutant").options([
        ("statement_timeout", limits::DB_STATEMENT.as_millis()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.as_millis()),
    ])
}

fn derive_password(app: &SecretString) -> SecretString {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(app.expose_secret().as_bytes()).expect("any key fits");
    mac.update(SYSTEM_ROLE.as_bytes());
    hex::encode(mac.finalize().into_bytes()).into()
}

/// Percent-decodes a part of a URL.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.first_chunk::<2>().filter(|_| *first == b'%');
        match hex.and_then(|pair| hex::decode(pair).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Result<Login, StartError> {
        Login::parse(&url.into(), "SYSTEM_DB_URL")
    }

    #[test]
    fn a_url_without_a_database_means_the_default_one() {
        assert_eq!(login("postgres://adjutant_app@localhost").unwrap().database(), "assistant_system");
        assert_eq!(login("postgres://adjutant_app@localhost/other").unwrap().database(), "other");
        let admin = Login::parse_admin(&"postgres://root@localhost".into()).unwrap();
        assert_eq!(admin.database(), "postgres");
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for bad in ["", "mysql://a@b/c", "postgres://localhost/x", "postgres://h/x?user=a&password=secret", "secret"] {
            let error = login(bad).err().expect(bad).to_string();
            assert!(error.contains("SYSTEM_DB_URL") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_socket_url_survives_odd_characters() {
        let url = socket_url(Path::new("/run/a b+c/é"), 5433, APP_ROLE, "p@:/ +%", "x");
        let login = Login::parse(&url, "SYSTEM_DB_URL").unwrap();
        assert_eq!(login.options.get_socket().unwrap(), Path::new("/run/a b+c/é"));
        assert_eq!(login.options.get_port(), 5433);
        assert_eq!(login.password.unwrap().expose_secret(), "p@:/ +%");
    }

    #[test]
    fn the_system_password_follows_from_the_decoded_application_password() {
        let plain = login("postgres://adjutant_app:p%40ss@localhost/x").unwrap();
        assert_eq!(plain.password.as_ref().unwrap().expose_secret(), "p@ss");
        let system = plain.derive_system();
        assert_eq!(system.options.get_username(), SYSTEM_ROLE);
        assert_eq!(system.password.unwrap().expose_secret().len(), 64);
        assert!(login("postgres://adjutant_app@localhost/x").unwrap().derive_system().password.is_none());
    }
}
