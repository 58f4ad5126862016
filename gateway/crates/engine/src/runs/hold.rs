//! A run that this replica has taken, listed as active from before the commit that takes it until its worker ends:
//! at no moment does recovery see a run of ours that somebody is about to work on, and take it for a lost one.

use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::scope::Owner;
use adjutant_store::runs::Lease;
use tokio::sync::Notify;

use crate::engine::{Active, Engine, Inner};

pub(crate) struct Hold {
    inner: Arc<Inner>,
    lease: Lease,
    bell: Arc<Notify>,
    /// Whose answers its worker writes, once it has one.
    writes: Option<(Owner, ThreadId)>,
    /// The worker ended by its own fault, not because the database was away.
    crashed: bool,
    settled: bool,
}

impl Hold {
    pub(super) fn new(inner: &Arc<Inner>, lease: Lease) -> Self {
        let bell = Arc::new(Notify::new());
        inner.active.lock().insert(lease.run, Active { fence: lease.fence, bell: Arc::clone(&bell) });
        Self { inner: Arc::clone(inner), lease, bell, writes: None, crashed: false, settled: false }
    }

    pub(super) fn of(engine: &Engine, lease: Lease) -> Self {
        Self::new(&engine.inner, lease)
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// From here on an end that nobody planned is a crash of its worker.
    pub(super) fn work(&mut self, owner: Owner, thread: ThreadId) {
        self.writes = Some((owner, thread));
        self.crashed = true;
    }

    /// The worker ended as planned, or nothing is left to work on.
    pub(super) fn settle(mut self) {
        self.settled = true;
    }

    /// The database was away: recovery finds out how far the run came.
    pub(super) fn interrupt(mut self) {
        self.crashed = false;
    }
}

/// However it ends, the run is off the list; one that did not end as planned is left to recovery.
impl Drop for Hold {
    fn drop(&mut self) {
        let mut active = self.inner.active.lock();
        // Under a newer fence it may be in other hands here by now.
        if active.get(&self.lease.run).is_some_and(|entry| Arc::ptr_eq(&entry.bell, &self.bell)) {
            active.remove(&self.lease.run);
            if let Some((owner, thread)) = &self.writes {
                self.inner.hub.reset_answer(owner, *thread, self.lease.run);
            }
        }
        drop(active);
        if !self.settled {
            if self.crashed {
                self.inner.panicked.lock().insert(self.lease.run);
            }
            self.inner.recovery.notify_one();
        }
    }
}
