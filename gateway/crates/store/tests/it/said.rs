//! What the beginnings of a page of threads cost: one message each, found by an index, also under row security.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use uuid::Uuid;

use crate::support::bench;

/// Rows of the table that this transaction has fetched so far, by an index or without.
const READ: &str = "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = 'messages'";

/// The query as it is checked in.
fn query() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.sqlx");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["query"].as_str().unwrap().to_owned()
    });
    let mut found: Vec<String> =
        texts.filter(|text| text.contains("message_said(") && text.contains("recursive branch")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test]
async fn the_beginnings_of_a_page_are_read_without_walking_the_branches() {
    let bench = bench().await;
    let mut admin = bench.db.admin().acquire().await.unwrap();
    for statement in [
        "insert into threads (user_id, profile, id, head_id)
         select 'anna', 'personal', md5('t' || t)::uuid, md5('m' || t || '-' || 100)::uuid from generate_series(1, 100) t",
        "insert into messages (user_id, profile, thread_id, id, parent_id, role, content, seq)
         select 'anna', 'personal', md5('t' || t)::uuid, md5('m' || t || '-' || n)::uuid,
                case when n > 1 then md5('m' || t || '-' || n - 1)::uuid end,
                case when n % 2 = 1 then 'user' else 'assistant' end,
                jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'said ' || t || '-' || n)), n
           from generate_series(1, 100) t, generate_series(1, 100) n order by n, t",
        "analyze threads, messages, runs",
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from threads").fetch_all(&mut *admin).await.unwrap();

    let mut app = bench.db.bare_app().acquire().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.execute("select set_config('app.user_id', 'anna', true), set_config('app.profile', 'personal', true)")
        .await
        .unwrap();
    let rows = sqlx::query(AssertSqlSafe(query())).bind("anna").bind("personal").bind(&ids).fetch_all(&mut *tx);
    let said: Vec<String> = rows.await.unwrap().iter().map(|row| row.get("said")).collect();
    let read: i64 = sqlx::query_scalar(READ).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(said.len(), 100);
    assert!(said.iter().all(|said| said.ends_with("-1")), "{said:?}");
    assert!(read <= 300, "{read} rows of 10,000 were read for 100 threads");
}
