//! Keys and device keys in memory, in front of the store: the full SHA-256 digest leads to an identity. Notices of the
//! database drop what was revoked; while none can come, nothing here is believed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use adjutant_store::error::StoreError;
use adjutant_store::keys::{KeyIdentity, KeyProfile};
use adjutant_store::store::Store;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::presented::Credential;
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
    by_credential: HashMap<Credential, Entry>,
    /// Ends with the revocation of the key or device of this id.
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
    pub fn known(&self, credential: &Credential) -> Option<Arc<Identity>> {
        if !self.inner.listening.load(Ordering::Acquire) {
            return None;
        }
        let known = self.inner.known.lock();
        let entry = known.by_credential.get(credential)?;
        (entry.since.elapsed() < FRESH).then(|| Arc::clone(&entry.identity))
    }

    /// Whose it is; `None`: nobody's, or a revoked one.
    pub async fn identify(&self, credential: &Credential) -> Result<Option<Arc<Identity>>, StoreError> {
        match self.known(credential) {
            Some(identity) => Ok(Some(identity)),
            None => self.look_up(credential).await,
        }
    }

    async fn look_up(&self, credential: &Credential) -> Result<Option<Arc<Identity>>, StoreError> {
        loop {
            let before = self.inner.notices.load(Ordering::Acquire);
            let found = self.ask_store(credential).await?;
            let mut known = self.inner.known.lock();
            if self.inner.notices.load(Ordering::Acquire) != before {
                continue;
            }
            let Some(identity) = found else {
                if let Some(entry) = known.by_credential.remove(credential) {
                    // A device may be gone whose key is good; whoever depends on the key finds that out by itself.
                    known.end(entry.identity.device.as_deref().unwrap_or(&entry.identity.key_id));
                }
                return Ok(None);
            };
            let identity = Arc::new(identity);
            let entry = Entry { identity: Arc::clone(&identity), since: Instant::now() };
            known.by_credential.insert(*credential, entry);
            return Ok(Some(identity));
        }
    }

    async fn ask_store(&self, credential: &Credential) -> Result<Option<Identity>, StoreError> {
        match credential {
            Credential::Key(digest) => Ok(self.store.key_lookup(digest).await?.map(|found| identity(found, None))),
            Credential::Device(digest) => {
                let found = self.store.device_lookup(digest).await?;
                Ok(found.map(|(device, found)| identity(found, Some(device))))
            }
        }
    }

    /// Resolves when the key is revoked, or the device that stands in for it.
    pub fn until_ended(&self, identity: &Identity) -> impl Future<Output = ()> + Send + 'static {
        let key = self.until_revoked(&identity.key_id);
        let device = identity.device.as_deref().map(|id| self.until_revoked(id));
        async move {
            match device {
                Some(device) => tokio::select! { () = key => {}, () = device => {} },
                None => key.await,
            }
        }
    }

    /// Resolves when the key or device of this id is revoked.
    pub fn until_revoked(&self, id: &str) -> impl Future<Output = ()> + Send + 'static {
        let mut known = self.inner.known.lock();
        let token = known.token(id);
        if !known.by_credential.values().any(|entry| entry.identity.is_of(id)) {
            token.cancel();
        }
        async move { token.cancelled().await }
    }

    /// A notice came: the key or device of this id was revoked or changed.
    pub fn note_change(&self, id: &str) {
        self.inner.notices.fetch_add(1, Ordering::AcqRel);
        let mut known = self.inner.known.lock();
        known.by_credential.retain(|_, entry| !entry.identity.is_of(id));
        known.end(id);
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
        let known: Vec<Credential> = self.inner.known.lock().by_credential.keys().copied().collect();
        for credential in known {
            self.look_up(&credential).await?;
        }
        self.profiles.recheck().await
    }
}

fn identity(found: KeyIdentity, device: Option<String>) -> Identity {
    Identity {
        key_id: found.key_id,
        device,
        user: found.user,
        profile: match found.profile {
            KeyProfile::Any => None,
            KeyProfile::One(profile) => Some(profile),
        },
        role: found.role,
        allow_operator_llm: found.allow_operator_llm,
    }
}

impl Known {
    fn token(&mut self, id: &str) -> Arc<CancellationToken> {
        if let Some(token) = self.ends.get(id).and_then(Weak::upgrade) {
            return token;
        }
        self.ends.retain(|_, token| token.strong_count() > 0);
        let token = Arc::new(CancellationToken::new());
        self.ends.insert(id.to_owned(), Arc::downgrade(&token));
        token
    }

    fn end(&mut self, id: &str) {
        if let Some(token) = self.ends.remove(id).and_then(|token| token.upgrade()) {
            token.cancel();
        }
    }
}
