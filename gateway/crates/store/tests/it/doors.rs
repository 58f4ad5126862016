//! What the doors promise to callers.

use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::store::Store;
use adjutant_store::tx::Tx;

async fn query(tx: &mut Tx, text: &str) -> Result<usize, StoreError> {
    tokio::task::yield_now().await;
    Ok(tx.owner().user.as_str().len() + text.len())
}

/// Compiles only while the future of a door, with captured references, is `Send`.
fn spawned(store: Store, owner: Owner) -> tokio::task::JoinHandle<Result<usize, StoreError>> {
    tokio::spawn(async move {
        let text = String::from("captured");
        let parts = vec![1_u8, 2];
        let first = store
            .scoped(&owner, async |tx| {
                let a = query(tx, &text).await?;
                for _ in &parts {
                    query(tx, text.as_str()).await?;
                }
                Ok(a)
            })
            .await?;
        let second = nested(&store, &owner, &text).await?;
        store
            .system("test", async |_tx| {
                let _ = &text;
                Ok(())
            })
            .await?;
        Ok(first + second)
    })
}

async fn nested(store: &Store, owner: &Owner, text: &str) -> Result<usize, StoreError> {
    store.scoped(owner, async |tx| query(tx, text).await).await
}

#[test]
fn the_future_of_a_door_can_be_spawned() {
    let _: fn(Store, Owner) -> _ = spawned;
}
