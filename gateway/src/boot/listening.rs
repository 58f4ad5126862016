//! What the database tells this replica: revoked keys, and what other replicas did.

use std::pin::pin;
use std::time::Duration;

use adjutant_engine::engine::Engine;
use adjutant_store::listen::{Notice, Replica};
use tokio::time::sleep;

use crate::auth::keys::Keys;

/// While no notices come, keys are looked up again this often: a revoked one ends within a second.
const RECHECK: Duration = Duration::from_millis(500);

/// Acts on notices until it is dropped. The replica's lock is held as long.
pub(super) async fn keep_listening(mut replica: Replica, engine: Engine, keys: Keys) {
    let mut deaf = false;
    loop {
        let notice = {
            let mut next = pin!(replica.next());
            loop {
                tokio::select! {
                    notice = &mut next => break notice,
                    () = sleep(RECHECK), if deaf => recheck(&keys).await,
                }
            }
        };
        match &notice {
            Notice::Key(id) => keys.note_change(id),
            Notice::Profile(owner) => keys.profiles().note_deletion(owner),
            Notice::Lost => {
                deaf = true;
                keys.deaf();
            }
            Notice::Back => {
                deaf = false;
                keys.listening();
                recheck(&keys).await;
            }
            _ => {}
        }
        engine.heard(&notice).await;
    }
}

async fn recheck(keys: &Keys) {
    if let Err(error) = keys.recheck().await {
        tracing::debug!(%error, "the keys could not be looked up again");
    }
}
