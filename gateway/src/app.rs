//! What all doors share. Built once by `boot` and passed; cheap to clone.

use std::future::Future;
use std::sync::Arc;

use adjutant_core::limits;
use adjutant_engine::engine::Engine;
use adjutant_engine::supervisor::Supervisor;
use adjutant_mcp::pool::Bridges;
use adjutant_store::store::Store;
use adjutant_store::vault::Vault;
use tokio::sync::{Semaphore, oneshot};

use crate::auth::keys::Keys;
use crate::auth::limiter::Limiter;
use crate::config::Config;

#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    keys: Keys,
    limiter: Limiter,
    config: Config,
    bridges: Arc<Bridges>,
    uploads: Semaphore,
}

impl App {
    pub fn new(engine: Engine, keys: Keys, config: Config, bridges: Arc<Bridges>) -> Self {
        let uploads = Semaphore::new(limits::FILE_UPLOADS);
        Self(Arc::new(Inner { engine, keys, limiter: Limiter::default(), config, bridges, uploads }))
    }

    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub fn store(&self) -> &Store {
        self.0.engine.store()
    }

    /// Encrypts credentials.
    pub fn vault(&self) -> &Vault {
        self.0.engine.vault()
    }

    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Counts wrong keys per address.
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn bridges(&self) -> &Arc<Bridges> {
        &self.0.bridges
    }

    /// Places for uploads that are read at once.
    pub fn uploads(&self) -> &Semaphore {
        &self.0.uploads
    }

    pub fn supervisor(&self) -> &Supervisor {
        self.0.engine.supervisor()
    }

    /// Runs work to its end also when the client goes away: what is half done, such as a run that was
    /// taken up but has no worker yet, would stay so. `None`: it panicked, and the supervisor told.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.supervisor().spawn(name, async move {
            let _ = done.send(work.await);
        });
        result.await.ok()
    }
}
