//! What the database tells this replica: revoked keys, and what other replicas did.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::scope::UserId;
use adjutant_store::listen::{Notice, Replica};
use tokio::time::sleep;

use crate::app::App;
use crate::auth::keys::Keys;

/// While no notices come, keys are looked up again this often: a revoked one ends within a second.
const RECHECK: Duration = Duration::from_millis(500);

/// Acts on notices until it is dropped. The replica's lock is held as long.
pub(super) async fn keep_listening(mut replica: Replica, app: App) {
    let (engine, keys) = (app.engine(), app.keys());
    let mut deaf = false;
    loop {
        let notice = {
            let mut next = pin!(replica.next());
            loop {
                tokio::select! {
                    notice = &mut next => break notice,
                    () = sleep(RECHECK), if deaf => recheck(keys).await,
                }
            }
        };
        match &notice {
            Notice::Key(id) => keys.note_change(id),
            Notice::Profile(owner) => {
                keys.profiles().note_deletion(owner);
                refresh_bridges(&app, Some(&owner.user));
            }
            Notice::Servers(user) | Notice::Credentials(user) => refresh_bridges(&app, Some(user)),
            Notice::Lost => {
                deaf = true;
                keys.deaf();
            }
            Notice::Back => {
                deaf = false;
                keys.listening();
                recheck(keys).await;
                refresh_bridges(&app, None);
            }
            _ => {}
        }
        engine.heard(&notice).await;
    }
}

/// Drops the bridges that are not as their servers are now, of one user or of everybody.
fn refresh_bridges(app: &App, user: Option<&UserId>) {
    let owners = app.bridges().owners().into_iter().filter(|owner| user.is_none_or(|user| owner.user == *user));
    let (owners, bridges): (Vec<_>, _) = (owners.collect(), Arc::clone(app.bridges()));
    if owners.is_empty() {
        return;
    }
    app.supervisor().spawn("bridges", async move {
        for owner in owners {
            bridges.refresh(&owner).await;
        }
    });
}

async fn recheck(keys: &Keys) {
    if let Err(error) = keys.recheck().await {
        tracing::debug!(%error, "the keys could not be looked up again");
    }
}
