//! Tool calls under way. This is the only caller of the tool port: whatever runs a tool passes here,
//! after its ledger row is committed.

use adjutant_core::ids::ToolCallId;
use adjutant_core::limits;
use adjutant_core::message::{ForeignText, OutcomeKind};
use adjutant_core::question::{CallDoor, CallEvent};
use adjutant_core::run::state::Event as MachineEvent;
use adjutant_core::scope::Scope;
use adjutant_core::tool::{ToolError, ToolReply, ToolRequest};
use adjutant_store::error::StoreError;
use adjutant_store::ledger::{LedgerRow, Target};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use tokio::time::Instant;

use super::asking::Asked;
use super::commit::Batch;
use super::driver::Driver;
use crate::engine::Engine;

type Reply = (ToolCallId, bool, Result<ToolReply, ToolError>);

/// The calls of one run that are under way; dropping it cancels them.
#[derive(Default)]
pub(super) struct Running {
    calls: FuturesUnordered<BoxFuture<'static, Reply>>,
    /// What they say meanwhile.
    heard: SelectAll<BoxStream<'static, (ToolCallId, CallEvent)>>,
    asked: Asked,
}

impl Running {
    /// Lets a call run whose start is recorded.
    pub(super) fn begin(&mut self, engine: &Engine, scope: &Scope, row: &LedgerRow) {
        let Target::Server { server, tool } = row.target.clone() else { return };
        let (engine, scope) = (engine.clone(), scope.clone());
        let (id, repeatable) = (row.id, row.repeatable);
        let (door, heard) = CallDoor::open();
        self.heard.push(heard.map(move |event| (id, event)).boxed());
        let request =
            ToolRequest { server, tool, arguments: row.arguments.clone(), timeout: limits::TOOL_CALL_TIME, door };
        self.calls
            .push(Box::pin(async move { (id, repeatable, engine.inner.parts.tools.call(&scope, request).await) }));
    }
}

/// What woke a run that waits for its calls.
pub(super) enum Settled {
    Call(MachineEvent, Box<Batch>),
    Told(Vec<MachineEvent>),
    Stopping,
}

impl Driver {
    pub(super) async fn next_settled(&mut self, running: &mut Running) -> Result<Settled, StoreError> {
        let stopping = self.engine.supervisor().stopping().clone();
        let deadline = self.deadline();
        let nothing_runs = running.calls.is_empty();
        let next_look = running.asked.next_look();
        if stopping.is_cancelled() {
            self.drained_by.get_or_insert_with(|| Instant::now() + limits::DRAIN);
        }
        let drained_by = self.drained_by;
        let drained = async {
            stopping.cancelled().await;
            if !nothing_runs {
                tokio::time::sleep_until(drained_by.unwrap_or_else(|| Instant::now() + limits::DRAIN)).await;
            }
        };
        let reply = tokio::select! {
            biased;
            () = self.bell.notified() => {
                self.hand_answers(&mut running.asked).await?;
                return Ok(Settled::Told(self.told().await?));
            }
            () = tokio::time::sleep_until(deadline) => return Ok(Settled::Told(vec![MachineEvent::TimeUp])),
            () = drained => return Ok(Settled::Stopping),
            Some((call, event)) = running.heard.next() => {
                self.heard(call, event, &mut running.asked).await?;
                return Ok(Settled::Told(Vec::new()));
            }
            () = at(next_look) => {
                self.hand_answers(&mut running.asked).await?;
                return Ok(Settled::Told(Vec::new()));
            }
            Some(reply) = running.calls.next() => reply,
        };
        let (call, repeatable, reply) = reply;
        let (outcome, content, truncated) = judged(reply, repeatable);
        let mut batch = Batch::default();
        if running.asked.forget(call) {
            batch.done_asking.push(call);
            if !running.asked.waits() {
                self.go_on();
            }
        }
        self.settle(call, outcome, content, truncated, &mut batch);
        Ok(Settled::Call(MachineEvent::Settled { call }, Box::new(batch)))
    }
}

/// Never, when there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn judged(reply: Result<ToolReply, ToolError>, repeatable: bool) -> (OutcomeKind, ForeignText, bool) {
    match reply {
        Ok(reply) => {
            let outcome = if reply.is_error { OutcomeKind::Failed } else { OutcomeKind::Succeeded };
            (outcome, reply.content, reply.truncated)
        }
        Err(ToolError::Unavailable(reason) | ToolError::Refused(reason)) => {
            (OutcomeKind::Failed, ForeignText::new(reason), false)
        }
        Err(ToolError::Lost(reason)) if repeatable => (OutcomeKind::Failed, ForeignText::new(reason), false),
        Err(ToolError::Lost(reason)) => {
            let text = format!("{reason}. It may have happened or not: say so, and do not repeat it without asking.");
            (OutcomeKind::Unknown, ForeignText::new(text), false)
        }
    }
}
