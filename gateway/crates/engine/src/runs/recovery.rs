//! Runs without a worker find one: after a crash of any replica, a hand-over, or when this one gave
//! a run up. The loop is a thin wrapper around [`Engine::recover`].

use std::collections::HashSet;
use std::time::Duration;

use adjutant_core::ids::RunId;
use adjutant_core::limits;
use adjutant_core::run::machine::{AfterCrash, after_crash};
use adjutant_store::error::StoreError;
use adjutant_store::runs;
use adjutant_store::runs::Claimed;

use crate::engine::Engine;

/// Between two looks when nothing hints at work.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks while another replica lives, which may die, or something is to be taken up.
const ALERT: Duration = Duration::from_secs(1);
/// Runs taken over at once.
const BATCH: i32 = 100;

impl Engine {
    /// One look: takes over what has no worker. Returns how many runs were found.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let panicked: HashSet<RunId> = self.inner.panicked.lock().drain().collect();
        // Read before the claim: a run that gets its worker in between is lost to neither, because
        // the claim's new fence stops that worker.
        let working: Vec<RunId> = self.inner.active.lock().keys().copied().collect();
        let replica = self.inner.parts.replica;
        let claimed = self
            .store()
            .system("take over runs without a worker", async |tx| {
                runs::claim(tx, replica, &working, BATCH, limits::LEASE).await
            })
            .await
            .inspect_err(|_| self.inner.panicked.lock().extend(&panicked))?;
        let found = claimed.len();
        for claim in claimed {
            let panicked = panicked.contains(&claim.lease.run);
            self.take_up(claim, panicked).await?;
        }
        Ok(found)
    }

    async fn take_up(&self, claim: Claimed, panicked: bool) -> Result<(), StoreError> {
        let mut crashes = claim.crashes;
        if panicked {
            let run = claim.lease.run;
            self.store().scoped(&claim.owner, async |tx| runs::count_crash(tx, run).await).await?;
            crashes += 1;
        }
        match after_crash(crashes) {
            AfterCrash::Resume => self.resume(&claim.owner, claim.lease).await,
            AfterCrash::Quarantine => {
                tracing::warn!(run.id = %claim.lease.run, crashes, "the run is quarantined");
                if let Err(error) = self.quarantine(&claim.owner, claim.lease).await {
                    tracing::warn!(run.id = %claim.lease.run, %error, "the run could not be quarantined yet");
                    self.inner.recovery.notify_one();
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
