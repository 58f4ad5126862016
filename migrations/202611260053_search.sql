-- Search within a role, a time and a thread; and words of titles. The door without filters stays for replicas of before.

create function search_words(asked text, last_is_prefix boolean) returns tsquery
    language sql immutable parallel safe
as $$
    select case when last_is_prefix then regexp_replace(words::text, '''$', ''':*')::tsquery else words end
      from websearch_to_tsquery('simple'::regconfig, asked) as words
$$;
comment on function search_words(text, boolean) is
    'what people write into a search, as a query: words, "phrases", or, -not; the last word may be the beginning of one';

create function messages_search(wanted tsquery, before_at timestamptz, before_id uuid, at_most integer,
                                by_role text, since timestamptz, until timestamptz, in_thread uuid)
    returns table (thread_id uuid, id uuid)
    language sql stable security definer set search_path = pg_catalog, public, pg_temp
as $$
    select m.thread_id, m.id
      from messages m
      join threads t on t.user_id = m.user_id and t.profile = m.profile and t.id = m.thread_id
     where m.user_id = app_user() and m.profile = app_profile()
       and m.words is not null and m.words @@ wanted
       and t.deleted_at is null and not t.hidden
       and (by_role is null or m.role = by_role)
       and (messages_search.since is null or m.created_at >= messages_search.since)
       and (messages_search.until is null or m.created_at < messages_search.until)
       and (in_thread is null or m.thread_id = in_thread)
       and (before_at is null or (m.created_at, m.id) < (before_at, before_id))
     order by m.created_at desc, m.id desc
     limit at_most
$$;
comment on function messages_search(tsquery, timestamptz, uuid, integer, text, timestamptz, timestamptz, uuid) is
    'ids of the caller''s own messages that match, newest first; of threads that are listed. Null filters nothing';
revoke all on function messages_search(tsquery, timestamptz, uuid, integer, text, timestamptz, timestamptz, uuid) from public;
grant execute on function messages_search(tsquery, timestamptz, uuid, integer, text, timestamptz, timestamptz, uuid) to adjutant_app;
