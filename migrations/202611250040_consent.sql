-- Consent: policies for servers and tools, what was allowed for good with the definition it was allowed for, questions
-- that tools ask a person, and messages that join a run that is going.

create table tool_policies (
    user_id    text not null,
    profile    text not null,
    server     text not null check (char_length(server) between 1 and 128),
    tool       text not null default '' check (char_length(tool) <= 256),
    policy     text not null check (policy in ('annotations', 'ask', 'auto', 'deny')),
    updated_at timestamptz not null default app_now(),
    primary key (user_id, profile, server, tool)
);
comment on table tool_policies is 'what an owner wants of a server or one of its tools; without a row the default holds';
comment on column tool_policies.tool is 'empty: the whole server';

create table questions (
    user_id      text not null,
    profile      text not null,
    id           uuid not null,
    run_id       uuid not null,
    tool_call_id uuid not null,
    question     jsonb not null check (octet_length(question::text) <= 65536),
    state        text not null default 'pending'
                     check (state in ('pending', 'accepted', 'declined', 'cancelled', 'expired', 'withdrawn')),
    answer       jsonb check (octet_length(answer::text) <= 1048576),
    asked_at     timestamptz not null default app_now(),
    answered_at  timestamptz,
    primary key (user_id, profile, id),
    foreign key (user_id, profile, run_id) references runs on delete cascade,
    foreign key (user_id, profile, tool_call_id) references tool_calls on delete cascade
);
comment on table questions is 'forms that a tool asks a person to fill in while its call is under way';
comment on column questions.answer is 'on its way to the tool; forgotten when the call has its result';
create index questions_by_run on questions (user_id, profile, run_id);
create index questions_by_call on questions (user_id, profile, tool_call_id);
create index questions_pending on questions (user_id, profile, id) where state = 'pending';

create index approvals_pending on approvals (user_id, profile, id) where state = 'pending';
alter table approvals add column definition bytea check (octet_length(definition) = 32);
comment on column approvals.definition is 'SHA-256 of the tool''s definition that the model was shown';
alter table tool_consents add column definition bytea check (octet_length(definition) = 32);
comment on column tool_consents.definition is 'SHA-256 of the definition that was allowed; another one asks again';

-- A message sent with mode `steer` is a queued run until a run that is going takes it in.
alter table runs drop constraint runs_state_check;
alter table runs add constraint runs_state_check check (state in
    ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'quarantined', 'discarded', 'joined'));
alter table runs add column joined_run_id uuid;
alter table runs add constraint runs_joined_run foreign key (user_id, profile, joined_run_id) references runs on delete cascade;
comment on column runs.joined_run_id is 'the run that took in this one''s messages';
create index runs_by_joined on runs (user_id, profile, joined_run_id);

create index messages_by_run on messages (user_id, profile, thread_id, run_id);

-- Whether a thread holds text that others wrote is asked for every run.
create index messages_foreign on messages (user_id, profile, thread_id)
    where role = 'tool' or content @> '[{"type": "file"}]';

do $$
declare name text;
begin
    foreach name in array array['tool_policies', 'questions'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy own on %I using (user_id = app_user() and profile = app_profile()) '
                       'with check (user_id = app_user() and profile = app_profile())', name);
        execute format('grant select, insert, update, delete on %I to adjutant_app', name);
    end loop;
end $$;
