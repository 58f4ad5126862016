//! What `doctor` prints about the database: each thing that `open` insists on, and what migrations should have left.

use std::cmp::Ordering;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::check::{self, StartError};
use crate::migrate::known_version;
use crate::pool::{APP_ROLE, Login, SYSTEM_ROLE, Settings};

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub passed: bool,
    /// What was found, or what to do.
    pub detail: String,
}

impl Check {
    fn of(name: &'static str, result: Result<String, StartError>) -> Self {
        match result {
            Ok(detail) => Self { name, passed: true, detail },
            Err(error) => Self { name, passed: false, detail: error.to_string() },
        }
    }
}

/// Looks at everything and changes nothing. Later checks are left out when the server does not answer at all.
pub async fn diagnose(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let (app, system) = match (settings.app(), settings.system()) {
        (Ok(app), Ok(system)) => (app, system),
        (app, system) => {
            checks.extend(app.err().into_iter().chain(system.err()).map(|error| Check::of("settings", Err(error))));
            return checks;
        }
    };
    match check::connect(&app.options, APP_ROLE).await {
        Ok(mut conn) => {
            checks.push(Check::of("connection", Ok(format!("database {}", app.database()))));
            checks.extend(serving_checks(&mut conn).await);
            let _ = conn.close().await;
        }
        Err(error) => checks.push(Check::of("connection", Err(error))),
    }
    checks.push(Check::of("system role", system_role(&system).await));
    checks
}

async fn serving_checks(conn: &mut PgConnection) -> Vec<Check> {
    let version = text(conn, "select current_setting('server_version')").await;
    let server = check::expect_server(conn).await;
    let vector = text(conn, "select coalesce(max(extversion), '') from pg_extension where extname = 'vector'").await;
    let vector_fits = check::expect_vector(conn).await;
    let role = check::expect_harmless(conn).await;
    vec![
        Check::of("server", server.and(version)),
        Check::of("pgvector", vector_fits.and(vector)),
        Check::of("application role", role.map(|()| format!("{APP_ROLE} cannot pass row security"))),
        Check::of("schema", schema(conn).await),
        nothing(conn, "row security", "on every table", TABLES_WITHOUT).await,
        nothing(conn, "table owners", "every table belongs to adjutant_owner", TABLES_OF_OTHERS).await,
        nothing(conn, "functions", "every definer function is closed and has a fixed path", OPEN_FUNCTIONS).await,
    ]
}

async fn system_role(login: &Login) -> Result<String, StartError> {
    let mut conn = check::connect(&login.options, SYSTEM_ROLE).await?;
    check::expect_harmless(&mut conn).await?;
    let _ = conn.close().await;
    Ok(format!("{SYSTEM_ROLE} cannot pass row security"))
}

async fn schema(conn: &mut PgConnection) -> Result<String, StartError> {
    let (found, known) = (check::schema_version(conn).await?, known_version());
    match found.cmp(&known) {
        Ordering::Equal => Ok(format!("version {found}")),
        Ordering::Greater => Err(StartError::Newer { found, known }),
        Ordering::Less => Err(StartError::Behind { found, known }),
    }
}

async fn text(conn: &mut PgConnection, sql: &'static str) -> Result<String, StartError> {
    sqlx::query_scalar(sql).fetch_one(conn).await.map_err(StartError::database)
}

/// A query that lists what is wrong.
async fn nothing(conn: &mut PgConnection, name: &'static str, good: &str, sql: &'static str) -> Check {
    match sqlx::query_scalar::<_, String>(sql).fetch_all(conn).await {
        Ok(found) if found.is_empty() => Check { name, passed: true, detail: good.to_owned() },
        Ok(found) => Check { name, passed: false, detail: format!("not so: {}", found.join(", ")) },
        Err(error) => Check::of(name, Err(StartError::database(error))),
    }
}

const TABLES_WITHOUT: &str = "
    select c.relname::text from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
       and not (c.relrowsecurity and c.relforcerowsecurity)
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     order by 1";

const TABLES_OF_OTHERS: &str = "
    select c.relname::text from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
       and c.relowner <> (select oid from pg_roles where rolname = 'adjutant_owner')
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
     order by 1";

const OPEN_FUNCTIONS: &str = "
    select p.oid::regprocedure::text from pg_proc p
     where p.pronamespace = 'public'::regnamespace and p.prosecdef
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
       and (p.proowner <> (select oid from pg_roles where rolname = 'adjutant_owner')
            or not exists (select from unnest(p.proconfig) s where s = 'search_path=pg_catalog, public, pg_temp')
            or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                        where a.grantee = 0 and a.privilege_type = 'EXECUTE'))
     order by 1";
