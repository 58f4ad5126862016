-- Temporary threads: in no list and no search, and removed for good a while after what happened last in them.

alter table threads
    add column temporary boolean not null default false,
    add constraint threads_temporary_are_hidden check (hidden or not temporary);
comment on column threads.temporary is 'hidden, and removed for good a while after what happened last in it, unless somebody keeps it';
create index threads_temporary on threads (updated_at) where temporary;

create function purge_temporary(kept interval, at_most integer) returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
    threads_gone integer;
begin
    -- Locked rows are somebody else's at the moment: another replica's purge, a message that is being stored.
    with gone as (
        select t.user_id, t.profile, t.id
          from threads t
         where t.temporary and t.updated_at < app_now() - kept
           and not exists (select from runs r
                            where r.user_id = t.user_id and r.profile = t.profile and r.thread_id = t.id and r.state = 'running')
         order by t.updated_at
         limit at_most
           for update skip locked
    )
    delete from threads t using gone where t.user_id = gone.user_id and t.profile = gone.profile and t.id = gone.id;
    get diagnostics threads_gone = row_count;
    return threads_gone;
end $$;
comment on function purge_temporary(interval, integer) is
    'removes temporary threads in which nothing happened for so long, with all they hold; returns how many';
revoke all on function purge_temporary(interval, integer) from public;
grant execute on function purge_temporary(interval, integer) to adjutant_system;
