-- How messages were made: which model wrote one, how long it thought before, how long a tool took.

alter table messages
    add column model      text,
    add column took_ms    bigint check (took_ms >= 0),
    add column thought_ms bigint check (thought_ms >= 0);
comment on column messages.model is 'of an answer: who wrote it, as provider/model; null where it was cut off, and of older ones';
comment on column messages.took_ms is 'of a tool''s result: from the start of its call to its end; null where nothing was started';
comment on column messages.thought_ms is 'of an answer: from the first thought to the first word';
