//! What the catalog says of every table, view and function: a new one that breaks the rules fails here.

use std::collections::BTreeSet;

use adjutant_testkit::db::TestDb;
use sqlx::PgPool;

/// Functions that everybody may call: they reveal nothing that the caller does not know.
const HARMLESS: [&str; 3] = ["app_now", "app_profile", "app_user"];

/// Every function that runs with the owner's rights, and who may call it.
const DOORS: [(&str, &[&str]); 9] = [
    ("key_create", &["adjutant_system"]),
    ("key_list", &["adjutant_system"]),
    ("key_lookup", &["adjutant_app"]),
    ("key_revoke", &["adjutant_system"]),
    ("key_seed", &["adjutant_system"]),
    ("leases_renew", &["adjutant_system"]),
    ("replica_number", &["adjutant_system"]),
    ("runs_claim", &["adjutant_system"]),
    ("schema_version", &["adjutant_app", "adjutant_system"]),
];

async fn names(admin: &PgPool, query: &'static str) -> Vec<String> {
    sqlx::query_scalar::<_, String>(query).fetch_all(admin).await.unwrap()
}

fn exceptions() -> BTreeSet<String> {
    let lines = include_str!("../../rls_exceptions.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (table, reason) = line.split_once(' ').expect("a table and its reason");
            assert!(reason.trim().len() > 20, "{table} needs a reason");
            table.to_owned()
        })
        .collect()
}

#[tokio::test]
async fn every_table_forces_row_security() {
    let db = TestDb::new().await;
    let open = names(
        &db.admin(),
        "select relname::text from pg_class
          where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
            and not (relrowsecurity and relforcerowsecurity)",
    )
    .await;
    assert_eq!(open, Vec::<String>::new());
}

#[tokio::test]
async fn every_table_has_the_owners_policy_or_a_listed_reason_and_no_grants() {
    let db = TestDb::new().await;
    let admin = db.admin();
    let bare = names(
        &admin,
        "select c.relname::text from pg_class c
          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            and not exists (select from pg_policy p where p.polrelid = c.oid)
          order by 1",
    )
    .await;
    assert_eq!(bare.into_iter().collect::<BTreeSet<_>>(), exceptions());
    let granted = names(
        &admin,
        "select distinct c.relname::text from pg_class c, unnest(array['adjutant_app', 'adjutant_system']) as role
          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S')
            and not exists (select from pg_policy p where p.polrelid = c.oid)
            and (has_table_privilege(role, c.oid, 'select, insert, update, delete, truncate, references, trigger')
                 or c.relkind <> 'S' and has_any_column_privilege(role, c.oid, 'select, insert, update, references'))",
    )
    .await;
    assert_eq!(granted, Vec::<String>::new());
    let wrong = names(
        &admin,
        "select polrelid::regclass::text from pg_policy
          where not polpermissive or polcmd <> '*' or polroles <> '{0}'
             or pg_get_expr(polqual, polrelid) is distinct from '((user_id = app_user()) AND (profile = app_profile()))'
             or pg_get_expr(polwithcheck, polrelid) is distinct from pg_get_expr(polqual, polrelid)",
    )
    .await;
    assert_eq!(wrong, Vec::<String>::new());
    let truncatable = names(
        &admin,
        "select c.relname::text from pg_class c, unnest(array['adjutant_app', 'adjutant_system']) as role
          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            and has_table_privilege(role, c.oid, 'truncate')",
    )
    .await;
    assert_eq!(truncatable, Vec::<String>::new(), "truncate ignores policies");
}

#[tokio::test]
async fn the_system_role_has_functions_and_no_tables() {
    let db = TestDb::new().await;
    let readable = names(
        &db.admin(),
        "select c.relname::text from pg_class c
          where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
            and has_any_column_privilege('adjutant_system', c.oid, 'select, insert, update')",
    )
    .await;
    assert_eq!(readable, Vec::<String>::new());
}

