-- The one message that is rewritten: one whose run waits for its turn.

comment on table messages is 'entries of a conversation; appended, and rewritten only while they wait for their turn';
