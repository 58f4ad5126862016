//! What every table, view and function must have, read from the catalog of a migrated database. A rule is a query that
//! lists what breaks it; the last test plants a fault for each.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::{bench, exceptions};

struct Rule {
    name: &'static str,
    violations: &'static str,
    /// What must make it speak.
    fault: &'static str,
}

/// Definer functions and the one role that may call each; nothing else runs with the owner's rights.
const DOORS: &[(&str, &str)] = &[
    ("account_close(text)", "adjutant_app"),
    ("account_delete(text)", "adjutant_app"),
    ("account_sweep(text)", "adjutant_system"),
    ("credential_keys()", "adjutant_system"),
    ("credential_owners(text)", "adjutant_system"),
    ("files_used()", "adjutant_app"),
    ("device_create(text,bytea,text,text,bytea,integer,interval)", "adjutant_app"),
    ("device_list(text,interval)", "adjutant_app"),
    ("device_lookup(bytea,interval)", "adjutant_app"),
    ("device_revoke(text,text)", "adjutant_app"),
    ("key_create(text,bytea,text,text,text,text,boolean)", "adjutant_system"),
    ("key_list()", "adjutant_system"),
    ("key_lookup(bytea)", "adjutant_app"),
    ("key_revoke(text)", "adjutant_system"),
    ("key_seed(text,bytea,text,text,text,text,boolean)", "adjutant_system"),
    ("leases_renew(integer,interval)", "adjutant_system"),
    ("own_key_create(text,text,bytea,text,text,text,integer)", "adjutant_app"),
    ("own_key_revoke(text,text)", "adjutant_app"),
    ("own_keys(text,timestamp with time zone,text,bigint)", "adjutant_app"),
    ("profile_delete()", "adjutant_app"),
    ("profile_names()", "adjutant_app"),
    ("messages_search(tsquery,timestamp with time zone,uuid,integer)", "adjutant_app"),
    (
        "messages_search(tsquery,timestamp with time zone,uuid,integer,text,timestamp with time zone,timestamp with time zone,uuid)",
        "adjutant_app",
    ),
    ("purge(interval,interval,integer)", "adjutant_system"),
    ("purge_temporary(interval,integer)", "adjutant_system"),
    ("replica_number()", "adjutant_system"),
    ("run_rights(text)", "adjutant_app"),
    ("runs_claim(integer,uuid[],integer,interval)", "adjutant_system"),
    ("schema_version()", "adjutant_app"),
    ("schema_version()", "adjutant_system"),
    ("ticket_create(bytea,text,text,interval,integer)", "adjutant_app"),
    ("ticket_take(bytea)", "adjutant_app"),
    ("user_add(text,text,boolean)", "adjutant_system"),
    ("user_change(text,boolean,boolean)", "adjutant_system"),
    ("user_list()", "adjutant_system"),
    ("user_self()", "adjutant_app"),
];

/// Functions without rights of their own, which policies and defaults need.
const HARMLESS: &[&str] = &[
    "account_asking(text)",
    "account_rows_delete(text)",
    "app_now()",
    "app_profile()",
    "app_user()",
    "message_said(jsonb)",
    "message_text(jsonb)",
    "search_words(text,boolean)",
];

