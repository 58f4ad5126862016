//! Events from the store, with the messages they announce.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_store::error::StoreError;
use adjutant_store::events::EventRow;
use adjutant_store::tx::Tx;
use adjutant_store::{events, messages};

use super::event::Event;

/// The next page of events after number `after`; fewer than [`limits::REPLAY_PAGE`] means that
/// there are no more now.
pub async fn page(tx: &mut Tx, thread: ThreadId, after: i64) -> Result<Vec<Event>, StoreError> {
    let rows = events::after(tx, thread, after, limits::REPLAY_PAGE).await?;
    let announcing: Vec<i64> = rows.iter().filter(|row| row.message_id.is_some()).map(|row| row.seq).collect();
    let mut announced: HashMap<i64, Vec<Arc<Message>>> = HashMap::new();
    if !announcing.is_empty() {
        for message in messages::announced_by(tx, thread, &announcing).await? {
            announced.entry(message.seq).or_default().push(Arc::new(message));
        }
    }
    rows.into_iter().map(|row| read(row, &mut announced)).collect()
}

fn read(row: EventRow, announced: &mut HashMap<i64, Vec<Arc<Message>>>) -> Result<Event, StoreError> {
    Ok(Event {
        seq: row.seq,
        run_id: row.run_id,
        body: serde_json::from_value(row.payload).map_err(StoreError::bug)?,
        messages: announced.remove(&row.seq).unwrap_or_default(),
    })
}
