-- Why a person is asked: a list shows it as the event did. Unknown for what was asked before.

alter table approvals
    add column why text check (why in ('destructive', 'policy', 'foreign_text', 'address'));
comment on column approvals.why is 'what made the call one that a person decides';
