//! What `migrate` makes, and what the server refuses to start with. Each refusal says what to do.

use std::fmt::Write as _;

use adjutant_store::check::StartError;
use adjutant_store::diagnose::diagnose;
use adjutant_store::migrate::{known_version, migrate};
use adjutant_store::pool::Settings;
use adjutant_store::store::Store;
use adjutant_testkit::db::TestDb;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{alone, bench, owners};

fn settings(app_url: impl Into<String>, admin_url: Option<String>) -> Settings {
    Settings {
        app_url: app_url.into().into(),
        admin_url: admin_url.map(Into::into),
        system_url: None,
        test_clock: None,
    }
}

/// The URL with another database's name.
fn renamed(url: &str, database: &str) -> String {
    let (rest, query) = url.split_once('?').unwrap();
    let (server, _) = rest.rsplit_once('/').unwrap();
    format!("{server}/{database}?{query}")
}

/// Settings for a database of another name on the same server.
fn elsewhere(db: &TestDb, name: &str, admin: bool) -> Settings {
    settings(renamed(&db.app_url(), name), admin.then(|| db.admin_url()))
}

async fn refusal(settings: Settings) -> StartError {
    match Store::open(settings).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

async fn run(admin: &PgPool, sql: &str) {
    admin.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn unique(name: &str) -> String {
    format!("{name}_{}", std::process::id())
}

#[tokio::test]
async fn migrate_makes_everything_from_nothing_and_may_be_repeated() {
    let bench = bench().await;
    let settings = elsewhere(&bench.db, &unique("fresh"), true);
    let first = migrate(&settings).await.unwrap();
    assert!(first.created_database && first.applied.len() >= 2 && first.version == known_version());
    let second = migrate(&settings).await.unwrap();
    assert!(!second.created_database && second.applied.is_empty());

    let store = Store::open(Settings { admin_url: None, ..settings.clone() }).await.unwrap();
    store.health().await.unwrap();
    store.scoped(&owners()[0], async |_| Ok(())).await.unwrap();
    for check in diagnose(&settings).await {
        assert!(check.passed, "{check:?}");
    }
    let others: Vec<String> = sqlx::query_scalar(
        "select a.privilege_type from pg_database d, aclexplode(d.datacl) a where d.datname = $1 and a.grantee = 0
         union all select a.privilege_type from pg_namespace n, aclexplode(n.nspacl) a where nspname = 'public' and a.grantee = 0",
    )
    .bind(first.database)
    .fetch_all(&bench.db.admin())
    .await
    .unwrap();
    assert_eq!(others, Vec::<String>::new(), "everybody may enter");
}

#[tokio::test]
async fn several_replicas_may_start_on_an_empty_server_at_once() {
    let bench = bench().await;
    let settings = elsewhere(&bench.db, &unique("busy"), true);
    let opened = futures::future::join_all((0..4).map(|_| Store::open(settings.clone()))).await;
    for store in opened {
        store.unwrap().health().await.unwrap();
    }
}

#[tokio::test]
async fn a_neighbour_may_change_the_same_roles_at_the_same_time() {
    let bench = bench().await;
    let settings = settings(bench.db.app_url(), Some(bench.db.admin_url()));
    let admin = bench.db.admin();
    // Roles belong to the server; the lock of whoever prepares another database is not ours.
    let mut neighbour = admin.begin().await.unwrap();
    neighbour.execute("alter role adjutant_app connection limit -1").await.unwrap();
    let migrating = tokio::spawn(async move { migrate(&settings).await });
    let waiting =
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like 'alter role%')";
    while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&admin).await.unwrap() {
        assert!(!migrating.is_finished(), "it never changed the role");
    }
    neighbour.commit().await.unwrap();
    migrating.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_schema_behind_is_migrated_with_an_admin_and_refused_without() {
    let bench = bench().await;
    let admin = bench.db.admin();
    let name = unique("behind");
    let missing = refusal(elsewhere(&bench.db, &name, false)).await;
    assert!(matches!(&missing, StartError::NoDatabase { .. }) && missing.to_string().contains("adjutant migrate"));
    run(&admin, &format!("create database {name}")).await;
    let behind = refusal(elsewhere(&bench.db, &name, false)).await;
    assert!(matches!(&behind, StartError::Behind { found: 0, .. }), "{behind:?}");
    assert!(behind.to_string().contains("adjutant migrate"), "{behind}");
    Store::open(elsewhere(&bench.db, &name, true)).await.unwrap();
    Store::open(elsewhere(&bench.db, &name, false)).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_even_with_an_admin() {
    let bench = bench().await;
    run(
        &bench.db.admin(),
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (299901010000, 'from the future', true, '', 0)",
    )
    .await;
    let settings = settings(bench.db.app_url(), Some(bench.db.admin_url()));
    let error = refusal(settings.clone()).await;
    assert!(matches!(error, StartError::Newer { found: 299_901_010_000, .. }), "{error:?}");
    assert!(error.to_string().contains("newer binary"), "{error}");
    assert!(matches!(migrate(&settings).await, Err(StartError::Newer { .. })));
    let failed: Vec<_> = diagnose(&settings).await.into_iter().filter(|check| !check.passed).collect();
    assert_eq!(failed.iter().map(|check| check.name).collect::<Vec<_>>(), ["schema"]);
}

#[tokio::test]
async fn a_changed_migration_is_noticed() {
    let bench = bench().await;
    run(&bench.db.admin(), "update _sqlx_migrations set checksum = 'x'").await;
    let error = migrate(&settings(bench.db.app_url(), Some(bench.db.admin_url()))).await.unwrap_err();
    assert!(matches!(error, StartError::Edited { .. }), "{error:?}");
}

#[tokio::test]
async fn an_old_or_missing_extension_is_refused() {
    let bench = bench().await;
    let admin = bench.db.admin();
    run(&admin, "update pg_extension set extversion = '0.7.4' where extname = 'vector'").await;
    let old = refusal(settings(bench.db.app_url(), None)).await;
    assert!(matches!(&old, StartError::VectorTooOld { .. }) && old.to_string().contains("0.8"), "{old}");
    run(&admin, "drop extension vector").await;
    let missing = refusal(settings(bench.db.app_url(), None)).await;
    assert!(matches!(missing, StartError::NoVector), "{missing:?}");
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let bench = bench().await;
    let name = unique("ascii");
    run(
        &bench.db.admin(),
        &format!("create database {name} template template0 encoding 'SQL_ASCII' locale_provider libc locale 'C'"),
    )
    .await;
    let error = refusal(elsewhere(&bench.db, &name, false)).await;
    assert!(matches!(error, StartError::Encoding { .. }), "{error:?}");
}

#[tokio::test]
async fn a_role_that_could_pass_row_security_is_refused() {
    let roles = alone().await;
    let db = TestDb::new().await;
    let admin = db.admin();
    for (plant, word, mend) in [
        ("alter role adjutant_app superuser", "superuser", "alter role adjutant_app nosuperuser"),
        ("alter role adjutant_app bypassrls", "BYPASSRLS", "alter role adjutant_app nobypassrls"),
        ("alter role adjutant_app createrole", "create roles", "alter role adjutant_app nocreaterole"),
        ("grant adjutant_owner to adjutant_app", "adjutant_owner", "revoke adjutant_owner from adjutant_app"),
        ("grant pg_read_all_data to adjutant_app", "pg_read_all_data", "revoke pg_read_all_data from adjutant_app"),
        ("alter table threads owner to adjutant_app", "owns tables", "alter table threads owner to adjutant_owner"),
        (
            "alter role adjutant_system bypassrls",
            "adjutant_system has BYPASSRLS",
            "alter role adjutant_system nobypassrls",
        ),
        ("alter role adjutant_system superuser", "is a superuser", "alter role adjutant_system nosuperuser"),
    ] {
        run(&admin, plant).await;
        // An admin at hand does not make it acceptable, and nothing is changed silently.
        let opened = Store::open(settings(db.app_url(), Some(db.admin_url()))).await;
        run(&admin, mend).await;
        let error = opened.err().unwrap_or_else(|| panic!("opened in spite of: {plant}"));
        assert!(matches!(&error, StartError::TooPowerful { .. }), "{plant}: {error:?}");
        assert!(error.to_string().contains(word) && error.to_string().contains("run `"), "{plant}: {error}");
    }
    Store::open(settings(db.app_url(), None)).await.unwrap();
    drop(roles);
}

#[tokio::test]
async fn another_login_than_the_application_role_is_refused() {
    let bench = bench().await;
    let error = refusal(settings(bench.db.admin_url(), None)).await;
    assert!(matches!(&error, StartError::WrongRole { found, .. } if found == "postgres"), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_and_a_silent_server_are_told_without_showing_the_password() {
    let bench = bench().await;
    let wrong = bench.db.app_url().replacen(':', "\0", 1).replacen(':', ":canary-", 1).replacen('\0', ":", 1);
    let error = refusal(settings(wrong, None)).await;
    assert!(matches!(error, StartError::Login { .. }), "{error:?}");
    assert!(!everything(&error).contains("canary"), "{}", everything(&error));

    let error = refusal(settings("postgres://adjutant_app:canary@localhost/x?host=/nowhere", None)).await;
    assert!(matches!(error, StartError::Unreachable(_)), "{error:?}");
    assert!(!everything(&error).contains("canary"), "{}", everything(&error));
}

#[tokio::test]
async fn an_admin_that_may_not_is_told_the_command() {
    let bench = bench().await;
    let name = unique("limited");
    run(&bench.db.admin(), &format!("create role {name} login createdb createrole password 'limited'")).await;
    let admin_url = renamed(&bench.db.admin_url(), "postgres");
    let (_, rest) = admin_url.split_once('@').unwrap();
    let limited = elsewhere(&bench.db, &unique("unmade"), false);
    let limited = Settings { admin_url: Some(format!("postgres://{name}:limited@{rest}").into()), ..limited };
    let error = migrate(&limited).await.unwrap_err();
    assert!(matches!(error, StartError::NotAllowed { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("grant adjutant_owner to \"{name}\"")), "{error}");
}

#[tokio::test]
async fn an_admin_that_cannot_log_in_is_not_sent_to_migrate() {
    let bench = bench().await;
    let admin_url = bench.db.admin_url();
    let (_, rest) = admin_url.split_once('@').unwrap();
    let settings = settings(bench.db.app_url(), Some(format!("postgres://postgres:canary@{rest}")));
    let error = migrate(&settings).await.unwrap_err();
    assert!(matches!(error, StartError::AdminLogin(_)) && !error.to_string().contains("adjutant migrate"), "{error}");
    assert!(!everything(&error).contains("canary"), "{}", everything(&error));
}

/// The error, its causes and its debug form: all that could reach a log.
fn everything(error: &StartError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(text, " {error} {error:?}").unwrap();
        cause = error.source();
    }
    text
}
