-- Who answered a model call, who paid, what it cost, and whom it passed over.

alter table steps
    add column provider           text,
    add column paid_by            text check (paid_by in ('user', 'operator')),
    add column cost_micros        bigint check (cost_micros >= 0),
    add column currency           text check (currency ~ '^[A-Z]{3}$'),
    add column cache_write_tokens bigint not null default 0,
    add column passed_over        jsonb not null default '[]',
    add constraint steps_cost_has_a_currency check ((cost_micros is null) = (currency is null));
comment on column steps.cost_micros is 'millionths of the currency; null: nobody told the price';
comment on column steps.passed_over is 'models that were asked before, or that rest: model, code, reason';

alter table runs add column cache_write_tokens bigint not null default 0;
