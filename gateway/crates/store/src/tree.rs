//! The tree that a thread's messages make: which of them are part of it, and which stand beside each other.

use std::collections::HashMap;

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::message::Message;
use uuid::Uuid;

use crate::error::StoreError;
use crate::runs::RunStatus;
use crate::tx::Tx;

/// Whether a message is a part of its thread's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Placed,
    /// Its run waits for its turn.
    Waits,
    /// Its run was over before it began.
    Never,
}

/// How a message of a thread stands. The thread must be locked: a run that begins takes its message into the tree.
pub async fn standing(tx: &mut Tx, thread: ThreadId, id: MessageId) -> Result<Standing, StoreError> {
    let owner = tx.owner().clone();
    // A run without a checkpoint is one that never began.
    let row = sqlx::query!(
        r#"select r.state as "state?"
             from messages m
             left join runs r on r.user_id = $1 and r.profile = $2 and r.id = m.run_id
                             and r.checkpoint is null and r.state <> 'joined'
            where m.user_id = $1 and m.profile = $2 and m.thread_id = $3 and m.id = $4"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    let Some(state) = row.state else { return Ok(Standing::Placed) };
    let status = RunStatus::parse(&state).ok_or_else(|| StoreError::bug(format!("unknown run state {state}")))?;
    Ok(if status.is_final() { Standing::Never } else { Standing::Waits })
}

/// For each of these messages of a thread, all that stand behind the same parent, in order. Those whose run never began are
/// no part of the tree (see [`standing`]): such a message stands alone.
pub async fn siblings(tx: &mut Tx, thread: ThreadId, of: &[Message]) -> Result<Vec<Vec<MessageId>>, StoreError> {
    let owner = tx.owner().clone();
    let parents: Vec<Uuid> = of.iter().filter_map(|message| message.parent_id).map(MessageId::as_uuid).collect();
    let with_roots = of.iter().any(|message| message.parent_id.is_none());
    let rows = sqlx::query!(
        r#"select m.parent_id, array_agg(m.id order by m.seq, m.id) as "ids!"
             from messages m
            where m.user_id = $1 and m.profile = $2 and m.thread_id = $3
              and (m.parent_id = any($4) or ($5 and m.parent_id is null))
              and not exists (select from runs r
                               where r.user_id = $1 and r.profile = $2 and r.id = m.run_id
                                 and r.checkpoint is null and r.state <> 'joined')
            group by m.parent_id"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        thread.as_uuid(),
        &parents,
        with_roots,
    )
    .fetch_all(tx.conn())
    .await?;
    let by_parent: HashMap<Option<Uuid>, Vec<Uuid>> = rows.into_iter().map(|row| (row.parent_id, row.ids)).collect();
    let found = of.iter().map(|message| {
        let ids = by_parent.get(&message.parent_id.map(MessageId::as_uuid));
        match ids.filter(|ids| ids.contains(&message.id.as_uuid())) {
            Some(ids) => ids.iter().copied().map(MessageId::from_uuid).collect(),
            None => vec![message.id],
        }
    });
    Ok(found.collect())
}
