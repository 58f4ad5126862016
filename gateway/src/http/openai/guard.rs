//! What happens to a run when its client goes away: one whose thread only this request knows of is
//! cancelled, any other goes on.

use adjutant_core::ids::RunId;
use adjutant_core::scope::Owner;
use adjutant_engine::engine::Engine;
use tokio::runtime::Handle;

/// Cancels its run when it is dropped before [`Watch::release`].
pub(super) struct Watch {
    engine: Engine,
    owner: Owner,
    run: Option<RunId>,
}

impl Watch {
    pub(super) fn over(engine: &Engine, owner: &Owner, run: RunId) -> Self {
        Self { engine: engine.clone(), owner: owner.clone(), run: Some(run) }
    }

    /// Lets the run go on without its client.
    pub(super) fn none(engine: &Engine, owner: &Owner) -> Self {
        Self { engine: engine.clone(), owner: owner.clone(), run: None }
    }

    /// The response is complete: the run has ended, or waits for what the client knows of.
    pub(super) fn release(&mut self) {
        self.run = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        if Handle::try_current().is_err() {
            return;
        }
        let (engine, owner) = (self.engine.clone(), self.owner.clone());
        self.engine.supervisor().spawn("cancel", async move {
            if let Err(error) = engine.cancel(&owner, run).await {
                tracing::warn!(run.id = %run, %error, "a run whose client went away could not be cancelled");
            }
        });
    }
}
