-- What the small model costs is recorded like any other model call: as a step of the run after which it was asked.

alter table steps
    drop constraint steps_kind_check,
    add constraint steps_kind_check check (kind in ('model_call', 'title'));
comment on table steps is 'model calls of a run, one row each: its own, and the one for the thread''s title after it; its tool calls are in tool_calls';
