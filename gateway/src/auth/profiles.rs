//! Which profiles there are, in memory, in front of the store. Only that one exists is remembered; notices of
//! the database say when one is deleted, and while none can come, nothing here is believed.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use adjutant_core::profile::PERSONAL;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::profiles;
use adjutant_store::store::Store;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Clone)]
pub struct Profiles {
    store: Store,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    known: Mutex<Known>,
    /// Grows with every notice; a look-up that overlaps one is done again.
    notices: AtomicU64,
    listening: AtomicBool,
}

#[derive(Default)]
struct Known {
    exist: HashSet<Owner>,
    /// Ends with the profile.
    ends: HashMap<Owner, Weak<CancellationToken>>,
}

impl Profiles {
    pub(super) fn new(store: Store) -> Self {
        Self { store, inner: Arc::default() }
    }

    /// Whether the user has a profile of that name. Everybody has `personal`.
    pub async fn exists(&self, owner: &Owner) -> Result<bool, StoreError> {
        if owner.profile.as_str() == PERSONAL {
            return Ok(true);
        }
        if self.inner.listening.load(Ordering::Acquire) && self.inner.known.lock().exist.contains(owner) {
            return Ok(true);
        }
        self.look_up(owner).await
    }

    async fn look_up(&self, owner: &Owner) -> Result<bool, StoreError> {
        loop {
            let before = self.inner.notices.load(Ordering::Acquire);
            let found = self.store.scoped(owner, async |tx| profiles::exists(tx).await).await?;
            let mut known = self.inner.known.lock();
            if self.inner.notices.load(Ordering::Acquire) != before {
                continue;
            }
            if found {
                known.exist.insert(owner.clone());
            } else {
                known.end(owner);
            }
            return Ok(found);
        }
    }

    /// Resolves when this profile, which was found to exist, is deleted.
    pub fn until_deleted(&self, owner: &Owner) -> impl Future<Output = ()> + Send + 'static {
        let mut known = self.inner.known.lock();
        let token = known.token(owner);
        if owner.profile.as_str() != PERSONAL && !known.exist.contains(owner) {
            token.cancel();
        }
        async move { token.cancelled().await }
    }

    /// A notice came: this profile was deleted.
    pub fn note_deletion(&self, owner: &Owner) {
        self.inner.notices.fetch_add(1, Ordering::AcqRel);
        self.inner.known.lock().end(owner);
    }

    pub(super) fn listening(&self) {
        self.inner.listening.store(true, Ordering::Release);
    }

    pub(super) fn deaf(&self) {
        self.inner.listening.store(false, Ordering::Release);
    }

    /// Looks up every profile that is known, and ends what belongs to those that are gone.
    pub(super) async fn recheck(&self) -> Result<(), StoreError> {
        let owners: Vec<Owner> = self.inner.known.lock().exist.iter().cloned().collect();
        for owner in owners {
            self.look_up(&owner).await?;
        }
        Ok(())
    }
}

impl Known {
    fn token(&mut self, owner: &Owner) -> Arc<CancellationToken> {
        if let Some(token) = self.ends.get(owner).and_then(Weak::upgrade) {
            return token;
        }
        self.ends.retain(|_, token| token.strong_count() > 0);
        let token = Arc::new(CancellationToken::new());
        self.ends.insert(owner.clone(), Arc::downgrade(&token));
        token
    }

    fn end(&mut self, owner: &Owner) {
        self.exist.remove(owner);
        if let Some(token) = self.ends.remove(owner).and_then(|token| token.upgrade()) {
            token.cancel();
        }
    }
}
