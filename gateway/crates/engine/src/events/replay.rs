//! Events from the store, with the messages they announce.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_store::error::StoreError;
use adjutant_store::tx::Tx;
use adjutant_store::{events, messages};

use super::event::{Event, EventBody};

/// The next page of events after number `after`; fewer than [`limits::REPLAY_PAGE`] means that
/// there are no more now.
pub async fn page(tx: &mut Tx, thread: ThreadId, after: i64) -> Result<Vec<Event>, StoreError> {
    let rows = events::after(tx, thread, after, limits::REPLAY_PAGE).await?;
    let mut page = Vec::with_capacity(rows.len());
    for row in rows {
        let body: EventBody = serde_json::from_value(row.payload).map_err(StoreError::bug)?;
        let announcing = row.message_id.map(|_| match body {
            EventBody::RunRevised { announced } => announced,
            _ => row.seq,
        });
        page.push((announcing, Event { seq: row.seq, run_id: row.run_id, body, messages: Vec::new() }));
    }
    let numbers: Vec<i64> = page.iter().filter_map(|(announcing, _)| *announcing).collect();
    let mut announced: HashMap<i64, Vec<Arc<Message>>> = HashMap::new();
    if !numbers.is_empty() {
        for message in messages::announced_by(tx, thread, &numbers).await? {
            announced.entry(message.seq).or_default().push(Arc::new(message));
        }
    }
    let told = page.into_iter().map(|(announcing, event)| {
        let messages = announcing.and_then(|number| announced.get(&number).cloned()).unwrap_or_default();
        Event { messages, ..event }
    });
    Ok(told.collect())
}
