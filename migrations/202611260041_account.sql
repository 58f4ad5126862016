-- The end of an account: a user takes with them all that is theirs. First nobody but the key that asks gets in any more,
-- then the rows go, so that little arrives in between; what a request of before still wrote is swept once more later.

-- Serialises deletions: of two admins who go at once, one is the last.
create function account_asking(by_key text, out verdict text, out is_last_admin boolean)
    language plpgsql
as $$
declare asking api_keys;
begin
    perform pg_advisory_xact_lock(hashtextextended('accounts', 0));
    -- No key is made meanwhile.
    perform pg_advisory_xact_lock(hashtextextended('keys ' || coalesce(app_user(), ''), 0));
    select k.* into asking from api_keys k join users u on u.user_id = k.user_id
     where k.key_id = by_key and k.user_id = app_user() and not k.is_revoked and not u.is_disabled
       for update of k;
    if not found then
        verdict := 'gone';
        return;
    end if;
    if asking.profile_name <> '*' then
        verdict := 'other_profile';
        return;
    end if;
    is_last_admin := exists (select from api_keys k where k.user_id = asking.user_id and k.role = 'admin' and not k.is_revoked)
        and not exists (select from api_keys k join users u on u.user_id = k.user_id
                         where k.user_id <> asking.user_id and k.role = 'admin' and not k.is_revoked and not u.is_disabled);
    if is_last_admin and asking.role <> 'admin' then
        verdict := 'admin_only';
        return;
    end if;
    verdict := 'may';
end $$;
comment on function account_asking(text) is
    'whether this key may end the account of its user, and whether the server would be left without an admin';
revoke all on function account_asking(text) from public;

create function account_close(by_key text) returns text
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare asked record;
begin
    select * into asked from account_asking(by_key);
    if asked.verdict <> 'may' then
        return asked.verdict;
    end if;
    perform pg_notify('adjutant', 'key ' || k.key_id) from api_keys k where k.user_id = app_user() and k.key_id <> by_key;
    update api_keys k set is_revoked = true where k.user_id = app_user() and k.key_id <> by_key;
    return 'closed';
end $$;
comment on function account_close(text) is 'revokes all keys of this user but the one that asks to delete the account';

-- Read from the catalog, so that a table that is added later cannot be forgotten.
create function account_rows_delete(which text) returns void
    language plpgsql
as $$
declare holder text;
begin
    for holder in
        select c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname not in ('users', 'api_keys')
           and exists (select from pg_attribute a
                        where a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped)
         order by c.relname <> 'threads', c.relname
    loop
        execute format('delete from %I where user_id = $1', holder) using which;
    end loop;
end $$;
comment on function account_rows_delete(text) is 'deletes all rows of a user but the user and their keys';
revoke all on function account_rows_delete(text) from public;

create function account_delete(by_key text) returns text
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare asked record;
begin
    select * into asked from account_asking(by_key);
    if asked.verdict <> 'may' then
        return asked.verdict;
    end if;
    -- Whoever works for this user or listens to them looks at what is left: workers, sockets, tool servers.
    perform pg_notify('adjutant', 'run ' || r.id) from runs r where r.user_id = app_user() and r.state in ('running', 'waiting');
    perform pg_notify('adjutant', 'profile ' || p.user_id || ' ' || p.profile) from profiles p where p.user_id = app_user();
    perform pg_notify('adjutant', 'key ' || k.key_id) from api_keys k where k.user_id = app_user();
    perform pg_notify('adjutant', 'key ' || d.device_id) from device_keys d where d.user_id = app_user();
    perform account_rows_delete(app_user());
    delete from api_keys k where k.user_id = app_user() and not (asked.is_last_admin and k.key_id = by_key);
    if asked.is_last_admin then
        -- As a new user has it.
        insert into profiles (user_id, profile, origin) values (app_user(), 'personal', 'system');
        return 'kept';
    end if;
    delete from users u where u.user_id = app_user();
    return 'deleted';
end $$;
comment on function account_delete(text) is
    'deletes all that is of this user and wakes every replica; the last admin keeps their name and the key that asks';

create function account_sweep(which text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- Not while somebody of that name is made again.
    perform pg_advisory_xact_lock(hashtextextended('accounts', 0));
    if exists (select from users u where u.user_id = which) then
        return false;
    end if;
    perform account_rows_delete(which);
    return true;
end $$;
comment on function account_sweep(text) is
    'deletes what a request of before still wrote for a user who is gone; false when there is a user of that name';

do $$
begin
    revoke all on function account_close(text) from public;
    revoke all on function account_delete(text) from public;
    revoke all on function account_sweep(text) from public;
    grant execute on function account_close(text) to adjutant_app;
    grant execute on function account_delete(text) to adjutant_app;
    grant execute on function account_sweep(text) to adjutant_system;
end $$;
