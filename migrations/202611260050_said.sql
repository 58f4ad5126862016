-- How a message begins, as lists show it.

create function message_said(content jsonb) returns text
    language sql immutable parallel safe
as $$ select nullif(left(message_text(content), 200), '') $$;
comment on function message_said(jsonb) is 'the beginning of a message, in plain text; null where it says nothing';
