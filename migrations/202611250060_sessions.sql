-- Browser sessions: device keys that stand in for an API key, and one-use tickets for the WebSocket. Both are closed to
-- both serving roles like api_keys: a look-up by hash happens before anybody is known, and no hash is ever read back
-- by id. What a device may do is asked of its key each time, so it can never have more, nor live longer.

create table device_keys (
    device_id  text primary key check (device_id ~ '^[a-z0-9]{4,32}$'),
    key_hash   bytea not null unique check (octet_length(key_hash) = 32),
    user_id    text not null,
    key_id     text not null,
    label      text not null default '' check (char_length(label) <= 100),
    created_at timestamptz not null default app_now(),
    last_used  timestamptz not null default app_now()
);
create index device_keys_by_user on device_keys (user_id, last_used);
comment on table device_keys is 'browsers that were signed in with a key, by the SHA-256 of their cookie; a revoked one is deleted';
alter table device_keys enable row level security;
alter table device_keys force row level security;

create table tickets (
    ticket_hash bytea primary key check (octet_length(ticket_hash) = 32),
    user_id     text not null,
    profile     text not null,
    -- Whose ticket it is: a device's or, without one, the key's own.
    key_id      text not null,
    device_id   text,
    expires_at  timestamptz not null
);
create index tickets_by_user on tickets (user_id);
comment on table tickets is 'one-use tickets for the WebSocket, by their SHA-256; taking one deletes it';
alter table tickets enable row level security;
alter table tickets force row level security;

create function device_create(new_device_id text, new_hash bytea, by_key text, with_label text, instead_of bytea,
                              at_most integer, idle interval) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- One sign-in of a user at a time, so that the bound holds.
    perform pg_advisory_xact_lock(hashtextextended('devices ' || coalesce(app_user(), ''), 0));
    if not exists (select from api_keys k where k.key_id = by_key and k.user_id = app_user() and not k.is_revoked) then
        return false;
    end if;
    delete from device_keys d where d.user_id = app_user() and d.last_used < app_now() - idle;
    perform pg_notify('adjutant', 'key ' || gone.device_id)
       from (select d.device_id from device_keys d where d.user_id = app_user()
              and (d.key_hash = instead_of
                   or d.device_id in (select o.device_id from device_keys o where o.user_id = app_user()
                                       order by o.last_used desc, o.device_id offset at_most - 1))) gone;
    delete from device_keys d where d.user_id = app_user()
       and (d.key_hash = instead_of
            or d.device_id in (select o.device_id from device_keys o where o.user_id = app_user()
                                order by o.last_used desc, o.device_id offset at_most - 1));
    insert into device_keys (device_id, key_hash, user_id, key_id, label)
    values (new_device_id, new_hash, app_user(), by_key, with_label);
    return true;
end $$;
comment on function device_create(text, bytea, text, text, bytea, integer, interval) is
    'signs a browser in under a key of this user; the one it replaces and those unused longest beyond the bound go';

create function device_lookup(presented_hash bytea, idle interval)
    returns table (device_id text, key_id text, user_id text, profile_name text, role text, allow_operator_llm boolean)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    update device_keys d set last_used = app_now()
     where d.key_hash = presented_hash and d.last_used >= app_now() - idle
       and d.last_used < app_now() - interval '10 minutes';
    return query select d.device_id, l.key_id, l.user_id, l.profile_name, l.role, l.allow_operator_llm
                   from device_keys d join api_keys k on k.key_id = d.key_id and k.user_id = d.user_id,
                        lateral key_lookup(k.key_hash) l
                  where d.key_hash = presented_hash and d.last_used >= app_now() - idle;
end $$;
comment on function device_lookup(bytea, interval) is 'who a presented device key is: what its API key is, while both are good';

create function device_list(reach text, idle interval)
    returns table (device_id text, profile_name text, label text, created_at timestamptz, last_used timestamptz)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select d.device_id, k.profile_name, d.label, d.created_at, d.last_used
      from device_keys d join api_keys k on k.key_id = d.key_id and k.user_id = d.user_id
     where d.user_id = app_user() and not k.is_revoked and d.last_used >= app_now() - idle
       and (reach = '*' or k.profile_name = reach)
     order by d.last_used desc, d.device_id
$$;
comment on function device_list(text, interval) is 'devices of this user that are signed in, as far as a key of that profile may know';

create function device_revoke(which text, reach text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    delete from device_keys d using api_keys k
     where d.device_id = which and d.user_id = app_user() and k.key_id = d.key_id and k.user_id = d.user_id
       and (reach = '*' or k.profile_name = reach);
    if not found then
        return false;
    end if;
    perform pg_notify('adjutant', 'key ' || which);
    return true;
end $$;
comment on function device_revoke(text, text) is 'signs a device of this user out and wakes every replica; false when there is none';

create function ticket_create(new_hash bytea, by_key text, by_device text, lives interval, at_most integer) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('tickets ' || coalesce(app_user(), ''), 0));
    delete from tickets t where t.user_id = app_user() and t.expires_at <= app_now();
    if (select count(*) from tickets t where t.user_id = app_user()) >= at_most then
        return false;
    end if;
    insert into tickets (ticket_hash, user_id, profile, key_id, device_id, expires_at)
    values (new_hash, app_user(), app_profile(), by_key, by_device, app_now() + lives);
    return true;
end $$;
comment on function ticket_create(bytea, text, text, interval, integer) is
    'stores a ticket for this user and profile; false when too many are waiting to be used';

create function ticket_take(presented_hash bytea)
    returns table (credential_hash bytea, is_device boolean, user_id text, profile text)
    language sql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
    with taken as (
        delete from tickets t where t.ticket_hash = presented_hash
        returning t.user_id, t.profile, t.key_id, t.device_id, t.expires_at
    )
    select case when t.device_id is null then k.key_hash else d.key_hash end, t.device_id is not null, t.user_id, t.profile
      from taken t
      join api_keys k on k.key_id = t.key_id and k.user_id = t.user_id
      left join device_keys d on d.device_id = t.device_id and d.user_id = t.user_id
     where t.expires_at > app_now() and (t.device_id is null or d.device_id is not null)
$$;
comment on function ticket_take(bytea) is 'takes a ticket, once: by whose credential and for which profile it was made';

do $$
declare door text;
begin
    foreach door in array array[
        'device_create(text, bytea, text, text, bytea, integer, interval)', 'device_lookup(bytea, interval)',
        'device_list(text, interval)', 'device_revoke(text, text)',
        'ticket_create(bytea, text, text, interval, integer)', 'ticket_take(bytea)'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_app', door);
    end loop;
end $$;
