//! Messages sent with mode `steer`: queued runs whose messages a run that is going takes in before its next model call.
//! Whoever calls this holds the thread's lock, so that such a run either joins or starts by itself, never both.

use std::sync::Arc;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::Message;
use adjutant_core::model::Usage;
use adjutant_store::error::StoreError;
use adjutant_store::threads::Advance;
use adjutant_store::tx::Tx;
use adjutant_store::{events, messages, runs, threads};

use super::commit::event_row;
use crate::events::event::{Event, EventBody};

#[derive(Default)]
pub(super) struct Joined {
    pub(super) events: Vec<Event>,
    /// In order, each following the one before it.
    pub(super) messages: Vec<Arc<Message>>,
}

/// Places what waits to join behind `tip`, the newest message of the run.
pub(super) async fn take_in(
    tx: &mut Tx,
    thread: ThreadId,
    into: RunId,
    tip: Option<MessageId>,
) -> Result<Joined, StoreError> {
    let mut joined = Joined::default();
    let mut tip = tip;
    for (run, last) in runs::steering(tx, thread).await? {
        if let Some(first) = messages::unplaced_of_run(tx, thread, run).await? {
            messages::set_parent(tx, thread, first, tip).await?;
        }
        runs::join(tx, run, into).await?;
        let body = EventBody::RunJoined { into, parent_id: tip };
        let advance = Advance { events: 1, head_id: Some(last), usage: Usage::default() };
        let seq = threads::advance(tx, thread, advance).await?;
        events::append(tx, thread, &[event_row(seq, Some(run), &body, None)?]).await?;
        joined.events.push(Event { seq, run_id: Some(run), body, messages: Vec::new() });
        joined.messages.extend(messages::of_run(tx, thread, run).await?.into_iter().map(Arc::new));
        tip = Some(last);
    }
    Ok(joined)
}
