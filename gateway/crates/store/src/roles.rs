//! The three roles: who owns, who serves, who looks across users. Roles belong to the whole server, so two databases
//! on one server share them and their passwords.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::check::StartError;
use crate::migrate::run_formatted;
use crate::password;
use crate::pool::{APP_ROLE, Login, OWNER_ROLE, SYSTEM_ROLE};

/// Creates the roles that are missing, takes away from the serving ones what they must not have, sets passwords.
pub(crate) async fn ensure(
    conn: &mut PgConnection,
    admin: &Login,
    app: &Login,
    system: &Login,
) -> Result<(), StartError> {
    ensure_owner(conn).await?;
    for (role, login) in [(APP_ROLE, app), (SYSTEM_ROLE, system)] {
        ensure_serving(conn, role).await?;
        if let Some(secret) = &login.password {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).map_err(StartError::entropy)?;
            let verifier = password::verifier(secret, salt).ok_or(StartError::Password { role })?;
            run_formatted(conn, "select format('alter role %I login password %L', $1, $2)", &[role, &verifier])
                .await
                .map_err(|error| {
                let command = format!("grant {role} to {} with admin option", admin.options.get_username());
                StartError::needs(error, command, "as a superuser")
            })?;
        }
    }
    Ok(())
}

/// It must be able to bypass row security: policies are forced on owners too, so a back-fill would change nothing and
/// the doors, which are functions of this role, would see nothing.
async fn ensure_owner(conn: &mut PgConnection) -> Result<(), StartError> {
    let bypasses: Option<bool> = sqlx::query_scalar("select rolbypassrls from pg_roles where rolname = $1")
        .bind(OWNER_ROLE)
        .fetch_optional(&mut *conn)
        .await
        .map_err(StartError::database)?;
    let statement = match bypasses {
        Some(true) => None,
        Some(false) => Some("alter role adjutant_owner bypassrls"),
        None => Some("create role adjutant_owner nologin bypassrls"),
    };
    let (admin, may_become): (String, bool) = match statement {
        Some(statement) => {
            conn.execute(statement)
                .await
                .map_err(|error| StartError::needs(error, statement.to_owned(), "as a superuser"))?;
            become_owner(conn).await?
        }
        None => become_owner(conn).await?,
    };
    if !may_become {
        conn.execute("grant adjutant_owner to current_user").await.map_err(|error| {
            StartError::needs(error, format!("grant adjutant_owner to \"{admin}\""), "as a superuser")
        })?;
    }
    Ok(())
}

async fn become_owner(conn: &mut PgConnection) -> Result<(String, bool), StartError> {
    sqlx::query_as("select current_user::text, pg_has_role(current_user, 'adjutant_owner', 'set')")
        .fetch_one(conn)
        .await
        .map_err(StartError::database)
}

async fn ensure_serving(conn: &mut PgConnection, role: &'static str) -> Result<(), StartError> {
    let fits: Option<bool> = sqlx::query_scalar(
        "select rolcanlogin and not (rolsuper or rolbypassrls or rolcreatedb or rolcreaterole or rolreplication)
           from pg_roles where rolname = $1",
    )
    .bind(role)
    .fetch_optional(&mut *conn)
    .await
    .map_err(StartError::database)?;
    // An admin that is no superuser may not even name some of these, so they are named only where they are needed.
    let rights = match fits {
        Some(true) => return Ok(()),
        Some(false) => "alter role %I login nosuperuser nobypassrls nocreatedb nocreaterole noreplication",
        None => "create role %I login",
    };
    let statement = rights.replace("%I", role);
    conn.execute(AssertSqlSafe(statement.clone()))
        .await
        .map_err(|error| StartError::needs(error, statement, "as a superuser"))?;
    Ok(())
}

/// Who may enter the database and its schema: the two serving roles, and the owner to build in it.
pub(crate) async fn grant_entry(conn: &mut PgConnection, database: &str) -> Result<(), StartError> {
    for template in [
        "select format('revoke all on database %I from public', $1)",
        "select format('grant connect on database %I to adjutant_app, adjutant_system', $1)",
    ] {
        run_formatted(conn, template, &[database]).await.map_err(StartError::database)?;
    }
    conn.execute(
        "revoke all on schema public from public;
         grant usage, create on schema public to adjutant_owner;
         grant usage on schema public to adjutant_app, adjutant_system",
    )
    .await
    .map_err(StartError::database)?;
    Ok(())
}
