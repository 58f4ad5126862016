//! A database per test, and one row per owner in every table, made from the catalog.

use adjutant_core::scope::Owner;
use adjutant_testkit::db::{TestDb, owner};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, FromRow};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Roles belong to the whole server, which the tests of one process share: who changes one must be alone.
static ROLES: RwLock<()> = RwLock::const_new(());

pub(crate) struct Bench {
    pub(crate) db: TestDb,
    _roles: RwLockReadGuard<'static, ()>,
}

pub(crate) async fn bench() -> Bench {
    let roles = ROLES.read().await;
    Bench { db: TestDb::new().await, _roles: roles }
}

pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    ROLES.write().await
}

pub(crate) fn owners() -> [Owner; 3] {
    [owner("anna", "personal"), owner("anna", "work"), owner("ben", "personal")]
}

/// A table whose rows belong to a user.
pub(crate) struct Table {
    pub(crate) name: String,
    columns: Vec<Column>,
}

#[derive(FromRow)]
struct Column {
    table: String,
    name: String,
    kind: String,
    /// The first value that a check of the form `name in (…)` or `name = …` allows.
    allowed: Option<String>,
}

/// Every table with a `user_id` but those of the exceptions file.
pub(crate) async fn user_tables(conn: &mut PgConnection) -> Vec<Table> {
    let columns: Vec<Column> = sqlx::query_as(
        r#"select c.relname::text as "table", a.attname::text as name, format_type(a.atttypid, null) as kind,
                  (select substring(pg_get_constraintdef(k.oid)
                                    from '\(\(?' || a.attname || ' = (?:ANY \(\(?ARRAY\[)?''([^'']*)''')
                     from pg_constraint k
                    where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum] limit 1) as allowed
             from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attgenerated = ''
              and exists (select from pg_attribute u where u.attrelid = c.oid and u.attname = 'user_id')
            order by c.relname, a.attnum"#,
    )
    .fetch_all(conn)
    .await
    .unwrap();
    let excepted = exceptions();
    let mut tables: Vec<Table> = Vec::new();
    for column in columns.into_iter().filter(|column| !excepted.contains(&column.table)) {
        match tables.last_mut() {
            Some(table) if table.name == column.table => table.columns.push(column),
            _ => tables.push(Table { name: column.table.clone(), columns: vec![column] }),
        }
    }
    assert!(tables.len() >= 8, "the catalog shows only {} tables", tables.len());
    tables
}

impl Table {
    /// An insert of a row of `owner`; rows of one `number` have equal ids in all tables.
    pub(crate) fn insert(&self, owner: &Owner, number: u8) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<String> = self.columns.iter().map(|column| column.value(owner, number)).collect();
        format!("insert into {} ({}) values ({})", self.name, names.join(", "), values.join(", "))
    }
}

impl Column {
    fn value(&self, owner: &Owner, number: u8) -> String {
        match self.name.as_str() {
            "user_id" => format!("'{}'", owner.user),
            "profile" => format!("'{}'", owner.profile),
            "currency" => "'EUR'".to_owned(),
            _ => self.allowed.as_ref().map_or_else(|| literal(&self.kind, number), |text| format!("'{text}'")),
        }
    }
}

/// A value of that type, the same wherever it is asked for.
pub(crate) fn literal(kind: &str, number: u8) -> String {
    if let Some(element) = kind.strip_suffix("[]") {
        return format!("array[{}]::{kind}", literal(element, number));
    }
    match kind {
        "uuid" => format!("'00000000-0000-7000-8000-{number:012}'::uuid"),
        // Also valid JSON, for parameters that become it.
        "text" | "character varying" => format!(r#"'"text {number}"'"#),
        "bigint" | "integer" | "smallint" => number.to_string(),
        "boolean" => "false".to_owned(),
        "jsonb" => "'{}'::jsonb".to_owned(),
        "timestamp with time zone" => "'2026-01-01T00:00:00Z'::timestamptz".to_owned(),
        "interval" => "interval '1 second'".to_owned(),
        "bytea" => format!(r"'\x{}'::bytea", format!("{number:02x}").repeat(32)),
        other => panic!("teach tests/it/support.rs a value of type {other}"),
    }
}

/// One row per owner in every table, beside all triggers and foreign keys. `conn` is a superuser's.
pub(crate) async fn fill(conn: &mut PgConnection, tables: &[Table]) {
    conn.execute("set session_replication_role = replica").await.unwrap();
    for table in tables {
        for (owner, number) in owners().iter().zip(1..) {
            let statement = table.insert(owner, number);
            conn.execute(AssertSqlSafe(statement.clone()))
                .await
                .unwrap_or_else(|error| panic!("teach tests/it/support.rs this table: {statement}: {error}"));
        }
    }
    conn.execute("reset session_replication_role").await.unwrap();
}

/// Names in `rls_exceptions.txt`.
pub(crate) fn exceptions() -> Vec<String> {
    let lines = include_str!("../../rls_exceptions.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, reason) = line.split_once(' ').unwrap_or_else(|| panic!("no reason is given for {line}"));
            assert!(reason.trim().len() > 20, "the reason for {name} says nothing");
            name.to_owned()
        })
        .collect()
}

pub(crate) fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map_or_else(|| error.to_string(), String::from)
}
