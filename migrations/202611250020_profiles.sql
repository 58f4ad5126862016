-- Users, their profiles, and the key that a run was asked for with.

-- Users ----------------------------------------------------------------------------------------------

create table users (
    user_id            text primary key check (user_id ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    display_name       text not null default '' check (char_length(display_name) <= 100),
    allow_operator_llm boolean not null default false,
    is_disabled        boolean not null default false,
    created_at         timestamptz not null default app_now()
);
comment on table users is 'people who can sign in; reached through functions alone';
comment on column users.allow_operator_llm is 'the operator''s model keys may pay for this user; a key''s flag can only narrow it';
alter table users enable row level security;
alter table users force row level security;

-- Until now each key said it for itself. A revoked one says nothing any more.
insert into users (user_id, allow_operator_llm)
select user_id, bool_or(allow_operator_llm and not is_revoked) from api_keys group by user_id;

create index api_keys_by_user on api_keys (user_id);
alter table api_keys add foreign key (user_id) references users;

-- Profiles -------------------------------------------------------------------------------------------

create table profiles (
    user_id         text not null references users,
    profile         text not null check (profile ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    display_name    text not null default '' check (char_length(display_name) <= 100),
    models          text[] not null default '{}' check (cardinality(models) <= 10),
    system_prompt   text check (octet_length(system_prompt) <= 65536),
    user_context    text check (octet_length(user_context) <= 65536),
    time_zone       text not null default 'UTC' check (char_length(time_zone) <= 64),
    allowed_servers text[] check (cardinality(allowed_servers) <= 100),
    origin          text not null check (origin in ('system', 'file', 'person')),
    created_at      timestamptz not null default app_now(),
    updated_at      timestamptz not null default app_now(),
    primary key (user_id, profile)
);
comment on table profiles is 'assistants of a user: all that varies between them';
comment on column profiles.models is 'what may answer, in order of preference; empty: the operator''s order';
comment on column profiles.system_prompt is 'null: the default one';
comment on column profiles.allowed_servers is 'which of the operator''s MCP servers it may use; null: all';
comment on column profiles.origin is 'who wrote it last; what a person wrote is never overwritten from the file';
alter table profiles enable row level security;
alter table profiles force row level security;
create policy own on profiles using (user_id = app_user() and profile = app_profile())
    with check (user_id = app_user() and profile = app_profile());
grant select, insert, update, delete on profiles to adjutant_app;

-- Whatever a key opens or a thread is in was a profile before there were rows of them.
insert into profiles (user_id, profile, origin)
select user_id, 'personal', 'system' from users
 union
select user_id, profile_name, 'system' from api_keys where profile_name <> '*'
 union
select t.user_id, t.profile, 'system' from threads t join users u on u.user_id = t.user_id;

-- Runs: the key they were asked for with ---------------------------------------------------------------

alter table runs add column key_id text;
comment on column runs.key_id is 'the key it was asked for with, whose rights it has while they last; null: the user''s own';

-- Doors for the application role -----------------------------------------------------------------------

create or replace function key_lookup(presented_hash bytea)
    returns table (key_id text, user_id text, profile_name text, role text, allow_operator_llm boolean)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    update api_keys k set last_used = app_now()
     where k.key_hash = presented_hash and not k.is_revoked
       and (k.last_used is null or k.last_used < app_now() - interval '10 minutes');
    return query select k.key_id, k.user_id, k.profile_name, k.role, k.allow_operator_llm and u.allow_operator_llm
                   from api_keys k join users u on u.user_id = k.user_id
                  where k.key_hash = presented_hash and not k.is_revoked and not u.is_disabled;
end $$;

create function run_rights(with_key text) returns table (is_active boolean, operator_llm boolean, role text)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select not coalesce(u.is_disabled, false) and (with_key is null or k.key_id is not null),
           coalesce(u.allow_operator_llm and not u.is_disabled, false)
               and (with_key is null or coalesce(k.allow_operator_llm, false)),
           coalesce(k.role, 'personal')
      from (select app_user() as user_id, app_profile() as profile) o
      left join users u on u.user_id = o.user_id
      left join api_keys k on k.key_id = with_key and k.user_id = o.user_id and not k.is_revoked
                              and k.profile_name in ('*', o.profile)
$$;
comment on function run_rights(text) is 'what a run of this owner may do now: with the key it was asked for with, or without one';

create function user_self() returns table (display_name text, allow_operator_llm boolean)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select u.display_name, u.allow_operator_llm from users u where u.user_id = app_user() $$;
comment on function user_self() is 'what the user of this transaction may know of themselves';

create function profile_names() returns table (profile text, display_name text)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$ select p.profile, p.display_name from profiles p where p.user_id = app_user() order by p.profile $$;
comment on function profile_names() is 'the profiles of the user of this transaction, by name; their content shows in their own transactions alone';

create function profile_delete() returns text
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare holder text;
begin
    if app_profile() = 'personal' then
        return 'personal';
    end if;
    if exists (select from runs r where r.user_id = app_user() and r.profile = app_profile()
                                    and r.state in ('running', 'queued')) then
        return 'busy';
    end if;
    delete from profiles p where p.user_id = app_user() and p.profile = app_profile();
    if not found then
        return 'unknown';
    end if;
    -- Read from the catalog, so that a table that is added later cannot be forgotten.
    for holder in
        select c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and 2 = (select count(*) from pg_attribute a
                     where a.attrelid = c.oid and a.attname in ('user_id', 'profile') and not a.attisdropped)
         order by c.relname <> 'threads', c.relname
    loop
        execute format('delete from %I where user_id = app_user() and profile = app_profile()', holder);
    end loop;
    perform pg_notify('adjutant', 'profile ' || app_user() || ' ' || app_profile());
    return 'deleted';
end $$;
comment on function profile_delete() is
    'deletes the profile of this transaction with all that it holds, unless it is personal, busy or unknown, and wakes every replica';

-- Doors for the system role ----------------------------------------------------------------------------

create function user_add(new_user text, with_name text, operator_llm boolean) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    insert into users (user_id, display_name, allow_operator_llm) values (new_user, with_name, operator_llm)
        on conflict do nothing;
    if not found then
        return false;
    end if;
    insert into profiles (user_id, profile, origin) values (new_user, 'personal', 'system') on conflict do nothing;
    return true;
end $$;
comment on function user_add(text, text, boolean) is 'adds a user with the profile personal; false when there is one of that name';

create function user_list()
    returns table (user_id text, display_name text, allow_operator_llm boolean, is_disabled boolean,
                   created_at timestamptz, profiles text[], valid_keys bigint)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select u.user_id, u.display_name, u.allow_operator_llm, u.is_disabled, u.created_at,
           array(select p.profile from profiles p where p.user_id = u.user_id order by p.profile),
           (select count(*) from api_keys k where k.user_id = u.user_id and not k.is_revoked)
      from users u order by u.created_at, u.user_id
$$;
comment on function user_list() is 'all users with the names of their profiles';

create function user_change(which text, operator_llm boolean, disabled boolean) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    update users u
       set allow_operator_llm = coalesce(operator_llm, u.allow_operator_llm), is_disabled = coalesce(disabled, u.is_disabled)
     where u.user_id = which;
    if not found then
        return false;
    end if;
    perform pg_notify('adjutant', 'key ' || k.key_id) from api_keys k where k.user_id = which and not k.is_revoked;
    return true;
end $$;
comment on function user_change(text, boolean, boolean) is
    'changes what is not null and makes every replica look the user''s keys up again; false when there is no such user';

create or replace function key_create(new_key_id text, new_hash bytea, for_user text, for_profile text, with_role text,
                                      with_label text, operator_llm boolean) returns void
    language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
    -- A new user gets what their first key has.
    select user_add(for_user, '', operator_llm);
    insert into profiles (user_id, profile, origin)
    select for_user, for_profile, 'system' where for_profile <> '*' on conflict do nothing;
    insert into api_keys (key_id, key_hash, user_id, profile_name, role, label, allow_operator_llm)
    values (new_key_id, new_hash, for_user, for_profile, with_role, with_label, operator_llm)
$$;
comment on function key_create(text, bytea, text, text, text, text, boolean) is
    'adds a key, and its user and profile where they are new; only its hash arrives here';

do $$
declare door text;
begin
    foreach door in array array['run_rights(text)', 'user_self()', 'profile_names()', 'profile_delete()'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_app', door);
    end loop;
    foreach door in array array['user_add(text, text, boolean)', 'user_list()', 'user_change(text, boolean, boolean)'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_system', door);
    end loop;
end $$;
