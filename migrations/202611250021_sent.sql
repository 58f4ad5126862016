-- What was sent to the model, step by step: pieces by their digest, and which of them a step was made of.

create table sent_pieces (
    user_id   text not null,
    profile   text not null,
    thread_id uuid not null,
    digest    bytea not null check (octet_length(digest) = 32),
    content   text not null,
    primary key (user_id, profile, thread_id, digest),
    foreign key (user_id, profile, thread_id) references threads on delete cascade
);
comment on table sent_pieces is 'messages and tool lists as a model was sent them, once per thread; they go with it';
comment on column sent_pieces.digest is 'SHA-256 of the content';

create table sent_steps (
    user_id    text not null,
    profile    text not null,
    run_id     uuid not null,
    number     integer not null,
    models     text[] not null,
    parameters jsonb not null,
    tools      bytea not null,
    messages   bytea[] not null,
    sent_at    timestamptz not null,
    primary key (user_id, profile, run_id, number),
    foreign key (user_id, profile, run_id) references runs on delete cascade
);
comment on table sent_steps is 'the model calls of a run as they were sent: which pieces, in order; never keys';

do $$
declare name text;
begin
    foreach name in array array['sent_pieces', 'sent_steps'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy own on %I using (user_id = app_user() and profile = app_profile()) '
                       'with check (user_id = app_user() and profile = app_profile())', name);
        execute format('grant select, insert, update, delete on %I to adjutant_app', name);
    end loop;
end $$;
