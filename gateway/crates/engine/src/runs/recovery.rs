//! Runs without a worker find one: after a crash of any replica, a hand-over, or when this one gave
//! a run up. The loop is a thin wrapper around [`Engine::recover`].

use std::collections::HashSet;
use std::time::Duration;

use adjutant_core::ids::RunId;
use adjutant_core::limits;
use adjutant_core::run::machine::{AfterCrash, after_crash};
use adjutant_store::error::StoreError;
use adjutant_store::runs;
use adjutant_store::runs::{Claimed, Lease};

use super::hold::Hold;
use crate::engine::Engine;

/// Between two looks when nothing hints at work.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks while another replica lives, which may die, or something is to be taken up.
const ALERT: Duration = Duration::from_secs(1);
/// Runs taken over at once.
const BATCH: usize = 100;
/// Claims that are given back before a look gives up, because a run in them got a worker meanwhile.
const CLAIM_TRIES: usize = 5;
const WORKED_ON: &str = "a run with a worker";

impl Engine {
    /// One look: takes over what has no worker. Returns how many runs were found.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let mut found = 0;
        loop {
            let claimed = self.recover_some().await?;
            found += claimed;
            // A server that stops would hand over at once what it takes.
            if claimed < BATCH || self.supervisor().stopping().is_cancelled() {
                return Ok(found);
            }
        }
    }

    async fn recover_some(&self) -> Result<usize, StoreError> {
        let panicked: HashSet<RunId> = self.inner.panicked.lock().drain().collect();
        let mut claimed = self.claim().await;
        for _ in 1..CLAIM_TRIES {
            if !matches!(&claimed, Err(error) if error.is_conflict_with(WORKED_ON)) {
                break;
            }
            claimed = self.claim().await;
        }
        let claimed = claimed.inspect_err(|_| self.inner.panicked.lock().extend(&panicked))?;
        let found = claimed.len();
        for (claim, hold) in claimed {
            let panicked = panicked.contains(&claim.lease.run);
            self.take_up(claim, hold, panicked).await?;
        }
        Ok(found)
    }

    async fn claim(&self) -> Result<Vec<(Claimed, Hold)>, StoreError> {
        let replica = self.inner.parts.replica;
        self.store()
            .system("take over runs without a worker", async |tx| {
                let at_most = i32::try_from(BATCH).unwrap_or(i32::MAX);
                let working: Vec<RunId> = self.inner.active.lock().keys().copied().collect();
                let claimed = runs::claim(tx, replica, &working, at_most, limits::LEASE).await?;
                // A run may have been taken here since `working` was read: it was listed before its commit.
                if claimed.iter().any(|claim| self.is_worked_on(claim.lease)) {
                    return Err(StoreError::Conflict(WORKED_ON.to_owned()));
                }
                let held = |claim: Claimed| {
                    let hold = Hold::of(self, claim.lease);
                    (claim, hold)
                };
                Ok(claimed.into_iter().map(held).collect())
            })
            .await
    }

    /// Whether a worker is here under the fence that a claim replaces; one under an older fence is void.
    fn is_worked_on(&self, claimed: Lease) -> bool {
        self.inner.active.lock().get(&claimed.run).is_some_and(|entry| entry.fence + 1 == claimed.fence)
    }

    async fn take_up(&self, claim: Claimed, hold: Hold, panicked: bool) -> Result<(), StoreError> {
        let mut crashes = claim.crashes;
        if panicked {
            let run = claim.lease.run;
            let counted = self.store().scoped(&claim.owner, async |tx| runs::count_crash(tx, run).await).await;
            if let Err(error) = counted {
                self.inner.panicked.lock().insert(run);
                return Err(error);
            }
            crashes += 1;
        }
        match after_crash(crashes) {
            AfterCrash::Resume => self.resume(&claim.owner, hold).await,
            AfterCrash::Quarantine => {
                tracing::warn!(run.id = %claim.lease.run, crashes, "the run is quarantined");
                match self.quarantine(&claim.owner, claim.lease).await {
                    Ok(()) => hold.settle(),
                    Err(error) => {
                        tracing::warn!(run.id = %claim.lease.run, %error, "the run could not be quarantined yet");
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks at once, whenever something hints at work, and now and then, until the server stops.
    pub async fn keep_recovering(&self) {
        let stopping = self.supervisor().stopping().clone();
        loop {
            if let Err(error) = self.recover().await {
                tracing::warn!(%error, "could not look for runs without a worker");
                self.inner.recovery.notify_one();
            }
            let alert = self.inner.has_peers();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(if alert { ALERT } else { IDLE }) => {}
                () = self.inner.recovery.notified() => tokio::select! {
                    () = stopping.cancelled() => return,
                    // The cause may need a moment to pass: never look in a tight loop.
                    () = tokio::time::sleep(ALERT / 4) => {}
                },
            }
        }
    }

    /// Renews this replica's leases while it works on runs, until the server stops.
    pub async fn keep_leases(&self) {
        let stopping = self.supervisor().stopping().clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(limits::LEASE_RENEWAL) => {}
            }
            if self.active_runs() == 0 {
                continue;
            }
            let replica = self.inner.parts.replica;
            let renewed = self
                .store()
                .system("renew leases", async |tx| runs::renew_leases(tx, replica, limits::LEASE).await)
                .await;
            if let Err(error) = renewed {
                tracing::warn!(%error, "could not renew leases");
            }
        }
    }
}
