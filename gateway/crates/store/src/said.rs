//! What threads began with: the beginning of the first message of the person on the active branch.

use std::collections::HashMap;

use adjutant_core::ids::ThreadId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tx::Tx;

/// Those of these threads in which somebody said something, in one query. A thread with one beginning is read at that
/// message; only where the beginning was edited, or is nobody's message, the branch is walked from its head.
pub async fn of_threads(tx: &mut Tx, threads: &[ThreadId]) -> Result<HashMap<ThreadId, String>, StoreError> {
    let owner = tx.owner().clone();
    let ids: Vec<Uuid> = threads.iter().map(|thread| thread.as_uuid()).collect();
    // The offsets keep the planner from reading all messages once, for a join with them, and under row security the id is
    // looked up in the index only where it stands alone.
    let rows = sqlx::query!(
        r#"select t.id, message_said(m.content) as said
             from threads t
            cross join lateral (
                  select case when count(*) = 1 and bool_and(r.role = 'user') then (array_agg(r.id))[1] end as id
                    from messages r
                   where r.user_id = $1 and r.profile = $2 and r.thread_id = t.id and r.parent_id is null
                     and not exists (select from runs o
                                      where o.user_id = $1 and o.profile = $2 and o.id = r.run_id
                                        and o.checkpoint is null and o.state <> 'joined')) root
            cross join lateral (
                  select coalesce(root.id, (
                         with recursive branch as (
                           select h.id, h.parent_id, h.role, h.seq from messages h
                            where h.user_id = $1 and h.profile = $2 and h.thread_id = t.id and h.id = t.head_id
                           union
                           select p.id, p.parent_id, p.role, p.seq from branch
                             join messages p on p.user_id = $1 and p.profile = $2 and p.thread_id = t.id
                                            and p.id = branch.parent_id)
                         select branch.id from branch where branch.role = 'user'
                          order by branch.seq, branch.id limit 1)) as id
                  offset 0) first
            cross join lateral (
                  select f.content from messages f
                   where f.user_id = $1 and f.profile = $2 and f.thread_id = t.id and f.id = first.id
                  offset 0) m
            where t.user_id = $1 and t.profile = $2 and t.id = any($3)"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((ThreadId::from_uuid(row.id), row.said?))).collect())
}
