//! The engine: what its parts share. Cheap to clone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adjutant_core::clock::Clock;
use adjutant_core::ids::RunId;
use adjutant_core::model::LlmClient;
use adjutant_core::run::state::RunLimits;
use adjutant_core::tool::ToolSource;
use adjutant_store::store::Store;
use adjutant_store::vault::Vault;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::events::hub::Hub;
use crate::supervisor::Supervisor;

/// What the engine is made of; `boot` and tests fill it in.
pub struct Parts {
    pub store: Store,
    pub llm: Arc<dyn LlmClient>,
    pub tools: Arc<dyn ToolSource>,
    pub clock: Arc<dyn Clock>,
    pub supervisor: Supervisor,
    /// The number under which this process holds leases.
    pub replica: i32,
    pub system_prompt: String,
    pub run_limits: RunLimits,
    /// Opens the credentials of users.
    pub vault: Vault,
}

#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) hub: Hub,
    /// Runs that this replica works on, or is about to.
    pub(crate) active: Mutex<HashMap<RunId, Active>>,
    /// Runs whose worker panicked: recovery counts that as a crash when it takes them over again.
    pub(crate) panicked: Mutex<HashSet<RunId>>,
    /// Rings when there is something to recover at once.
    pub(crate) recovery: Notify,
    /// Whether another replica was ever heard of; wake-ups are sent only then.
    pub(crate) has_peers: AtomicBool,
    pub(crate) places: Arc<Semaphore>,
}

/// A run in the hands of this replica.
pub(crate) struct Active {
    pub(crate) fence: i64,
    /// Wakes its worker.
    pub(crate) bell: Arc<Notify>,
}

impl Engine {
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                hub: Hub::default(),
                active: Mutex::default(),
                panicked: Mutex::default(),
                recovery: Notify::new(),
                has_peers: AtomicBool::new(false),
                places: Arc::new(Semaphore::new(adjutant_core::limits::ACTIVE_RUNS)),
            }),
        }
    }

    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    pub fn vault(&self) -> &Vault {
        &self.inner.parts.vault
    }

    pub fn supervisor(&self) -> &Supervisor {
        &self.inner.parts.supervisor
    }

    /// The model that answers by default; `None` when none is configured.
    pub fn default_model(&self) -> Option<&str> {
        self.inner.parts.llm.default_model()
    }

    /// How many runs this replica works on now.
    pub fn active_runs(&self) -> usize {
        self.inner.active.lock().len()
    }

    /// Another replica said that it is there: from now on commits wake it.
    pub fn peer_heard(&self) {
        self.inner.has_peers.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    pub(crate) fn has_peers(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
    }

    /// Wakes the worker of a run, if it is here.
    pub(crate) fn ring(&self, run: RunId) -> bool {
        let active = self.active.lock();
        active.get(&run).inspect(|entry| entry.bell.notify_one()).is_some()
    }

    /// Wakes every worker: hints may have been missed.
    pub(crate) fn ring_all(&self) {
        self.active.lock().values().for_each(|entry| entry.bell.notify_one());
    }
}
