-- The vault: credentials of users, encrypted before they arrive here. A row may hold for one profile or, with '*', for all
-- profiles of its user.

create table user_credentials (
    user_id           text not null,
    profile           text not null check (profile = '*' or profile ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    service           text not null check (char_length(service) between 1 and 40),
    token_data        bytea not null check (octet_length(token_data) between 29 and 1048576),
    scopes            text[] not null default '{}',
    expires_at        timestamptz,
    encryption_key_id text not null check (char_length(encryption_key_id) between 1 and 40),
    origin            text not null check (char_length(origin) between 1 and 500),
    created_at        timestamptz not null default app_now(),
    updated_at        timestamptz not null default app_now(),
    primary key (user_id, profile, service)
);
comment on table user_credentials is 'secrets of users for services, encrypted by the server; the database never sees one in the clear';
comment on column user_credentials.profile is '* holds for all profiles of the user; a profile''s own row wins';
comment on column user_credentials.token_data is 'format, nonce, ciphertext and tag of AES-256-GCM; bound to this row, its user, service and key id';
comment on column user_credentials.origin is 'scheme, host and port to which it may be sent, and no other';
comment on column user_credentials.updated_at is 'when its user stored it; encrypting it anew under another key changes nothing';

alter table user_credentials enable row level security;
alter table user_credentials force row level security;
-- A transaction without a profile sees nothing, not even what holds for all of them.
create policy own on user_credentials
    using (user_id = app_user() and app_profile() is not null and (profile = app_profile() or profile = '*'))
    with check (user_id = app_user() and app_profile() is not null and (profile = app_profile() or profile = '*'));
grant select, insert, update, delete on user_credentials to adjutant_app;

-- Doors for the system role: which keys are in use, and whose rows are to be encrypted anew. No service, no ciphertext.

create function credential_keys() returns table (key_id text)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
    as $$ select distinct c.encryption_key_id from user_credentials c order by 1 $$;
comment on function credential_keys() is 'ids of the keys that stored credentials are encrypted with';

create function credential_owners(current_key text) returns table (user_id text, profile text)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select distinct c.user_id, c.profile from user_credentials c where c.encryption_key_id <> current_key order by 1, 2
$$;
comment on function credential_owners(text) is 'who has credentials under another key than this one; the profile may be *';

do $$
declare door text;
begin
    foreach door in array array['credential_keys()', 'credential_owners(text)'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_system', door);
    end loop;
end $$;
