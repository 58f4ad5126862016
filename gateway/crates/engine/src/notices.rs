//! What other replicas say: wake-ups for runs that are worked on here, and new events for listeners
//! that are here. All of them are hints; what is missed is read from the store.

use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::listen::{Notice, ThreadNews};
use adjutant_store::threads;

use crate::engine::Engine;
use crate::events::replay;
use crate::runs::commit::owner_mark;

impl Engine {
    /// Acts on a notice, as far as it concerns runs and events.
    pub async fn heard(&self, notice: &Notice) {
        match notice {
            Notice::Run(run) => {
                self.inner.ring(*run);
            }
            Notice::Thread(news) if news.replica != self.inner.parts.replica => self.relay(news).await,
            Notice::Peer(_) => self.peer_heard(),
            Notice::Back => {
                // Without another replica nothing can have been missed.
                if self.inner.has_peers() {
                    self.hub().drop_listeners();
                }
                self.inner.ring_all();
                self.inner.recovery.notify_one();
            }
            Notice::Thread(_)
            | Notice::Key(_)
            | Notice::Profile(_)
            | Notice::Credentials(_)
            | Notice::Servers(_)
            | Notice::Other(_)
            | Notice::Lost => {}
        }
    }

    async fn relay(&self, news: &ThreadNews) {
        // A mark is no secret: the store decides whose thread it is.
        for owner in self.hub().owners_listening() {
            if owner_mark(&owner) != news.owner_mark {
                continue;
            }
            match self.relay_to(&owner, news).await {
                Ok(()) | Err(StoreError::NotFound) => {}
                // A listener sees the gap with the next event and reads what it missed.
                Err(error) => tracing::warn!(thread.id = %news.thread, %error, "events of a peer were not read"),
            }
        }
    }

    async fn relay_to(&self, owner: &Owner, news: &ThreadNews) -> Result<(), StoreError> {
        let order = self.hub().order_of(news.thread);
        let _ordered = order.lock().await;
        let (hidden, mut events) = self
            .store()
            .scoped(owner, async |tx| {
                let hidden = threads::is_hidden(tx, news.thread).await?;
                Ok((hidden, replay::page(tx, news.thread, news.first - 1).await?))
            })
            .await?;
        events.retain(|event| event.seq <= news.last);
        if !events.is_empty() {
            self.hub().publish(owner, news.thread, hidden, events);
        }
        Ok(())
    }
}
