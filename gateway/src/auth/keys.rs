//! Keys in memory, in front of the store: the full SHA-256 digest leads to an identity. Notices of the
//! database drop what was revoked; while none can come, nothing here is believed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use adjutant_store::error::StoreError;
use adjutant_store::keys::KeyProfile;
use adjutant_store::store::Store;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::key::Digest;
use super::profiles::Profiles;

/// After this an entry is looked up again, which also tells the store that the key is in use.
const FRESH: Duration = Duration::from_mins(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    inner: Arc<Inner>,
    profiles: Profiles,
}

#[derive(Default)]
struct Inner {
    known: Mutex<Known>,
    /// Grows with every notice; a look-up that overlaps one is done again.
    notices: AtomicU64,
    /// Whether notices arrive.
    listening: AtomicBool,
}

#[derive(Default)]
struct Known {
    by_digest: HashMap<Digest, Entry>,
    /// Ends with the revocation of the key of this id.
    ends: HashMap<String, Weak<CancellationToken>>,
}

struct Entry {
    identity: Arc<Identity>,
    since: Instant,
}

impl Keys {
    pub fn new(store: Store) -> Self {
        Self { profiles: Profiles::new(store.clone()), store, inner: Arc::default() }
    }

    /// The profiles that these keys open.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The identity if it is known without asking the store.
    pub fn known(&self, digest: &Digest) -> Option<Arc<Identity>> {
        if !self.inner.listening.load(Ordering::Acquire) {
            return None;
        }
        let known = self.inner.known.lock();
        let entry = known.by_digest.get(digest)?;
        (entry.since.elapsed() < FRESH).then(|| Arc::clone(&entry.identity))
    }

    /// Whose key this is; `None`: nobody's, or a revoked one.
    pub async fn identify(&self, digest: &Digest) -> Result<Option<Arc<Identity>>, StoreError> {
        match self.known(digest) {
            Some(identity) => Ok(Some(identity)),
            None => self.look_up(digest).await,
        }
    }

    async fn look_up(&self, digest: &Digest) -> Result<Option<Arc<Identity>>, StoreError> {
        loop {
            let before = self.inner.notices.load(Ordering::Acquire);
            let found = self.ask_store(digest).await?;
            let mut known = self.inner.known.lock();
            if self.inner.notices.load(Ordering::Acquire) != before {
                continue;
            }
            let Some(identity) = found else {
                if let Some(entry) = known.by_digest.remove(digest) {
                    known.end(&entry.identity.key_id);
                }
                return Ok(None);
            };
            let identity = Arc::new(identity);
            let entry = Entry { identity: Arc::clone(&identity), since: Instant::now() };
            known.by_digest.insert(*digest, entry);
            return Ok(Some(identity));
        }
    }

    async fn ask_store(&self, digest: &Digest) -> Result<Option<Identity>, StoreError> {
        let found = self.store.key_lookup(digest).await?;
        Ok(found.map(|found| Identity {
            key_id: found.key_id,
            user: found.user,
            profile: match found.profile {
                KeyProfile::Any => None,
                KeyProfile::One(profile) => Some(profile),
            },
            role: found.role,
            allow_operator_llm: found.allow_operator_llm,
        }))
    }

    /// Resolves when the key of this id is revoked.
    pub fn until_revoked(&self, key_id: &str) -> impl Future<Output = ()> + Send + 'static {
        let mut known = self.inner.known.lock();
        let token = known.token(key_id);
        if !known.by_digest.values().any(|entry| entry.identity.key_id == key_id) {
            token.cancel();
        }
        async move { token.cancelled().await }
    }

    /// A notice came: the key of this id was revoked or changed.
    pub fn note_change(&self, key_id: &str) {
        self.inner.notices.fetch_add(1, Ordering::AcqRel);
        let mut known = self.inner.known.lock();
        known.by_digest.retain(|_, entry| entry.identity.key_id != key_id);
        known.end(key_id);
    }

    /// Notices arrive from now on. What is known must be looked up once more with [`Keys::recheck`].
    pub fn listening(&self) {
        self.inner.listening.store(true, Ordering::Release);
        self.profiles.listening();
    }

    /// No notices arrive: every key is looked up until they do.
    pub fn deaf(&self) {
        self.inner.listening.store(false, Ordering::Release);
        self.profiles.deaf();
    }

    /// Looks up every key and profile that is known, and ends what belongs to those that are gone.
    pub async fn recheck(&self) -> Result<(), StoreError> {
        let digests: Vec<Digest> = self.inner.known.lock().by_digest.keys().copied().collect();
        for digest in digests {
            self.look_up(&digest).await?;
        }
        self.profiles.recheck().await
    }
}

impl Known {
    fn token(&mut self, key_id: &str) -> Arc<CancellationToken> {
        if let Some(token) = self.ends.get(key_id).and_then(Weak::upgrade) {
            return token;
        }
        self.ends.retain(|_, token| token.strong_count() > 0);
        let token = Arc::new(CancellationToken::new());
        self.ends.insert(key_id.to_owned(), Arc::downgrade(&token));
        token
    }

    fn end(&mut self, key_id: &str) {
        if let Some(token) = self.ends.remove(key_id).and_then(|token| token.upgrade()) {
            token.cancel();
        }
    }
}
