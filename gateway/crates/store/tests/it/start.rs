//! What the store refuses to open, and the sentence that says what to do.

use adjutant_store::check::StartError;
use adjutant_store::migrate;
use adjutant_store::pool::Settings;
use adjutant_store::store::Store;
use adjutant_testkit::db::TestDb;
use sqlx::AssertSqlSafe;

fn settings(app: String, admin: Option<String>) -> Settings {
    Settings { app_url: app.into(), admin_url: admin.map(Into::into), system_url: None, test_clock: None }
}

async fn refusal(db: &TestDb) -> StartError {
    match Store::open(settings(db.app_url(), None)).await {
        Err(error) => error,
        Ok(_) => panic!("it opened"),
    }
}

async fn run(db: &TestDb, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&db.admin()).await.unwrap();
}

#[tokio::test]
async fn a_role_that_could_look_past_row_security_is_refused() {
    let db = TestDb::new().await;
    run(&db, "alter role adjutant_app bypassrls").await;
    let error = refusal(&db).await;
    assert!(matches!(error, StartError::TooPowerful { .. }) && error.to_string().contains("nobypassrls"), "{error}");
    run(&db, "alter role adjutant_app nobypassrls; grant adjutant_owner to adjutant_app").await;
    assert!(matches!(refusal(&db).await, StartError::TooPowerful { .. }));
    run(&db, "revoke adjutant_owner from adjutant_app; alter table threads owner to adjutant_app").await;
    assert!(matches!(refusal(&db).await, StartError::TooPowerful { .. }));
    run(&db, "alter table threads owner to adjutant_owner; alter role adjutant_app superuser").await;
    assert!(matches!(refusal(&db).await, StartError::TooPowerful { .. }));
    run(&db, "alter role adjutant_app nosuperuser").await;
    assert!(Store::open(settings(db.app_url(), None)).await.is_ok());
}

#[tokio::test]
async fn the_superusers_url_is_refused() {
    let db = TestDb::new().await;
    let error = Store::open(settings(db.admin_url(), None)).await.err().unwrap();
    assert!(matches!(error, StartError::WrongRole { .. } | StartError::TooPowerful { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_an_older_one_wants_an_admin() {
    let db = TestDb::new().await;
    run(
        &db,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
              values (999912312359, 'from the future', true, '', 0)",
    )
    .await;
    let error = refusal(&db).await;
    assert!(matches!(error, StartError::Newer { .. }) && error.to_string().contains("newer binary"), "{error}");
    run(&db, "delete from _sqlx_migrations where version > 202611210000").await;
    let error = refusal(&db).await;
    assert!(matches!(error, StartError::Behind { .. }) && error.to_string().contains("adjutant migrate"), "{error}");
}

#[tokio::test]
async fn an_empty_server_is_prepared_when_there_is_an_admin() {
    let db = TestDb::new().await;
    let app = db.app_url().replace("/test_", "/fresh_");
    let alone = Store::open(settings(app.clone(), None)).await.err().unwrap();
    assert!(matches!(alone, StartError::NoDatabase { .. }), "{alone}");
    Store::open(settings(app.clone(), Some(db.admin_url()))).await.unwrap();
    let again = migrate::migrate(&settings(app, Some(db.admin_url()))).await.unwrap();
    assert!(!again.created_database && again.applied.is_empty(), "{again:?}");
}
