-- Names that clients of the AG-UI door give to their threads: any text, where ours are UUIDs.

create table client_threads (
    user_id          text not null,
    profile          text not null,
    client_thread_id text not null check (char_length(client_thread_id) between 1 and 200),
    thread_id        uuid not null,
    created_at       timestamptz not null default app_now(),
    primary key (user_id, profile, client_thread_id),
    foreign key (user_id, profile, thread_id) references threads (user_id, profile, id) on delete cascade
);
create index client_threads_by_thread on client_threads (user_id, profile, thread_id);
comment on table client_threads is 'which thread a client of the AG-UI door means by its own name for it';
alter table client_threads enable row level security;
alter table client_threads force row level security;
create policy own on client_threads
    using (user_id = app_user() and profile = app_profile())
    with check (user_id = app_user() and profile = app_profile());
grant select, insert, update, delete on client_threads to adjutant_app;
