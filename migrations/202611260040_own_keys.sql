-- Keys as their owners see them: a person lists, makes and revokes their own. The application role still reaches api_keys
-- through named functions alone. What a key may do with others is read from its row in the same transaction: nothing that
-- a server remembers of it can give more.

create function own_keys(by_key text, before_at timestamptz, before_id text, at_most bigint)
    returns table (key_id text, profile_name text, role text, label text, created_at timestamptz, last_used timestamptz)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select k.key_id, k.profile_name, k.role, k.label, k.created_at, k.last_used
      from api_keys a join api_keys k on k.user_id = a.user_id and (a.profile_name = '*' or k.profile_name = a.profile_name)
     where a.key_id = by_key and a.user_id = app_user() and not a.is_revoked and not k.is_revoked
       and (before_at is null or (k.created_at, k.key_id) < (before_at, before_id))
     order by k.created_at desc, k.key_id desc
     limit at_most
$$;
comment on function own_keys(text, timestamptz, text, bigint) is
    'valid keys of this user as far as the key that asks may know, newest first; no hash';

create function own_key_create(by_key text, new_key_id text, new_hash bytea, for_profile text, with_role text,
                               with_label text, at_most integer, out verdict text, out made_at timestamptz)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare asking api_keys;
begin
    -- One at a time for a user, so that the bound holds.
    perform pg_advisory_xact_lock(hashtextextended('keys ' || coalesce(app_user(), ''), 0));
    -- Held until the end: a revocation of the key that asks comes before this or after it.
    select k.* into asking from api_keys k join users u on u.user_id = k.user_id
     where k.key_id = by_key and k.user_id = app_user() and not k.is_revoked and not u.is_disabled
       for share of k;
    if not found then
        verdict := 'gone';
        return;
    end if;
    if asking.profile_name not in ('*', for_profile) then
        verdict := 'other_profile';
        return;
    end if;
    if with_role <> 'personal' and asking.role <> with_role then
        verdict := 'admin_only';
        return;
    end if;
    if for_profile not in ('*', 'personal')
       and not exists (select from profiles p where p.user_id = asking.user_id and p.profile = for_profile) then
        verdict := 'unknown_profile';
        return;
    end if;
    if (select count(*) from api_keys k where k.user_id = asking.user_id and not k.is_revoked) >= at_most then
        verdict := 'too_many';
        return;
    end if;
    insert into api_keys (key_id, key_hash, user_id, profile_name, role, label, allow_operator_llm)
    values (new_key_id, new_hash, asking.user_id, for_profile, with_role, with_label, asking.allow_operator_llm)
    returning api_keys.created_at into made_at;
    verdict := 'made';
end $$;
comment on function own_key_create(text, text, bytea, text, text, text, integer) is
    'makes a key of this user with no more rights than the key that asks; says what stands against it';

create function own_key_revoke(by_key text, which text) returns text
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
    asking api_keys;
    its_role text;
begin
    select k.* into asking from api_keys k where k.key_id = by_key and k.user_id = app_user() and not k.is_revoked;
    if not found then
        return 'gone';
    end if;
    select k.role into its_role from api_keys k
     where k.key_id = which and k.user_id = asking.user_id and not k.is_revoked
       and (asking.profile_name = '*' or k.profile_name = asking.profile_name)
       for update;
    if not found then
        return 'unknown';
    end if;
    if its_role <> 'personal' and asking.role <> its_role then
        return 'admin_only';
    end if;
    perform key_revoke(which);
    return 'revoked';
end $$;
comment on function own_key_revoke(text, text) is
    'revokes a key of this user, as far as the key that asks reaches, and wakes every replica';

do $$
declare door text;
begin
    foreach door in array array[
        'own_keys(text, timestamptz, text, bigint)', 'own_key_create(text, text, bytea, text, text, text, integer)',
        'own_key_revoke(text, text)'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_app', door);
    end loop;
end $$;
