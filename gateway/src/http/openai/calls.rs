//! Results of the caller's own tools: which run waits for them. Ids that are unknown, of somebody
//! else or answered before find none, and are history like any other.

use adjutant_core::ids::{RunId, ThreadId, ToolCallId};
use adjutant_core::model::Usage;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::runs::Run;
use adjutant_store::threads::LockedThread;
use adjutant_store::tx::Tx;
use adjutant_store::{ledger, runs, threads};

use super::failure::Failure;
use super::history::{self, Entry};
use super::waiting;

/// A run and the results that it waits for.
#[derive(Debug, Clone)]
pub(in crate::http) struct Awaited {
    pub(in crate::http) run: RunId,
    pub(in crate::http) thread: ThreadId,
    pub(in crate::http) results: Vec<(ToolCallId, String)>,
    /// The newest event of the thread so far, and what the run has used.
    pub(in crate::http) seen: i64,
    pub(in crate::http) before: Usage,
    /// Nobody else knows of the thread.
    pub(in crate::http) is_hidden: bool,
}

struct Found {
    open: Vec<(RunId, ToolCallId)>,
    run: Run,
    rows: Vec<LedgerRow>,
    thread: LockedThread,
}

/// The run that waits for the results at the end of the request. All of its open calls must be there:
/// as with OpenAI, a part of them is an error that names the others.
pub(in crate::http) async fn awaited(
    engine: &Engine,
    owner: &Owner,
    entries: &[Entry],
) -> Result<Option<Awaited>, Failure> {
    let mut results: Vec<(ToolCallId, &str)> = Vec::new();
    for (id, text) in history::trailing_results(entries) {
        if let Some(id) = waiting::parse(id).filter(|id| results.iter().all(|(known, _)| known != id)) {
            results.push((id, text));
        }
    }
    if results.is_empty() {
        return Ok(None);
    }
    let ids: Vec<ToolCallId> = results.iter().map(|(id, _)| *id).collect();
    let found = engine.store().scoped(owner, async |tx| find(tx, &ids).await).await?;
    let Some(Found { open, run, rows, thread }) = found else { return Ok(None) };
    if open.iter().any(|(other, _)| *other != run.id) {
        return Err(Failure::invalid(
            "messages",
            "the tool messages at the end answer calls of two runs: send one at a time",
        ));
    }
    let is_answered = |id: ToolCallId| ids.contains(&id);
    let missing = waiting::with_caller(&rows).into_iter().filter(|call| !is_answered(call.id));
    let missing: Vec<String> = missing.map(|call| waiting::shown(call.id)).collect();
    if !missing.is_empty() {
        let message = format!("every tool call needs its tool message; these have none: {}", missing.join(", "));
        return Err(Failure::invalid("messages", message));
    }
    let is_open = |id: ToolCallId| open.iter().any(|(_, call)| *call == id);
    let results = results.into_iter().filter(|(id, _)| is_open(*id)).map(|(id, text)| (id, text.to_owned()));
    Ok(Some(Awaited {
        run: run.id,
        thread: run.thread_id,
        results: results.collect(),
        seen: thread.last_seq,
        before: run.usage,
        is_hidden: thread.hidden,
    }))
}

async fn find(tx: &mut Tx, ids: &[ToolCallId]) -> Result<Option<Found>, StoreError> {
    let open = ledger::open_with_caller(tx, ids).await?;
    let Some((run, _)) = open.first() else { return Ok(None) };
    let run = runs::load(tx, *run).await?;
    let rows = ledger::of_run(tx, run.id).await?;
    let thread = threads::lock(tx, run.thread_id).await?;
    Ok(Some(Found { open, run, rows, thread }))
}
