//! Row security alone: no statement here names an owner, and rows of every table are made from the catalog. The other net,
//! the predicates, is proven in `queries`.

use adjutant_core::scope::Owner;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::{Table, bench, code, exceptions, fill, owners, user_tables};

const FORBIDDEN: &str = "42501";

async fn act_as(conn: &mut PgConnection, user: &str, profile: &str) {
    sqlx::query("select set_config('app.user_id', $1, true), set_config('app.profile', $2, true)")
        .bind(user)
        .bind(profile)
        .execute(conn)
        .await
        .unwrap();
}

/// How many rows the statement saw or changed, or the code of its error. Leaves nothing behind.
async fn outcome(conn: &mut PgConnection, statement: String) -> Result<u64, String> {
    let mut tx = conn.begin().await.unwrap();
    let done = tx.execute(AssertSqlSafe(statement)).await;
    tx.rollback().await.unwrap();
    done.map(|done| done.rows_affected()).map_err(|error| code(&error))
}

async fn assert_sees(conn: &mut PgConnection, table: &Table, rows: u64) {
    let name = &table.name;
    for statement in
        [format!("select * from {name}"), format!("update {name} set user_id = user_id"), format!("delete from {name}")]
    {
        assert_eq!(outcome(conn, statement.clone()).await, Ok(rows), "{statement}");
    }
}

async fn assert_cannot_write_for(conn: &mut PgConnection, table: &Table, other: &Owner) {
    let insert = table.insert(other, 9);
    assert_eq!(outcome(conn, insert.clone()).await, Err(FORBIDDEN.to_owned()), "{insert}");
    let give = format!("update {} set user_id = '{}', profile = '{}'", table.name, other.user, other.profile);
    assert_eq!(outcome(conn, give.clone()).await, Err(FORBIDDEN.to_owned()), "{give}");
}

#[tokio::test]
async fn each_owner_reaches_their_own_rows_and_no_others() {
    let bench = bench().await;
    let mut admin = bench.db.admin().acquire().await.unwrap();
    let tables = user_tables(&mut admin).await;
    fill(&mut admin, &tables).await;
    let mut app = bench.db.bare_app().acquire().await.unwrap();
    for (owner, number) in owners().iter().zip(1..) {
        let mut tx = app.begin().await.unwrap();
        act_as(&mut tx, owner.user.as_str(), owner.profile.as_str()).await;
        for table in &tables {
            assert_sees(&mut tx, table, 1).await;
            for other in owners().iter().filter(|other| *other != owner) {
                assert_cannot_write_for(&mut tx, table, other).await;
            }
            let foreign =
                format!("select * from {} where user_id || profile <> '{}{}'", table.name, owner.user, owner.profile);
            assert_eq!(outcome(&mut tx, foreign).await, Ok(0), "{} of owner {number}", table.name);
        }
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_whole_owner_nothing_is_there() {
    let bench = bench().await;
    let mut admin = bench.db.admin().acquire().await.unwrap();
    let tables = user_tables(&mut admin).await;
    fill(&mut admin, &tables).await;
    let mut app = bench.db.bare_app().acquire().await.unwrap();
    for table in &tables {
        // Before anything was ever set on this connection, the settings are null rather than empty.
        let mut tx = app.begin().await.unwrap();
        assert_sees(&mut tx, table, 0).await;
        tx.rollback().await.unwrap();
    }
    for (user, profile) in [("", ""), ("anna", ""), ("", "personal"), ("anna", "elsewhere"), ("zoe", "personal")] {
        let mut tx = app.begin().await.unwrap();
        act_as(&mut tx, user, profile).await;
        for table in &tables {
            assert_sees(&mut tx, table, 0).await;
            for other in &owners() {
                let insert = table.insert(other, 9);
                assert_eq!(outcome(&mut tx, insert.clone()).await, Err(FORBIDDEN.to_owned()), "{insert}");
            }
        }
        tx.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn the_owner_of_a_transaction_is_forgotten_with_it() {
    let bench = bench().await;
    let mut app = bench.db.bare_app().acquire().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    act_as(&mut tx, "anna", "personal").await;
    tx.commit().await.unwrap();
    let (user, text): (Option<String>, String) =
        sqlx::query_as("select app_user(), current_setting('app.user_id', true)").fetch_one(&mut *app).await.unwrap();
    assert_eq!((user, text.as_str()), (None, ""));
}

#[tokio::test]
async fn the_system_role_reaches_no_table_at_all() {
    let bench = bench().await;
    let mut conn = bench.db.admin().acquire().await.unwrap();
    let names: Vec<String> =
        user_tables(&mut conn).await.into_iter().map(|table| table.name).chain(exceptions()).collect();
    conn.execute("set role adjutant_system").await.unwrap();
    for name in names {
        for statement in [
            format!("select * from {name}"),
            format!("delete from {name}"),
            format!("truncate {name}"),
            format!("insert into {name} default values"),
        ] {
            assert_eq!(outcome(&mut conn, statement.clone()).await, Err(FORBIDDEN.to_owned()), "{statement}");
        }
    }
}

#[tokio::test]
async fn the_application_role_cannot_reach_around_the_policies() {
    let bench = bench().await;
    let mut app = bench.db.bare_app().acquire().await.unwrap();
    let mut statements: Vec<String> = exceptions().iter().map(|name| format!("select * from {name}")).collect();
    statements.extend(
        [
            "truncate events",
            "set role adjutant_owner",
            "set role adjutant_system",
            "set session authorization postgres",
            "set session_replication_role = replica",
            "alter table threads disable row level security",
            "create table mine (id integer)",
            "create temp table threads (id integer)",
            "select nextval('replica_numbers')",
            "select * from key_list()",
            "select * from runs_claim(1, '{}', 1, interval '1 second')",
            "copy threads to program 'cat'",
        ]
        .map(str::to_owned),
    );
    for statement in statements {
        assert_eq!(outcome(&mut app, statement.clone()).await, Err(FORBIDDEN.to_owned()), "{statement}");
    }
    // Asking for it to be off is an error where it applies, not a way around it.
    app.execute("set row_security = off").await.unwrap();
    assert_eq!(outcome(&mut app, "select * from threads".to_owned()).await, Err(FORBIDDEN.to_owned()));
}
