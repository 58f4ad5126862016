-- Threads that are renamed, pinned, archived, deleted and forked; runs that answer a message once more; full-text
-- search over messages; files. Decision 0013 says why files and deleted threads stay in the database.

-- Threads --------------------------------------------------------------------------------------------

alter table threads
    add column title_by            text check (title_by in ('person', 'model')),
    add column title_tries         integer not null default 0,
    add column title_until         timestamptz,
    add column pinned              boolean not null default false,
    add column archived            boolean not null default false,
    add column deleted_at          timestamptz,
    add column forked_from_thread  uuid,
    add column forked_from_message uuid;
comment on column threads.title_by is 'who gave the title; a person''s is never replaced by the model''s';
comment on column threads.title_tries is 'how often the small model was asked for a title';
comment on column threads.title_until is 'until then somebody asks the small model for a title';
comment on column threads.deleted_at is 'set: hidden, and removed for good when the time to undo it is over';
comment on column threads.forked_from_thread is 'where a fork came from; what it names may be gone';
create index threads_deleted on threads (deleted_at) where deleted_at is not null;

-- An event that is about the thread itself, such as a new title, belongs to no run.
alter table events alter column run_id drop not null;

-- A run that answers an existing message has no message of its own that could carry the client's id.
alter table runs add column client_request_id text;
comment on column runs.client_request_id is 'the client''s id of a request that started a run without a message';
create unique index runs_by_client_request on runs (user_id, profile, client_request_id);

-- Search ---------------------------------------------------------------------------------------------

create function message_text(content jsonb) returns text
    language sql immutable parallel safe
as $$
    select left(coalesce(string_agg(coalesce(part ->> 'text', part ->> 'name'), E'\n' order by place), ''), 65536)
      from jsonb_array_elements(case jsonb_typeof(content) when 'array' then content else '[]' end)
           with ordinality as parts (part, place)
     where part ->> 'type' in ('text', 'file')
$$;
comment on function message_text(jsonb) is
    'what of a message is searched: its text and the names of its files, so much of it that a tsvector has room';

-- The configuration that knows no language: nothing is stemmed, nothing is left out. Adding it fills it in for old rows.
alter table messages add column words tsvector
    generated always as (case when role in ('user', 'assistant') then to_tsvector('simple'::regconfig, message_text(content)) end)
    stored;
comment on column messages.words is 'the words of what the person and the assistant said';
create index messages_by_words on messages using gin (words) where words is not null;

-- Matching is not leakproof, so under row security the index above could not be used: whoever asks would read all their
-- messages. This door uses it. It names the owner itself, and its callers join what it finds under row security.
create function messages_search(wanted tsquery, before_at timestamptz, before_id uuid, at_most integer)
    returns table (thread_id uuid, id uuid)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select m.thread_id, m.id
      from messages m
      join threads t on t.user_id = m.user_id and t.profile = m.profile and t.id = m.thread_id
     where m.user_id = app_user() and m.profile = app_profile()
       and m.words is not null and m.words @@ wanted
       and t.deleted_at is null and not t.hidden
       and (before_at is null or (m.created_at, m.id) < (before_at, before_id))
     order by m.created_at desc, m.id desc
     limit at_most
$$;
comment on function messages_search(tsquery, timestamptz, uuid, integer) is
    'ids of the caller''s own messages that match, newest first; of threads that are listed';
revoke all on function messages_search(tsquery, timestamptz, uuid, integer) from public;
grant execute on function messages_search(tsquery, timestamptz, uuid, integer) to adjutant_app;

-- Files ----------------------------------------------------------------------------------------------

create table files (
    user_id    text not null,
    profile    text not null,
    id         uuid not null,
    name       text not null check (char_length(name) between 1 and 200),
    media_type text not null,
    size       bigint not null check (size >= 0),
    sha256     bytea not null check (octet_length(sha256) = 32),
    content    bytea not null,
    created_at timestamptz not null default app_now(),
    primary key (user_id, profile, id)
);
comment on table files is 'what a person attached, whole; removed when no message names it any more';
comment on column files.media_type is 'found in the content, never what was claimed';
-- Images and documents are compressed already, and are read whole.
alter table files alter column content set storage external;
create index files_by_hash on files (user_id, profile, sha256);
create index files_by_age on files (created_at);

create table message_files (
    user_id    text not null,
    profile    text not null,
    thread_id  uuid not null,
    message_id uuid not null,
    file_id    uuid not null,
    primary key (user_id, profile, thread_id, message_id, file_id),
    foreign key (user_id, profile, thread_id, message_id) references messages on delete cascade,
    -- Looked at when the transaction ends: a person may remove both in one.
    foreign key (user_id, profile, file_id) references files deferrable initially deferred
);
comment on table message_files is 'which messages name which files, so that a file in use cannot go';
create index message_files_by_file on message_files (user_id, profile, file_id);

do $$
declare name text;
begin
    foreach name in array array['files', 'message_files'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy own on %I using (user_id = app_user() and profile = app_profile()) '
                       'with check (user_id = app_user() and profile = app_profile())', name);
        execute format('grant select, insert, update, delete on %I to adjutant_app', name);
    end loop;
end $$;

create function files_used() returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- Two uploads at once may not both take the last room.
    perform pg_advisory_xact_lock(4277579, hashtext(app_user()));
    return (select coalesce(sum(f.size), 0) from files f where f.user_id = app_user());
end $$;
comment on function files_used() is 'bytes of the caller''s own files in all profiles; holds others of them back until the end of the transaction';
revoke all on function files_used() from public;
grant execute on function files_used() to adjutant_app;

-- Removal for good -----------------------------------------------------------------------------------

create function purge(undo interval, unused interval, at_most integer) returns table (threads_gone integer, files_gone integer)
    language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    -- Locked rows are somebody else's at the moment: another replica's purge, a restore, a message that is being stored.
    with gone as (
        select t.user_id, t.profile, t.id
          from threads t
         where t.deleted_at < app_now() - undo
           and not exists (select from runs r
                            where r.user_id = t.user_id and r.profile = t.profile and r.thread_id = t.id and r.state = 'running')
         order by t.deleted_at
         limit at_most
           for update skip locked
    )
    delete from threads t using gone where t.user_id = gone.user_id and t.profile = gone.profile and t.id = gone.id;
    get diagnostics threads_gone = row_count;
    with gone as (
        select f.user_id, f.profile, f.id
          from files f
         where f.created_at < app_now() - unused
           and not exists (select from message_files m
                            where m.user_id = f.user_id and m.profile = f.profile and m.file_id = f.id)
         order by f.created_at
         limit at_most
           for update skip locked
    )
    delete from files f using gone where f.user_id = gone.user_id and f.profile = gone.profile and f.id = gone.id;
    get diagnostics files_gone = row_count;
    return next;
end $$;
comment on function purge(interval, interval, integer) is
    'removes deleted threads whose time to undo is over, with all they hold, and files that no message names; returns numbers';
revoke all on function purge(interval, interval, integer) from public;
grant execute on function purge(interval, interval, integer) to adjutant_system;
