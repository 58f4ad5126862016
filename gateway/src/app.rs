//! What all doors share. Built once by `boot` and passed; cheap to clone.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use adjutant_core::limits;
use adjutant_core::scope::UserId;
use adjutant_engine::engine::Engine;
use adjutant_engine::supervisor::Supervisor;
use adjutant_mcp::pool::Bridges;
use adjutant_store::store::Store;
use adjutant_store::vault::Vault;
use tokio::sync::{Semaphore, oneshot};

use crate::auth::keys::Keys;
use crate::auth::limiter::Limiter;
use crate::config::Config;
use crate::ui::Page;

#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    keys: Keys,
    limiter: Limiter,
    config: Config,
    bridges: Arc<Bridges>,
    uploads: Semaphore,
    model_tests: Arc<Places>,
    exports: Arc<Places>,
    compactions: Arc<Places>,
    page: Page,
}

impl App {
    pub fn new(engine: Engine, keys: Keys, config: Config, bridges: Arc<Bridges>) -> Self {
        let uploads = Semaphore::new(limits::FILE_UPLOADS);
        let model_tests = Places::new(limits::MODEL_TESTS, limits::USER_MODEL_TESTS);
        let exports = Places::new(limits::EXPORTS, limits::USER_EXPORTS);
        let compactions = Places::new(limits::COMPACTIONS, limits::USER_COMPACTIONS);
        Self(Arc::new(Inner {
            engine,
            keys,
            limiter: Limiter::default(),
            config,
            bridges,
            uploads,
            model_tests,
            exports,
            compactions,
            page: Page::embedded(),
        }))
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

    /// Places for tests of model providers.
    pub fn model_tests(&self) -> &Arc<Places> {
        &self.0.model_tests
    }

    /// Places for exports that are read at once.
    pub fn exports(&self) -> &Arc<Places> {
        &self.0.exports
    }

    /// Places for threads that are compacted at once.
    pub fn compactions(&self) -> &Arc<Places> {
        &self.0.compactions
    }

    /// What a browser is shown.
    pub fn page(&self) -> &Page {
        &self.0.page
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

/// So many at once of one kind, and so many of them for one user.
pub struct Places {
    taken: Mutex<Vec<UserId>>,
    all: usize,
    of_one: usize,
}

/// One that is taken, until this is dropped.
pub struct Place {
    places: Arc<Places>,
    user: UserId,
}

impl Places {
    fn new(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), all, of_one })
    }

    /// `None`: there is none left, or none for this user.
    pub fn take(self: &Arc<Self>, user: &UserId) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.iter().filter(|other| *other == user).count();
        let is_free = taken.len() < self.all && own < self.of_one;
        is_free.then(|| {
            taken.push(user.clone());
            Place { places: Arc::clone(self), user: user.clone() }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = taken.iter().position(|user| *user == self.user) {
            taken.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_one_and_for_all_and_given_back() {
        let places = Places::new(3, 2);
        let [anna, ben] = ["anna", "ben"].map(|name| UserId::parse(name).unwrap());
        let first = places.take(&anna).unwrap();
        let _second = places.take(&anna).unwrap();
        assert!(places.take(&anna).is_none(), "two are enough for one");
        let third = places.take(&ben).unwrap();
        assert!(places.take(&ben).is_none(), "three are enough for all");
        drop(third);
        assert!(places.take(&anna).is_none());
        drop(first);
        assert!(places.take(&anna).is_some() && places.take(&ben).is_some());
    }
}
