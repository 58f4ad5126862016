//! Keys: found by hash, closed otherwise.

use std::sync::Arc;

use adjutant_core::clock::FakeClock;
use adjutant_core::scope::{Role, UserId};
use adjutant_store::error::StoreError;
use adjutant_store::keys::{self, KeyEntry, KeyIdentity, KeyProfile, NewKey};
use adjutant_store::store::Store;
use adjutant_testkit::db::TestDb;
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::bench;

fn key(id: &str, byte: u8) -> NewKey {
    NewKey {
        identity: KeyIdentity {
            key_id: id.to_owned(),
            user: UserId::parse("anna").unwrap(),
            profile: KeyProfile::Any,
            role: Role::Admin,
            allow_operator_llm: true,
        },
        hash: [byte; 32],
        label: "laptop".to_owned(),
    }
}

async fn create(store: &Store, new: &NewKey) -> Result<(), StoreError> {
    store.system("test", async |tx| keys::create(tx, new).await).await
}

async fn seed(store: &Store, new: &NewKey) -> bool {
    store.system("test", async |tx| keys::seed(tx, new).await).await.unwrap()
}

async fn revoke(store: &Store, id: &str) -> Result<(), StoreError> {
    store.system("test", async |tx| keys::revoke(tx, id).await).await
}

async fn list(store: &Store) -> Vec<KeyEntry> {
    store.system("test", async |tx| keys::list(tx).await).await.unwrap()
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_until_it_is_revoked() {
    let bench = bench().await;
    let store = &bench.db.store;
    let mine = key("mine", 1);
    create(store, &mine).await.unwrap();
    assert_eq!(store.key_lookup(&[1; 32]).await.unwrap(), Some(mine.identity.clone()));
    assert_eq!(store.key_lookup(&[2; 32]).await.unwrap(), None);

    revoke(store, "mine").await.unwrap();
    assert_eq!(store.key_lookup(&[1; 32]).await.unwrap(), None);
    let listed = list(store).await;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_revoked && listed[0].identity == mine.identity && listed[0].label == "laptop");
    assert!(matches!(revoke(store, "unknown").await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn neither_an_id_nor_a_hash_can_be_taken_twice() {
    let bench = bench().await;
    let store = &bench.db.store;
    create(store, &key("first", 1)).await.unwrap();
    let same_id = create(store, &key("first", 2)).await.unwrap_err();
    assert!(same_id.is_conflict_with("api_keys_pkey"), "{same_id:?}");
    let same_hash = create(store, &key("second", 1)).await.unwrap_err();
    assert!(same_hash.is_conflict_with("api_keys_key_hash_key"), "{same_hash:?}");
    assert!(matches!(create(store, &key("Bad Id", 3)).await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn only_an_empty_table_is_seeded_even_by_many_at_once() {
    let bench = bench().await;
    let store = &bench.db.store;
    let (one, two, three, four) = (key("one1", 1), key("two2", 2), key("thr3", 3), key("fou4", 4));
    let seeded = tokio::join!(seed(store, &one), seed(store, &two), seed(store, &three), seed(store, &four));
    let seeded = [seeded.0, seeded.1, seeded.2, seeded.3];
    assert_eq!(seeded.iter().filter(|&&seeded| seeded).count(), 1, "{seeded:?}");
    let id = list(store).await.remove(0).identity.key_id;
    revoke(store, &id).await.unwrap();
    assert!(!seed(store, &key("late", 9)).await, "a revoked key is a key that was there");
}

#[tokio::test]
async fn the_last_use_is_written_every_ten_minutes_at_most() {
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(FakeClock::at(start));
    let store = TestDb::with_clock(clock.clone()).await.store;
    create(&store, &key("mine", 1)).await.unwrap();
    let mut seen = Vec::new();
    for minutes in [0, 9, 2] {
        clock.advance(TimeDelta::minutes(minutes));
        store.key_lookup(&[1; 32]).await.unwrap();
        seen.push(list(&store).await[0].last_used.unwrap() - start);
    }
    assert_eq!(seen, [0, 0, 11].map(TimeDelta::minutes));
}
