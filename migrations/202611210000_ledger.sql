-- The ledger of migrations, which sqlx creates before it runs this file: nobody but its owner reads it, the serving roles
-- learn the schema's version alone.

alter table _sqlx_migrations enable row level security;
alter table _sqlx_migrations force row level security;
comment on table _sqlx_migrations is 'which migrations were applied; kept by sqlx';

create function schema_version() returns bigint
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
    as $$ select coalesce(max(version), 0) from _sqlx_migrations where success $$;
comment on function schema_version() is 'number of the newest applied migration';
revoke all on function schema_version() from public;
grant execute on function schema_version() to adjutant_app, adjutant_system;
