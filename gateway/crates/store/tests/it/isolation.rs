//! Row security alone: no query here names an owner.

use adjutant_testkit::db::TestDb;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

const OWNERS: [(&str, &str); 3] = [("anna", "personal"), ("anna", "work"), ("ben", "personal")];

/// One row of every table for each owner, planted as the superuser.
async fn planted() -> (TestDb, Vec<String>) {
    let db = TestDb::new().await;
    let admin = db.admin();
    for (user, profile) in OWNERS {
        let statements = "
            insert into threads (user_id, profile, id) values ($u, $p, $id);
            insert into messages (user_id, profile, thread_id, id, role, content, seq) values ($u, $p, $id, $id, 'user', '[]', 1);
            insert into runs (user_id, profile, id, thread_id, message_id, state, origin) values ($u, $p, $id, $id, $id, 'failed', 'rest');
            insert into steps (user_id, profile, run_id, number, id, kind, started_at) values ($u, $p, $id, 0, $id, 'model_call', app_now());
            insert into tool_calls (user_id, profile, id, run_id, step, position, kind, name, arguments, risk, repeatable, state)
                values ($u, $p, $id, $id, 0, 0, 'none', 'x', '{}', 'effects', false, 'failed');
            insert into approvals (user_id, profile, id, run_id, tool_call_id) values ($u, $p, $id, $id, $id);
            insert into tool_consents (user_id, profile, agent, server, tool) values ($u, $p, 'cos', 's', 't');
            insert into events (user_id, profile, thread_id, seq, run_id, kind) values ($u, $p, $id, 1, $id, 'x')";
        let id = "gen_random_uuid()";
        let same: String =
            sqlx::query_scalar(AssertSqlSafe(format!("select {id}::text"))).fetch_one(&admin).await.unwrap();
        let script = statements
            .replace("$u", &format!("'{user}'"))
            .replace("$p", &format!("'{profile}'"))
            .replace("$id", &format!("'{same}'"));
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&admin).await.unwrap();
    }
    let tables = owned_tables(&admin).await;
    for table in &tables {
        let rows: i64 = scalar(&mut admin.acquire().await.unwrap(), &format!("select count(*) from {table}")).await;
        assert_eq!(rows, 3, "plant a row of {table} for each owner");
    }
    (db, tables)
}

async fn owned_tables(admin: &PgPool) -> Vec<String> {
    let query = "select polrelid::regclass::text from pg_policy order by 1";
    let tables = sqlx::query_scalar(query).fetch_all(admin).await.unwrap();
    assert!(!tables.is_empty());
    tables
}

async fn scalar(conn: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(conn).await.unwrap()
}

async fn act_as(conn: &mut PgConnection, user: &str, profile: &str) {
    sqlx::query("select set_config('app.user_id', $1, true), set_config('app.profile', $2, true)")
        .bind(user)
        .bind(profile)
        .execute(conn)
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_user_no_row_is_visible_anywhere() {
    let (db, tables) = planted().await;
    let app = db.bare_app();
    let mut conn = app.acquire().await.unwrap();
    for table in &tables {
        assert_eq!(scalar(&mut conn, &format!("select count(*) from {table}")).await, 0, "{table}, never set");
    }
    // Once set, the setting is empty and not null for the rest of the session.
    sqlx::raw_sql(
        "begin; select set_config('app.user_id', 'anna', true), set_config('app.profile', 'personal', true); commit",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    for table in &tables {
        assert_eq!(scalar(&mut conn, &format!("select count(*) from {table}")).await, 0, "{table}, set before");
    }
}

#[tokio::test]
async fn an_owner_sees_and_changes_their_own_rows_alone() {
    let (db, tables) = planted().await;
    let app = db.bare_app();
    for (user, profile) in OWNERS {
        for table in &tables {
            let mut tx = app.begin().await.unwrap();
            act_as(&mut tx, user, profile).await;
            assert_eq!(scalar(&mut tx, &format!("select count(*) from {table}")).await, 1, "{table}");
            let theirs = format!("select count(*) from {table} where user_id <> '{user}' or profile <> '{profile}'");
            assert_eq!(scalar(&mut tx, &theirs).await, 0, "{table}");
            let update = sqlx::query(AssertSqlSafe(format!("update {table} set user_id = user_id"))).execute(&mut *tx);
            assert_eq!(update.await.unwrap().rows_affected(), 1, "{table}");
            let delete = sqlx::query(AssertSqlSafe(format!("delete from {table}"))).execute(&mut *tx);
            assert_eq!(delete.await.unwrap().rows_affected(), 1, "{table}");
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn nobody_can_write_a_row_of_another() {
    let (db, tables) = planted().await;
    let app = db.bare_app();
    for table in &tables {
        for (column, value) in [("user_id", "ben"), ("profile", "work")] {
            let mut tx = app.begin().await.unwrap();
            act_as(&mut tx, "anna", "personal").await;
            let give = format!("update {table} set {column} = '{value}'");
            let refused = sqlx::query(AssertSqlSafe(give)).execute(&mut *tx).await.unwrap_err();
            assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{table}: {refused}");
        }
    }
}

#[tokio::test]
async fn the_application_role_reaches_no_key_and_no_other_role() {
    let (db, _) = planted().await;
    let app = db.bare_app();
    for statement in [
        "select * from api_keys",
        "select key_list()",
        "select runs_claim(1, '{}', 1, '1 s')",
        "set role adjutant_owner",
        "set role postgres",
        "set session authorization postgres",
        "alter table threads disable row level security",
        "truncate threads cascade",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&app).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{statement}: {refused}");
    }
}
