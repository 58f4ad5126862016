//! The predicates alone: every query of this crate, read from the checked-in query data, runs as a superuser, whom no
//! policy stops, with one owner and another owner's ids.

use std::path::Path;

use adjutant_core::scope::Owner;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::{bench, code, fill, literal, owners, user_tables};

struct Query {
    text: String,
    /// Types of its parameters.
    kinds: Vec<String>,
}

impl Query {
    /// Others list what one has, or insert after they counted it; for those the static test must do.
    fn names_an_id(&self) -> bool {
        let rest = self.text.replace("user_id = $1", "");
        (rest.contains("id = $") || rest.contains("id = any($")) && !rest.starts_with("with others as")
    }
}

/// Static queries that read or change rows of the named tables. Policies alone decide for whom an insert makes a row.
fn queries(tables: &[String]) -> Vec<Query> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.sqlx");
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let data: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = data["query"].as_str().unwrap().to_owned();
        if tables.iter().any(|table| mentions(&text, table) > 0) {
            let kinds = data["describe"]["parameters"]["Left"].as_array().unwrap().iter();
            queries.push(Query { text, kinds: kinds.map(|kind| type_name(kind.as_str().unwrap())).collect() });
        }
    }
    assert!(queries.len() > 20, "only {} queries were found", queries.len());
    queries
}

/// How often the table stands behind a word that reads or changes rows of it that are there.
fn mentions(query: &str, table: &str) -> usize {
    let words: Vec<&str> =
        query.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    words.windows(2).filter(|pair| matches!(pair[0], "from" | "join" | "update" | "using") && pair[1] == table).count()
}

/// From the wire's names to those of SQL.
fn type_name(kind: &str) -> String {
    let (kind, array) = kind.strip_suffix("Array").map_or((kind, ""), |kind| (kind, "[]"));
    let name = match kind {
        "Int8" => "bigint",
        "Int4" => "integer",
        "Bool" => "boolean",
        "Timestamptz" => "timestamp with time zone",
        other => &other.to_lowercase(),
    };
    format!("{name}{array}")
}

/// Rows that the query returned or changed for `owner`, asking for the rows of number `number`.
async fn rows(conn: &mut PgConnection, query: &Query, owner: &Owner, number: u8) -> Result<u64, String> {
    let mut values = vec![format!("'{}'", owner.user), format!("'{}'", owner.profile)];
    values.extend(query.kinds.iter().skip(2).map(|kind| literal(kind, number)));
    let mut tx = conn.begin().await.unwrap();
    let prepared = format!("prepare q as {}", query.text);
    tx.execute(AssertSqlSafe(prepared.clone())).await.unwrap_or_else(|error| panic!("{prepared}: {error}"));
    let done = tx.execute(AssertSqlSafe(format!("execute q({})", values.join(", ")))).await;
    tx.rollback().await.unwrap();
    conn.execute("deallocate all").await.unwrap();
    done.map(|done| done.rows_affected()).map_err(|error| code(&error))
}

#[tokio::test]
async fn each_query_names_its_owner_once_per_table() {
    let bench = bench().await;
    let mut conn = bench.db.admin().acquire().await.unwrap();
    let tables: Vec<String> = user_tables(&mut conn).await.into_iter().map(|table| table.name).collect();
    for query in queries(&tables) {
        let reads: usize = tables.iter().map(|table| mentions(&query.text, table)).sum();
        let owned = query.text.matches("user_id = ").count().min(query.text.matches("profile = ").count());
        assert!(owned >= reads, "{reads} tables, {owned} owners: {}", query.text);
    }
}

#[tokio::test]
async fn the_predicates_alone_keep_owners_apart() {
    let bench = bench().await;
    let mut conn = bench.db.admin().acquire().await.unwrap();
    let tables = user_tables(&mut conn).await;
    fill(&mut conn, &tables).await;
    let names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
    let [anna, anna_at_work, ben] = owners();
    let (mut tried, mut convincing) = (0, 0);
    for query in queries(&names).iter().filter(|query| query.names_an_id()) {
        for (owner, number) in [(&anna, 2), (&anna, 3), (&anna_at_work, 1), (&ben, 1), (&ben, 2)] {
            let found = rows(&mut conn, query, owner, number).await;
            assert_eq!(found, Ok(0), "{owner:?} reached the rows of number {number}: {}", query.text);
        }
        // With the opposite predicate the query must reach the foreign row, else the above proves nothing about it. Some
        // look for another state than the generated row has.
        for (owner, given, opposite) in
            [(&ben, "user_id = $1", "user_id <> $1"), (&anna_at_work, "profile = $2", "profile <> $2")]
        {
            let turned = Query { text: query.text.replace(given, opposite), kinds: query.kinds.clone() };
            tried += 1;
            convincing += usize::from(match rows(&mut conn, &turned, owner, 1).await {
                Ok(rows) => rows > 0,
                // A check or a key stopped the change of a row that was reached.
                Err(code) => code.starts_with("23"),
            });
        }
    }
    assert!(convincing * 3 > tried * 2, "only {convincing} of {tried} queries were put to the test");
}
