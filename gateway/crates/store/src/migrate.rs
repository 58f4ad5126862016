//! Brings a server to the state this binary needs: roles, database, extension, schema. Runs as the operator's admin,
//! and applies the migrations as `adjutant_owner`. Every step may be repeated.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::check::{self, StartError};
use crate::pool::{Login, Settings};
use crate::roles;

static MIGRATOR: Migrator = sqlx::migrate!("../../../migrations");

/// Chosen once; two replicas that start together must not create the same role.
const LOCK: i64 = 0x4144_4a55_5441_4e54;

/// What `migrate` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub database: String,
    pub created_database: bool,
    /// Versions that were applied now, in order.
    pub applied: Vec<i64>,
    /// Version of the schema afterwards.
    pub version: i64,
}

/// The newest schema this binary knows.
pub fn known_version() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Needs `admin_url`. Creates what is missing and applies what is not yet applied.
pub async fn migrate(settings: &Settings) -> Result<Report, StartError> {
    let app = settings.app()?;
    let system = settings.system()?;
    check::expect_names(&app, &system)?;
    let admin = Login::parse_admin(settings.admin_url.as_ref().ok_or(StartError::NoAdmin)?)?;

    let mut server = check::connect_admin(&admin.options).await?;
    // Held until this connection closes; in the admin's database, because roles belong to the whole server.
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut server).await.map_err(StartError::database)?;
    check::expect_server(&mut server).await?;
    ensure_roles(&mut server, &admin, &app, &system).await?;
    let created_database = ensure_database(&mut server, app.database()).await?;

    // A pooler or another address in the application's URL is not for us: the admin's server, the application's database.
    let mut conn = check::connect_admin(&admin.options.clone().database(app.database())).await?;
    ensure_extension(&mut conn, app.database()).await?;
    roles::grant_entry(&mut conn, app.database()).await?;
    let applied = apply(&mut conn).await?;

    let _ = conn.close().await;
    let _ = server.close().await;
    tracing::info!(db.name = app.database(), db.applied = applied.len(), "the schema is up to date");
    Ok(Report { database: app.database().to_owned(), created_database, applied, version: known_version() })
}

/// Roles are shared by all databases of a server, the lock above is not: whoever prepares another database may change
/// the same role in the same moment.
async fn ensure_roles(conn: &mut PgConnection, admin: &Login, app: &Login, system: &Login) -> Result<(), StartError> {
    const TRIES: u32 = 10;
    for number in 1..TRIES {
        match roles::ensure(conn, admin, app, system).await {
            Err(error) if error.is_collision() => tokio::time::sleep(Duration::from_millis(10) * number).await,
            other => return other,
        }
    }
    roles::ensure(conn, admin, app, system).await
}

async fn ensure_database(conn: &mut PgConnection, name: &str) -> Result<bool, StartError> {
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut *conn)
        .await
        .map_err(StartError::database)?;
    if exists {
        return Ok(false);
    }
    run_formatted(conn, "select format('create database %I', $1)", &[name])
        .await
        .map_err(|error| StartError::needs(error, format!("create database \"{name}\""), "as a superuser"))?;
    Ok(true)
}

async fn ensure_extension(conn: &mut PgConnection, database: &str) -> Result<(), StartError> {
    let available: bool =
        sqlx::query_scalar("select exists (select from pg_available_extensions where name = 'vector')")
            .fetch_one(&mut *conn)
            .await
            .map_err(StartError::database)?;
    if !available {
        return Err(StartError::NoVector);
    }
    let installed: bool = sqlx::query_scalar("select exists (select from pg_extension where extname = 'vector')")
        .fetch_one(&mut *conn)
        .await
        .map_err(StartError::database)?;
    if !installed {
        conn.execute("create extension vector with schema public").await.map_err(|error| {
            StartError::needs(
                error,
                "create extension vector".to_owned(),
                &format!("as a superuser in database {database}"),
            )
        })?;
    }
    check::expect_vector(conn).await
}

async fn apply(conn: &mut PgConnection) -> Result<Vec<i64>, StartError> {
    conn.execute("set role adjutant_owner; set search_path = public").await.map_err(StartError::database)?;
    let before = applied(conn).await?;
    if let Some(found) = before.iter().copied().find(|&version| !MIGRATOR.version_exists(version)) {
        return Err(StartError::Newer { found, known: known_version() });
    }
    MIGRATOR.run_direct(None, conn, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => StartError::Newer { found, known: known_version() },
        MigrateError::VersionMismatch(version) => StartError::Edited { version },
        other => StartError::Migration(other),
    })?;
    let after = applied(conn).await?;
    conn.execute("reset role").await.map_err(StartError::database)?;
    Ok(after.into_iter().filter(|version| !before.contains(version)).collect())
}

/// Versions in the ledger; none when there is no ledger yet.
async fn applied(conn: &mut PgConnection) -> Result<Vec<i64>, StartError> {
    let ledger: bool = sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
        .fetch_one(&mut *conn)
        .await
        .map_err(StartError::database)?;
    if !ledger {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select version from _sqlx_migrations order by version")
        .fetch_all(conn)
        .await
        .map_err(StartError::database)
}

/// Runs the statement that the server itself put together, so that the quoting is its own.
pub(crate) async fn run_formatted(
    conn: &mut PgConnection,
    template: &'static str,
    values: &[&str],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query_scalar::<_, String>(template);
    for value in values {
        query = query.bind(*value);
    }
    let statement = query.fetch_one(&mut *conn).await?;
    conn.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}