const RULES: &[Rule] = &[
    Rule {
        name: "every table has row security, enabled and forced",
        violations: "select name from ours where kind in ('r', 'p') and not (secured and forced)",
        fault: "alter table threads no force row level security",
    },
    Rule {
        // A credential may hold for all profiles of its user.
        name: "every table with a user has one policy, which names user and profile; exceptions have none",
        violations: "
            select o.name from ours o where o.kind in ('r', 'p') and
              (select coalesce(string_agg(concat_ws(' ', p.polcmd::text, p.polpermissive::text, p.polroles::text,
                                                    pg_get_expr(p.polqual, o.oid), pg_get_expr(p.polwithcheck, o.oid)), ';'), '')
                 from pg_policy p where p.polrelid = o.oid)
              <> case when o.excepted then ''
                      when o.name = 'user_credentials' then
                           '* true {0} ((user_id = app_user()) AND (app_profile() IS NOT NULL) AND ((profile = app_profile()) OR (profile = ''*''::text))) '
                           '((user_id = app_user()) AND (app_profile() IS NOT NULL) AND ((profile = app_profile()) OR (profile = ''*''::text)))'
                      when o.profiled then '* true {0} ((user_id = app_user()) AND (profile = app_profile())) '
                                           '((user_id = app_user()) AND (profile = app_profile()))'
                      else '* true {0} (user_id = app_user()) (user_id = app_user())' end",
        fault: "create policy more on threads for select using (true)",
    },
    Rule {
        name: "a table without a user is a listed exception, and an exception exists",
        violations: "
            select name from ours o where kind in ('r', 'p') and not excepted
               and not exists (select from pg_attribute a where a.attrelid = o.oid and a.attname = 'user_id' and a.attnotnull)
            union all
            select e from unnest(string_to_array(current_setting('test.exceptions'), ' ')) e
             where e not in (select name from ours)",
        fault: "create table prices (model text primary key)",
    },
    Rule {
        name: "the application reads and writes rows of tables with policies and nothing else; nobody else has any grant",
        violations: "
            select o.name || ': ' || a.privilege_type || ' to ' || a.grantee::regrole
              from ours o, aclexplode(o.acl) a
             where a.grantee <> 'adjutant_owner'::regrole
               and not (o.kind in ('r', 'p', 'v') and not o.excepted and a.grantee = 'adjutant_app'::regrole
                        and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') and not a.is_grantable)
            union all
            select o.name || '.' || t.attname from ours o join pg_attribute t on t.attrelid = o.oid where t.attacl is not null",
        fault: "grant truncate on threads to adjutant_app",
    },
    Rule {
        name: "everything belongs to adjutant_owner",
        violations: "
            select name from ours where owner <> 'adjutant_owner'::regrole
            union all
            select signature from functions where owner <> 'adjutant_owner'::regrole",
        fault: "alter table threads owner to postgres",
    },
    Rule {
        name: "views run with the rights of who asks, and there are no others",
        violations: "
            select name from ours where kind = 'v' and not coalesce('security_invoker=true' = any(options), false)
            union all
            select name from ours where kind in ('m', 'f')",
        fault: "create view all_threads as select * from threads",
    },
    Rule {
        name: "a definer function is a listed door for its listed roles",
        violations: "
            select f.signature || ' for ' || coalesce(a.grantee::regrole::text, 'nobody')
              from functions f left join lateral aclexplode(f.acl) a on a.grantee <> f.owner
             where f.definer and not coalesce(f.signature || ' ' || a.grantee::regrole, '')
                                     = any(string_to_array(current_setting('test.doors'), ';'))
            union all
            select d from unnest(string_to_array(current_setting('test.doors'), ';')) d
             where not exists (select from functions f, aclexplode(f.acl) a
                                where f.definer and d = f.signature || ' ' || a.grantee::regrole)",
        fault: "create function peep() returns bigint language sql security definer set search_path = pg_catalog, public, pg_temp
                as 'select count(*) from threads'",
    },
    Rule {
        name: "a definer function has a fixed search path that ends with pg_temp",
        violations: "
            select signature from functions
             where definer and not coalesce('search_path=pg_catalog, public, pg_temp' = any(config), false)",
        fault: "alter function key_list() set search_path = public",
    },
    Rule {
        name: "other functions are harmless and listed",
        violations: "
            select signature from functions
             where not definer and not signature = any(string_to_array(current_setting('test.harmless'), ';'))",
        fault: "create function extra() returns integer language sql as 'select 1'",
    },
    Rule {
        name: "every foreign key has an index that begins with its columns",
        violations: "
            select k.conname::text from pg_constraint k join ours o on o.oid = k.conrelid
             where k.contype = 'f'
               and not exists (select from pg_index i
                                where i.indrelid = k.conrelid and i.indpred is null
                                  and (select array_agg(x order by x) from unnest(k.conkey) x)
                                    = (select array_agg(x order by x)
                                         from unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) x))",
        fault: "drop index events_by_message",
    },
    Rule {
        name: "keys of a user's table begin with its owner, so that no error tells of a foreign row",
        violations: "
            select i.indexrelid::regclass::text from pg_index i join ours o on o.oid = i.indrelid
             where i.indisunique and not o.excepted
               and (select string_agg(a.attname, ' ' order by n)
                      from generate_series(0, case when o.profiled then 1 else 0 end) n
                      join pg_attribute a on a.attrelid = o.oid and a.attnum = i.indkey[n])
                   is distinct from case when o.profiled then 'user_id profile' else 'user_id' end
            union all
            select k.conname from pg_constraint k join ours o on o.oid = k.conrelid
             where k.contype = 'f'
               and not ((select attname from pg_attribute where attrelid = k.conrelid and attnum = k.conkey[1]) = 'user_id'
                        and (select attname from pg_attribute where attrelid = k.confrelid and attnum = k.confkey[1]) = 'user_id')",
        fault: "create unique index leaky on messages (client_message_id)",
    },
    Rule {
        name: "tables and functions say what they are",
        violations: "
            select name from ours where kind in ('r', 'p', 'v') and obj_description(oid, 'pg_class') is null
            union all
            select signature from functions where obj_description(oid, 'pg_proc') is null",
        fault: "comment on table steps is null",
    },
    Rule {
        name: "defaults tell the time by app_now",
        violations: "
            select o.name || '.' || a.attname from ours o join pg_attrdef d on d.adrelid = o.oid
              join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
             where o.name <> '_sqlx_migrations' and pg_get_expr(d.adbin, d.adrelid) ~* '\\mnow\\(|current_|timestamp'",
        fault: "alter table threads alter column updated_at set default now()",
    },
];