#[tokio::test]
async fn views_use_the_rights_of_their_reader() {
    let db = TestDb::new().await;
    let blind = names(
        &db.admin(),
        "select relname::text from pg_class
          where relnamespace = 'public'::regnamespace
            and (relkind = 'm' or relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false))",
    )
    .await;
    assert_eq!(blind, Vec::<String>::new());
}

#[tokio::test]
async fn only_listed_functions_run_with_the_owners_rights() {
    let db = TestDb::new().await;
    let admin = db.admin();
    let ours = "p.pronamespace = 'public'::regnamespace
                and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')";
    let public = format!(
        "select p.proname::text from pg_proc p where {ours} and has_function_privilege('public', p.oid, 'execute') order by 1"
    );
    let open: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(public)).fetch_all(&admin).await.unwrap();
    assert_eq!(open, HARMLESS);

    let definers = format!(
        "select p.proname::text, pg_get_userbyid(p.proowner)::text,
                coalesce(array_to_string(p.proconfig, ','), ''),
                array(select role from unnest(array['adjutant_app', 'adjutant_system']) as role
                       where has_function_privilege(role, p.oid, 'execute'))
           from pg_proc p where {ours} and p.prosecdef order by 1"
    );
    let found: Vec<(String, String, String, Vec<String>)> =
        sqlx::query_as(sqlx::AssertSqlSafe(definers)).fetch_all(&admin).await.unwrap();
    let shown: Vec<(&str, Vec<&str>)> =
        found.iter().map(|(name, _, _, roles)| (name.as_str(), roles.iter().map(String::as_str).collect())).collect();
    let listed: Vec<(&str, Vec<&str>)> = DOORS.iter().map(|(name, roles)| (*name, roles.to_vec())).collect();
    assert_eq!(shown, listed);
    for (name, owner, config, _) in &found {
        assert_eq!(owner, "adjutant_owner", "{name}");
        assert!(config.contains("search_path=pg_catalog"), "{name} trusts its caller's search path: {config}");
    }
}

#[tokio::test]
async fn every_foreign_key_has_an_index_and_names_the_owner() {
    let db = TestDb::new().await;
    let admin = db.admin();
    let slow = names(
        &admin,
        "select c.conrelid::regclass || ' ' || c.conname from pg_constraint c
          where c.contype = 'f' and c.connamespace = 'public'::regnamespace
            and not exists (
                select from pg_index i
                 where i.indrelid = c.conrelid and i.indpred is null
                   and (select array_agg(k order by k) from unnest((i.indkey::int2[])[0:cardinality(c.conkey) - 1]) k)
                     = (select array_agg(k order by k) from unnest(c.conkey) k))",
    )
    .await;
    assert_eq!(slow, Vec::<String>::new());
    let ownerless = names(
        &admin,
        "select c.conrelid::regclass || ' ' || c.conname from pg_constraint c
          where c.contype in ('f', 'p', 'u') and c.connamespace = 'public'::regnamespace
            and exists (select from pg_policy p where p.polrelid = c.conrelid)
            and not (select array_agg(a.attname::text order by k.place) from unnest(c.conkey[1:2]) with ordinality k (num, place)
                       join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.num) = array['user_id', 'profile']",
    )
    .await;
    assert_eq!(ownerless, Vec::<String>::new());
}

#[tokio::test]
async fn every_table_says_what_it_is_for() {
    let db = TestDb::new().await;
    let mute = names(
        &db.admin(),
        "select relname::text from pg_class
          where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and obj_description(oid) is null",
    )
    .await;
    assert_eq!(mute, Vec::<String>::new());
}

#[test]
fn time_in_sql_comes_from_app_now_alone() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../migrations");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default().to_lowercase().replace("app_now()", "");
            let is_its_definition = code.contains("current_setting('app.now'");
            for other in ["now()", "current_timestamp", "clock_timestamp", "localtimestamp", "statement_timestamp"] {
                assert!(is_its_definition || !code.contains(other), "{}:{}: {other}", path.display(), number + 1);
            }
        }
    }
}
