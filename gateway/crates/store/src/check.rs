//! What must hold before the server serves, and the sentence that says what to do where it does not. [`Store::open`]
//! refuses rather than serve with a role that could look past row security or a schema it does not know.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, FromRow};

use crate::error::StoreError;
use crate::migrate::{known_version, migrate};
use crate::pool::{self, APP_ROLE, Login, OWNER_ROLE, SYSTEM_ROLE, Settings};
use crate::store::Store;

const CONNECT: Duration = Duration::from_secs(10);
pub(crate) const OLDEST_SERVER: i32 = 170_000;
pub(crate) const OLDEST_VECTOR: (u32, u32) = (0, 8);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{name} {reason}; it looks like postgres://user:password@host:5432/database")]
    BadUrl { name: &'static str, reason: &'static str },

    #[error("SYSTEM_DB_ADMIN_URL is not set; `adjutant migrate` needs it to create roles and tables")]
    NoAdmin,

    #[error("the database server cannot be reached; check that it runs and that the URL names its address")]
    Unreachable(#[source] sqlx::Error),

    #[error(
        "{who} cannot log in to the database; run `adjutant migrate` with SYSTEM_DB_ADMIN_URL, which sets up roles and passwords, or correct the URL"
    )]
    Login { who: String, source: sqlx::Error },

    #[error(
        "the database \"{name}\" does not exist; run `adjutant migrate` with SYSTEM_DB_ADMIN_URL, which creates it"
    )]
    NoDatabase { name: String },

    #[error(
        "the server is PostgreSQL {found}; Adjutant needs 17 or newer: upgrade it, or unset SYSTEM_DB_URL to use the embedded one"
    )]
    ServerTooOld { found: String },

    #[error("the database is encoded in {found}; create it anew with encoding UTF8")]
    Encoding { found: String },

    #[error(
        "the server has no pgvector; install it there (Debian: postgresql-17-pgvector), then run `adjutant migrate`"
    )]
    NoVector,

    #[error(
        "pgvector is {found}; Adjutant needs 0.8 or newer: install it on the server, then run `alter extension vector update` as a superuser"
    )]
    VectorTooOld { found: String },

    #[error("{setting} logs in as \"{found}\"; it must be {expected}, which `adjutant migrate` creates")]
    WrongRole { setting: &'static str, found: String, expected: &'static str },

    #[error("the admin of SYSTEM_DB_ADMIN_URL cannot log in; correct user, password and database in that URL")]
    AdminLogin(#[source] sqlx::Error),

    #[error("the role {role} {why}, so it could look past row security; run `{remedy}` as a superuser")]
    TooPowerful { role: String, why: String, remedy: String },

    #[error(
        "the schema is of version {found}, this binary knows {known}; start a newer binary, or restore a backup of the older schema"
    )]
    Newer { found: i64, known: i64 },

    #[error(
        "the schema is of version {found}, this binary needs {known}; run `adjutant migrate` with SYSTEM_DB_ADMIN_URL"
    )]
    Behind { found: i64, known: i64 },

    #[error("migration {version} was changed after it was applied; start the binary that applied it")]
    Edited { version: i64 },

    #[error("the admin of SYSTEM_DB_ADMIN_URL may not do this; run {whom}: {command};")]
    NotAllowed { command: String, whom: String, source: sqlx::Error },

    #[error("the password of {role} must be plain ASCII; choose another in the URL")]
    Password { role: &'static str },

    #[error("a migration failed; nothing of it was kept")]
    Migration(#[source] sqlx::migrate::MigrateError),

    #[error("the system gives no random numbers")]
    Entropy(#[source] getrandom::Error),

    #[error("the database did not answer as expected")]
    Store(#[from] StoreError),
}

impl StartError {
    pub(crate) fn database(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }

    pub(crate) fn entropy(error: getrandom::Error) -> Self {
        Self::Entropy(error)
    }

    /// The admin lacked a right for `command`; other errors stay what they are.
    pub(crate) fn needs(error: sqlx::Error, command: String, whom: &str) -> Self {
        if is_code(&error, &["42501"]) {
            Self::NotAllowed { command, whom: whom.to_owned(), source: error }
        } else {
            Self::database(error)
        }
    }

    /// Somebody else created or changed the same catalog entry at the same time.
    pub(crate) fn is_collision(&self) -> bool {
        match self {
            Self::Store(StoreError::Conflict(_)) => true,
            // "tuple concurrently updated" is an internal error without a code of its own.
            Self::Store(StoreError::Bug(source)) => {
                source.downcast_ref().is_some_and(|error| is_code(error, &["42710", "XX000"]))
            }
            _ => false,
        }
    }

    /// Whether `migrate` as admin would mend it.
    fn mended_by_migrate(&self) -> bool {
        matches!(self, Self::Login { .. } | Self::NoDatabase { .. } | Self::Behind { .. })
    }
}

impl Store {
    /// Checks everything, migrates when the schema is behind and an admin URL is given, and opens the two doors.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        let app = settings.app()?;
        let system = settings.system()?;
        match check(&app, &system).await {
            Err(error) if error.mended_by_migrate() && settings.admin_url.is_some() => {
                tracing::debug!(cause = %error, "the database is not ready");
                tracing::info!("preparing the database");
                migrate(&settings).await?;
                check(&app, &system).await?;
            }
            other => other?,
        }
        Ok(Self::new(pool::app_pool(&app), pool::system_pool(&system), system.options, settings.test_clock))
    }

    /// Whether the database answers, within the limits of the pool.
    pub async fn health(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(self.app_pool()).await?;
        Ok(())
    }

    /// Ends both pools. Doors that are open finish first.
    pub async fn close(&self) {
        self.app_pool().close().await;
        self.system_pool().close().await;
    }
}

async fn check(app: &Login, system: &Login) -> Result<(), StartError> {
    expect_names(app, system)?;
    let mut conn = connect(&app.options, APP_ROLE).await?;
    expect_server(&mut conn).await?;
    expect_harmless(&mut conn).await?;
    let found = schema_version(&mut conn).await?;
    let known = known_version();
    if found > known {
        return Err(StartError::Newer { found, known });
    }
    if found < known {
        return Err(StartError::Behind { found, known });
    }
    expect_vector(&mut conn).await?;
    let _ = conn.close().await;

    let mut conn = connect(&system.options, SYSTEM_ROLE).await?;
    expect_harmless(&mut conn).await?;
    let _ = conn.close().await;
    Ok(())
}

pub(crate) async fn connect(options: &PgConnectOptions, who: &str) -> Result<PgConnection, StartError> {
    let connecting = PgConnection::connect_with(options);
    let result = tokio::time::timeout(CONNECT, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    result.map_err(|error| {
        if is_code(&error, &["3D000"]) {
            StartError::NoDatabase { name: options.get_database().unwrap_or_default().to_owned() }
        } else if is_code(&error, &["28P01", "28000", "42501"]) {
            StartError::Login { who: who.to_owned(), source: error }
        } else {
            StartError::Unreachable(error)
        }
    })
}

/// Logs in with a right that serving never has.
pub(crate) async fn connect_admin(options: &PgConnectOptions) -> Result<PgConnection, StartError> {
    connect(options, "the admin").await.map_err(|error| match error {
        StartError::Login { source, .. } => StartError::AdminLogin(source),
        other => other,
    })
}

/// The migrations grant to these names.
pub(crate) fn expect_names(app: &Login, system: &Login) -> Result<(), StartError> {
    for (login, setting, expected) in [(app, "SYSTEM_DB_URL", APP_ROLE), (system, "SYSTEM_DB_SYSTEM_URL", SYSTEM_ROLE)]
    {
        let found = login.options.get_username();
        if found != expected {
            return Err(StartError::WrongRole { setting, found: found.to_owned(), expected });
        }
    }
    Ok(())
}

pub(crate) async fn expect_server(conn: &mut PgConnection) -> Result<(), StartError> {
    let (number, found, encoding): (i32, String, String) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding')",
    )
    .fetch_one(conn)
    .await
    .map_err(StartError::database)?;
    if number < OLDEST_SERVER {
        return Err(StartError::ServerTooOld { found });
    }
    if encoding != "UTF8" {
        return Err(StartError::Encoding { found: encoding });
    }
    Ok(())
}

pub(crate) async fn expect_vector(conn: &mut PgConnection) -> Result<(), StartError> {
    let found: Option<String> = sqlx::query_scalar("select extversion from pg_extension where extname = 'vector'")
        .fetch_optional(conn)
        .await
        .map_err(StartError::database)?;
    let found = found.ok_or(StartError::NoVector)?;
    if vector_version(&found) < Some(OLDEST_VECTOR) {
        return Err(StartError::VectorTooOld { found });
    }
    Ok(())
}

pub(crate) fn vector_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// What the role that is logged in could do to get around the policies.
#[derive(FromRow)]
struct Powers {
    role: String,
    attribute: Option<String>,
    member_of: Option<String>,
    owns: bool,
}

/// Fails when the role that is logged in has, owns or could become too much.
pub(crate) async fn expect_harmless(conn: &mut PgConnection) -> Result<(), StartError> {
    let powers: Powers = sqlx::query_as(
        "select r.rolname::text as role,
                case when r.rolsuper then 'is a superuser'
                     when r.rolbypassrls then 'has BYPASSRLS'
                     when r.rolcreaterole then 'may create roles' end as attribute,
                exists (select from pg_class c where c.relowner = r.oid and c.relkind in ('r', 'p', 'v', 'm', 'S')) as owns,
                (select g.rolname::text from pg_roles g
                  where g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'member')
                    and (g.rolsuper or g.rolbypassrls or g.rolname = $1
                         or g.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_execute_server_program',
                                          'pg_read_server_files', 'pg_write_server_files'))
                  order by g.rolname limit 1) as member_of
           from pg_roles r where r.rolname = session_user",
    )
    .bind(OWNER_ROLE)
    .fetch_one(conn)
    .await
    .map_err(StartError::database)?;
    let role = powers.role;
    let (why, remedy) = if let Some(why) = powers.attribute {
        (why, format!("alter role {role} nosuperuser nobypassrls nocreaterole"))
    } else if let Some(group) = powers.member_of {
        (format!("is a member of {group}"), format!("revoke {group} from {role}"))
    } else if powers.owns {
        ("owns tables".to_owned(), format!("reassign owned by {role} to adjutant_owner"))
    } else {
        return Ok(());
    };
    Err(StartError::TooPowerful { role, why, remedy })
}

/// Zero for a database that was never migrated.
pub(crate) async fn schema_version(conn: &mut PgConnection) -> Result<i64, StartError> {
    match sqlx::query_scalar("select public.schema_version()").fetch_one(conn).await {
        Ok(version) => Ok(version),
        // No such function, or no way into the schema: nobody has migrated here.
        Err(error) if is_code(&error, &["42883", "3F000", "42501"]) => Ok(0),
        Err(error) => Err(StartError::database(error)),
    }
}

fn is_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| codes.contains(&&*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_pgvector_are_compared_as_numbers() {
        assert!(vector_version("0.10.0") >= Some(OLDEST_VECTOR));
        assert!(vector_version("0.8.0") >= Some(OLDEST_VECTOR));
        assert!(vector_version("0.7.4") < Some(OLDEST_VECTOR));
        assert!(vector_version("unknown") < Some(OLDEST_VECTOR));
    }
}