/// What the rules are about: everything that is neither the server's own nor an extension's.
const VIEWS: &str = "
    create or replace temp view ours as
        select c.oid, c.relname::text as name, c.relkind as kind, c.relowner as owner, c.relrowsecurity as secured,
               c.relforcerowsecurity as forced, c.reloptions as options,
               coalesce(c.relacl, acldefault(case when c.relkind = 'S' then 's' else 'r' end::\"char\", c.relowner)) as acl,
               c.relname::text = any(string_to_array(current_setting('test.exceptions'), ' ')) as excepted,
               exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'profile') as profiled
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
           and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e');
    create or replace temp view functions as
        select p.oid, replace(p.oid::regprocedure::text, ', ', ',') as signature, p.proowner as owner, p.prosecdef as definer,
               p.proconfig as config, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')";

async fn prepare(conn: &mut PgConnection) {
    let doors: Vec<String> = DOORS.iter().map(|(function, role)| format!("{function} {role}")).collect();
    for (name, value) in
        [("exceptions", exceptions().join(" ")), ("doors", doors.join(";")), ("harmless", HARMLESS.join(";"))]
    {
        sqlx::query("select set_config('test.' || $1, $2, false)")
            .bind(name)
            .bind(value)
            .execute(&mut *conn)
            .await
            .unwrap();
    }
    conn.execute(VIEWS).await.unwrap();
}

async fn violations(conn: &mut PgConnection, rule: &Rule) -> Vec<String> {
    let found = sqlx::query_scalar(AssertSqlSafe(rule.violations)).fetch_all(conn).await;
    found.unwrap_or_else(|error| panic!("{}: {error}", rule.name))
}

#[tokio::test]
async fn the_catalog_keeps_every_rule() {
    let bench = bench().await;
    let mut conn = bench.db.admin().acquire().await.unwrap();
    prepare(&mut conn).await;
    for rule in RULES {
        assert_eq!(violations(&mut conn, rule).await, Vec::<String>::new(), "{}", rule.name);
    }
}

#[tokio::test]
async fn every_rule_notices_a_planted_fault() {
    let bench = bench().await;
    let mut conn = bench.db.admin().acquire().await.unwrap();
    prepare(&mut conn).await;
    for rule in RULES {
        let mut tx = conn.begin().await.unwrap();
        tx.execute(rule.fault).await.unwrap();
        assert!(!violations(&mut tx, rule).await.is_empty(), "not noticed: {}", rule.name);
        tx.rollback().await.unwrap();
    }
}

#[test]
fn migrations_tell_the_time_by_app_now() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../migrations");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        let definition = "coalesce(nullif(current_setting('app.now', true), '')::timestamptz, now())";
        let rest = text.replace(definition, "").replace("app_now()", "");
        for clock in ["now()", "current_timestamp", "_timestamp()", "current_date", "localtime", "timeofday"] {
            assert!(!rest.contains(clock), "{} reads {clock}: use app_now()", path.display());
        }
    }
}
