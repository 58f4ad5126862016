//! Keys: looked up by their hash, managed by the system role.

use adjutant_core::scope::{Role, UserId};
use adjutant_store::error::StoreError;
use adjutant_store::keys::{self, KeyIdentity, KeyProfile, NewKey};
use adjutant_store::listen::{Notice, Replica};
use adjutant_store::store::Store;
use adjutant_testkit::db::TestDb;

fn key(key_id: &str, hash: [u8; 32]) -> NewKey {
    let identity = KeyIdentity {
        key_id: key_id.to_owned(),
        user: UserId::parse("anna").unwrap(),
        profile: KeyProfile::parse("*").unwrap(),
        role: Role::Admin,
        allow_operator_llm: true,
    };
    NewKey { identity, hash, label: "laptop".to_owned() }
}

async fn create(store: &Store, new: &NewKey) -> Result<(), StoreError> {
    store.system("test", async |tx| keys::create(tx, new).await).await
}

async fn revoke(store: &Store, key_id: &str) -> Result<(), StoreError> {
    store.system("test", async |tx| keys::revoke(tx, key_id).await).await
}

#[tokio::test]
async fn a_key_is_found_by_its_whole_hash_until_it_is_revoked() {
    let db = TestDb::new().await;
    let (hash, mut near) = ([7; 32], [7; 32]);
    near[31] = 8;
    create(&db.store, &key("abcd", hash)).await.unwrap();
    assert_eq!(db.store.key_lookup(&hash).await.unwrap(), Some(key("abcd", hash).identity));
    assert_eq!(db.store.key_lookup(&near).await.unwrap(), None);
    revoke(&db.store, "abcd").await.unwrap();
    assert_eq!(db.store.key_lookup(&hash).await.unwrap(), None);
    assert!(matches!(revoke(&db.store, "nope").await, Err(StoreError::NotFound)));
    let listed = db.store.system("test", async |tx| keys::list(tx).await).await.unwrap();
    assert!(listed[0].is_revoked && listed[0].last_used.is_some());
}

#[tokio::test]
async fn only_the_first_key_is_seeded() {
    let db = TestDb::new().await;
    for (id, hash, added) in [("abcd", [1; 32], true), ("efgh", [2; 32], false)] {
        let new = key(id, hash);
        assert_eq!(db.store.system("test", async |tx| keys::seed(tx, &new).await).await.unwrap(), added);
    }
    assert_eq!(db.store.system("test", async |tx| keys::list(tx).await).await.unwrap().len(), 1);
    let again = create(&db.store, &key("efgh", [1; 32])).await.unwrap_err();
    assert!(again.is_conflict_with("api_keys_key_hash_key"), "{again:?}");
    assert!(matches!(create(&db.store, &key("NO", [3; 32])).await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn every_replica_hears_of_a_revocation_and_takes_its_lock_again() {
    let db = TestDb::new().await;
    create(&db.store, &key("abcd", [7; 32])).await.unwrap();
    let mut one = Replica::join(&db.store).await.unwrap();
    let mut two = Replica::join(&db.store).await.unwrap();
    assert_eq!(one.next().await, Notice::Peer(two.number()));
    assert_eq!(two.next().await, Notice::Peer(one.number()));
    revoke(&db.store, "abcd").await.unwrap();
    for replica in [&mut one, &mut two] {
        let heard = loop {
            match replica.next().await {
                Notice::Peer(_) => {}
                other => break other,
            }
        };
        assert_eq!(heard, Notice::Key("abcd".to_owned()));
    }

    let admin = db.admin();
    let locked = async |number: i32| {
        let held = "select count(*) from pg_locks where locktype = 'advisory' and classid = 4277578 and objid = $1::oid and granted";
        sqlx::query_scalar::<_, i64>(held).bind(i64::from(number)).fetch_one(&admin).await.unwrap()
    };
    assert_eq!(locked(one.number()).await, 1);
    let kill = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = 4277578 and objid = $1::oid";
    sqlx::query(kill).bind(i64::from(one.number())).execute(&admin).await.unwrap();
    assert_eq!(one.next().await, Notice::Lost);
    assert_eq!(one.next().await, Notice::Back);
    assert_eq!(locked(one.number()).await, 1);
}
