-- The first slice: keys, threads, messages, runs, steps, the tool ledger, approvals, events.
-- Run by adjutant_owner. Every table of a user is keyed by (user_id, profile, ...), so that neither a
-- unique nor a foreign-key error can tell whether another person's row exists.

-- Time ---------------------------------------------------------------------------------------------

create function app_now() returns timestamptz
    language sql stable parallel safe
    as $$ select coalesce(nullif(current_setting('app.now', true), '')::timestamptz, now()) $$;
comment on function app_now() is 'the one source of time in SQL: the injected test clock, else the database clock';

create function app_user() returns text
    language sql stable parallel safe
    as $$ select nullif(current_setting('app.user_id', true), '') $$;
comment on function app_user() is 'the user of this transaction; null, and so no row, when none is set';

create function app_profile() returns text
    language sql stable parallel safe
    as $$ select nullif(current_setting('app.profile', true), '') $$;
comment on function app_profile() is 'the profile of this transaction; null, and so no row, when none is set';

-- Keys ---------------------------------------------------------------------------------------------

create table api_keys (
    key_id             text primary key check (key_id ~ '^[a-z0-9]{4,32}$'),
    key_hash           bytea not null unique check (octet_length(key_hash) = 32),
    user_id            text not null check (user_id ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    profile_name       text not null check (profile_name = '*' or profile_name ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    role               text not null check (role in ('personal', 'admin')),
    label              text not null default '' check (char_length(label) <= 100),
    created_at         timestamptz not null default app_now(),
    last_used          timestamptz,
    is_revoked         boolean not null default false,
    allow_operator_llm boolean not null default false
);
comment on table api_keys is 'API keys by the SHA-256 of the whole presented key; reached through functions alone';
alter table api_keys enable row level security;
alter table api_keys force row level security;

-- Threads and messages -------------------------------------------------------------------------------

create table threads (
    user_id             text not null,
    profile             text not null,
    id                  uuid not null,
    title               text,
    head_id             uuid,
    last_seq            bigint not null default 0,
    hidden              boolean not null default false,
    model_provider      text,
    total_input_tokens  bigint not null default 0,
    total_output_tokens bigint not null default 0,
    created_at          timestamptz not null default app_now(),
    updated_at          timestamptz not null default app_now(),
    primary key (user_id, profile, id)
);
comment on table threads is 'conversations: a tree of messages, whose head names the active branch';
comment on column threads.last_seq is 'number of the newest event; events of a thread are numbered without gaps';
comment on column threads.hidden is 'made by a request that carries its own history; not listed';
create index threads_by_update on threads (user_id, profile, updated_at desc, id desc) where not hidden;

create table messages (
    user_id           text not null,
    profile           text not null,
    thread_id         uuid not null,
    id                uuid not null,
    parent_id         uuid,
    run_id            uuid,
    role              text not null check (role in ('system', 'user', 'assistant', 'tool')),
    content           jsonb not null,
    client_message_id text,
    seq               bigint not null,
    partial           boolean not null default false,
    created_at        timestamptz not null default app_now(),
    primary key (user_id, profile, thread_id, id),
    unique (user_id, profile, client_message_id),
    foreign key (user_id, profile, thread_id) references threads on delete cascade,
    foreign key (user_id, profile, thread_id, parent_id) references messages on delete cascade
);
comment on table messages is 'entries of a conversation; appended, never rewritten';
comment on column messages.parent_id is 'null at a root, and for a queued message until its run starts';
create index messages_by_seq on messages (user_id, profile, thread_id, seq);
create index messages_by_parent on messages (user_id, profile, thread_id, parent_id);

-- Runs -----------------------------------------------------------------------------------------------

create table runs (
    user_id             text not null,
    profile             text not null,
    id                  uuid not null,
    thread_id           uuid not null,
    message_id          uuid not null,
    explicit_parent     boolean not null default false,
    state               text not null check (state in
                            ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'quarantined', 'discarded')),
    origin              text not null,
    agent               text not null default 'cos',
    request             jsonb not null default '{}',
    checkpoint          jsonb check (octet_length(checkpoint::text) <= 16384),
    replica             integer,
    lease_until         timestamptz,
    fence               bigint not null default 0,
    crashes             integer not null default 0,
    cancel_requested    boolean not null default false,
    error_code          text,
    error_message       text,
    model               text,
    input_tokens        bigint not null default 0,
    output_tokens       bigint not null default 0,
    cached_input_tokens bigint not null default 0,
    created_at          timestamptz not null default app_now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    primary key (user_id, profile, id),
    foreign key (user_id, profile, thread_id) references threads on delete cascade,
    foreign key (user_id, profile, thread_id, message_id) references messages on delete cascade
);
comment on table runs is 'one piece of work each: from a user message to a final answer';
comment on column runs.fence is 'grows with every take-over; every write under a lease repeats it';
comment on column runs.checkpoint is 'the machine''s own state after its last commit; never messages or results';
create unique index runs_one_active_per_thread on runs (user_id, profile, thread_id) where state in ('running', 'waiting');
create index runs_by_thread on runs (user_id, profile, thread_id, id);
create index runs_by_message on runs (user_id, profile, thread_id, message_id);
create index runs_open on runs (state, lease_until) where state in ('running', 'queued');

create table steps (
    user_id             text not null,
    profile             text not null,
    run_id              uuid not null,
    number              integer not null,
    id                  uuid not null,
    kind                text not null check (kind in ('model_call')),
    model               text,
    stop                text,
    error_code          text,
    error_message       text,
    input_tokens        bigint not null default 0,
    output_tokens       bigint not null default 0,
    cached_input_tokens bigint not null default 0,
    started_at          timestamptz not null,
    finished_at         timestamptz not null default app_now(),
    primary key (user_id, profile, run_id, number),
    foreign key (user_id, profile, run_id) references runs on delete cascade
);
comment on table steps is 'model calls of a run, one row each; its tool calls are in tool_calls';

create table tool_calls (
    user_id     text not null,
    profile     text not null,
    id          uuid not null,
    run_id      uuid not null,
    step        integer not null,
    position    integer not null,
    kind        text not null check (kind in ('server', 'caller', 'none')),
    name        text not null,
    server      text,
    tool        text,
    arguments   jsonb not null,
    risk        text not null check (risk in ('read_only', 'destructive', 'effects')),
    repeatable  boolean not null,
    state       text not null check (state in ('planned', 'asking', 'started', 'succeeded', 'failed', 'denied', 'unknown')),
    tries       integer not null default 0,
    planned_at  timestamptz not null default app_now(),
    started_at  timestamptz,
    finished_at timestamptz,
    primary key (user_id, profile, id),
    foreign key (user_id, profile, run_id) references runs on delete cascade
);
comment on table tool_calls is 'the tool ledger: planned, started, then succeeded, failed, denied or unknown';
create index tool_calls_by_run on tool_calls (user_id, profile, run_id, step, position);

create table approvals (
    user_id      text not null,
    profile      text not null,
    id           uuid not null,
    run_id       uuid not null,
    tool_call_id uuid not null,
    state        text not null default 'pending' check (state in ('pending', 'approved', 'denied', 'withdrawn')),
    decision     text check (decision in ('once', 'always', 'deny')),
    reason       text,
    requested_at timestamptz not null default app_now(),
    decided_at   timestamptz,
    primary key (user_id, profile, id),
    foreign key (user_id, profile, run_id) references runs on delete cascade,
    foreign key (user_id, profile, tool_call_id) references tool_calls on delete cascade
);
comment on table approvals is 'questions to a person whether a tool call may run';
create index approvals_by_run on approvals (user_id, profile, run_id);
create unique index approvals_by_call on approvals (user_id, profile, tool_call_id);

create table tool_consents (
    user_id    text not null,
    profile    text not null,
    agent      text not null,
    server     text not null,
    tool       text not null,
    created_at timestamptz not null default app_now(),
    primary key (user_id, profile, agent, server, tool)
);
comment on table tool_consents is 'tools that a person allowed for good, per agent';

create table events (
    user_id    text not null,
    profile    text not null,
    thread_id  uuid not null,
    seq        bigint not null,
    run_id     uuid not null,
    kind       text not null,
    payload    jsonb not null default '{}',
    message_id uuid,
    created_at timestamptz not null default app_now(),
    primary key (user_id, profile, thread_id, seq),
    foreign key (user_id, profile, thread_id) references threads on delete cascade,
    foreign key (user_id, profile, thread_id, message_id) references messages on delete cascade
);
comment on table events is 'what clients are told, in order; text stays in messages and is joined when read';
create index events_by_message on events (user_id, profile, thread_id, message_id);

-- Policies: the same for every table of a user ---------------------------------------------------------

do $$
declare name text;
begin
    foreach name in array array['threads', 'messages', 'runs', 'steps', 'tool_calls', 'approvals', 'tool_consents', 'events'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy own on %I using (user_id = app_user() and profile = app_profile()) '
                       'with check (user_id = app_user() and profile = app_profile())', name);
        execute format('grant select, insert, update, delete on %I to adjutant_app', name);
    end loop;
end $$;

-- Doors for the application role -----------------------------------------------------------------------

create function key_lookup(presented_hash bytea)
    returns table (key_id text, user_id text, profile_name text, role text, allow_operator_llm boolean)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    update api_keys k set last_used = app_now()
     where k.key_hash = presented_hash and not k.is_revoked
       and (k.last_used is null or k.last_used < app_now() - interval '10 minutes');
    return query select k.key_id, k.user_id, k.profile_name, k.role, k.allow_operator_llm
                   from api_keys k where k.key_hash = presented_hash and not k.is_revoked;
end $$;
comment on function key_lookup(bytea) is 'who a presented key is; the only way from the application role to api_keys';
revoke all on function key_lookup(bytea) from public;
grant execute on function key_lookup(bytea) to adjutant_app;

-- Doors for the system role: work that spans users -----------------------------------------------------

create function key_create(new_key_id text, new_hash bytea, for_user text, for_profile text, with_role text,
                           with_label text, operator_llm boolean) returns void
    language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
    insert into api_keys (key_id, key_hash, user_id, profile_name, role, label, allow_operator_llm)
    values (new_key_id, new_hash, for_user, for_profile, with_role, with_label, operator_llm)
$$;
comment on function key_create(text, bytea, text, text, text, text, boolean) is 'adds a key; only its hash arrives here';

create function key_seed(new_key_id text, new_hash bytea, for_user text, for_profile text, with_role text,
                         with_label text, operator_llm boolean) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- Two replicas may start at once: only one may seed.
    lock table api_keys in share row exclusive mode;
    if exists (select from api_keys) then
        return false;
    end if;
    perform key_create(new_key_id, new_hash, for_user, for_profile, with_role, with_label, operator_llm);
    return true;
end $$;
comment on function key_seed(text, bytea, text, text, text, text, boolean) is 'adds the first key; false when there are keys already';

create function key_list()
    returns table (key_id text, user_id text, profile_name text, role text, label text, created_at timestamptz,
                   last_used timestamptz, is_revoked boolean, allow_operator_llm boolean)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select k.key_id, k.user_id, k.profile_name, k.role, k.label, k.created_at, k.last_used, k.is_revoked, k.allow_operator_llm
      from api_keys k order by k.created_at, k.key_id
$$;
comment on function key_list() is 'all keys without their hashes';

create function key_revoke(which text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    update api_keys k set is_revoked = true where k.key_id = which;
    if not found then
        return false;
    end if;
    perform pg_notify('adjutant', 'key ' || which);
    return true;
end $$;
comment on function key_revoke(text) is 'revokes a key and wakes every replica; false when there is none of that id';

create sequence replica_numbers as integer cycle;

create function replica_number() returns integer
    language sql security definer set search_path = pg_catalog, public, pg_temp
as $$ select nextval('replica_numbers')::integer $$;
comment on function replica_number() is 'a fresh number for a starting replica, whose advisory lock (4277578, number) shows that it lives';

create function runs_claim(by_replica integer, working uuid[], at_most integer, lease interval)
    returns table (user_id text, profile text, id uuid, thread_id uuid, fence bigint, crashes integer, was_queued boolean)
    language sql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
    with lost as (
        select r.user_id, r.profile, r.id, r.state = 'queued' as queued,
               -- Handed over or given up by a living replica is no crash.
               (r.state = 'running' and r.replica is not null and r.replica <> by_replica) as crashed
          from runs r
         where (r.state = 'running'
                and (r.replica is null
                     or (r.replica = by_replica and r.id <> all(working))
                     or (r.replica <> by_replica
                         and (r.lease_until < app_now()
                              or not exists (select from pg_locks l
                                              where l.locktype = 'advisory' and l.classid = 4277578
                                                and l.objid = r.replica::oid and l.granted
                                                and l.database = (select d.oid from pg_database d
                                                                   where d.datname = current_database()))))))
            or (r.state = 'queued'
                and not exists (select from runs o
                                 where o.user_id = r.user_id and o.profile = r.profile and o.thread_id = r.thread_id
                                   and (o.state in ('running', 'waiting') or (o.state = 'queued' and o.id < r.id))))
         order by r.id
         limit at_most
           for update skip locked
    )
    update runs r
       set state = 'running', replica = by_replica, lease_until = app_now() + lease, fence = r.fence + 1,
           crashes = r.crashes + (case when lost.crashed then 1 else 0 end),
           started_at = coalesce(r.started_at, app_now())
      from lost
     where r.user_id = lost.user_id and r.profile = lost.profile and r.id = lost.id
    returning r.user_id, r.profile, r.id, r.thread_id, r.fence, r.crashes, lost.queued
$$;
comment on function runs_claim(integer, uuid[], integer, interval) is
    'takes over runs whose replica died or froze, those of the caller''s own that it does not work on, and queued runs '
    'whose thread is free; returns ids with their owner';

create function leases_renew(by_replica integer, lease interval) returns void
    language sql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
    update runs set lease_until = app_now() + lease where state = 'running' and replica = by_replica
$$;
comment on function leases_renew(integer, interval) is 'a replica says that it still works on its runs';

do $$
declare door text;
begin
    foreach door in array array[
        'key_create(text, bytea, text, text, text, text, boolean)',
        'key_seed(text, bytea, text, text, text, text, boolean)',
        'key_list()', 'key_revoke(text)', 'replica_number()',
        'runs_claim(integer, uuid[], integer, interval)', 'leases_renew(integer, interval)'] loop
        execute format('revoke all on function %s from public', door);
        execute format('grant execute on function %s to adjutant_system', door);
    end loop;
end $$;
