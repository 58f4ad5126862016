-- Summaries: what a model reads in place of a thread's older messages, which stay as they are.

alter table threads
    add column summary         text check (octet_length(summary) between 1 and 16384),
    add column summary_to      uuid,
    add column summary_model   text,
    add column summary_at      timestamptz,
    add column summary_foreign boolean not null default false,
    add column summary_changed timestamptz,
    add column summary_until   timestamptz,
    add constraint threads_summary_is_whole check (num_nulls(summary, summary_to, summary_model, summary_at) in (0, 4));
comment on column threads.summary is 'stands for the messages up to summary_to on the branches that hold it';
comment on column threads.summary_to is 'the newest message that the summary stands for';
comment on column threads.summary_model is 'who wrote the summary';
comment on column threads.summary_foreign is 'what it stands for holds text of others';
comment on column threads.summary_changed is 'when it was written or taken away: prompts from before are longer or shorter';
comment on column threads.summary_until is 'until when nobody else writes a summary';

alter table steps
    drop constraint steps_kind_check,
    add constraint steps_kind_check check (kind in ('model_call', 'title', 'distillation'));
