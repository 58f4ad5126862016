//! A replica among others: its number, its lock, what it hears.

use std::time::Duration;

use adjutant_core::scope::Owner;
use adjutant_store::listen::{Notice, Replica};
use adjutant_store::{hints, keys};
use sqlx::postgres::PgPool;

use crate::support::{bench, owners};

const PATIENCE: Duration = Duration::from_secs(10);

async fn next(replica: &mut Replica) -> Notice {
    tokio::time::timeout(PATIENCE, replica.next()).await.expect("no notice came")
}

/// Numbers whose locks are held in this database.
async fn locked(admin: &PgPool) -> Vec<i32> {
    sqlx::query_scalar(
        "select distinct objid::bigint::int from pg_locks l join pg_database d on d.oid = l.database
          where locktype = 'advisory' and classid = 4277578 and datname = current_database() order by 1",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

async fn until_locked(admin: &PgPool, expected: &[i32]) {
    let same = async {
        while locked(admin).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, same).await.expect("the locks do not become what they should be");
}

#[tokio::test]
async fn each_replica_has_a_number_and_its_lock_as_long_as_it_lives() {
    let bench = bench().await;
    let admin = bench.db.admin();
    let first = Replica::join(&bench.db.store).await.unwrap();
    let second = Replica::join(&bench.db.store).await.unwrap();
    assert_ne!(first.number(), second.number());
    assert_eq!(locked(&admin).await, [first.number(), second.number()]);
    drop(first);
    until_locked(&admin, &[second.number()]).await;
}

#[tokio::test]
async fn replicas_learn_of_each_other() {
    let bench = bench().await;
    let mut first = Replica::join(&bench.db.store).await.unwrap();
    let mut second = Replica::join(&bench.db.store).await.unwrap();
    assert_eq!(next(&mut first).await, Notice::Peer(second.number()));
    assert_eq!(next(&mut second).await, Notice::Peer(first.number()));
}

#[tokio::test]
async fn hints_and_revocations_arrive_with_the_commit() {
    let bench = bench().await;
    let store = &bench.db.store;
    let mut replica = Replica::join(store).await.unwrap();
    let [anna, ..]: [Owner; 3] = owners();
    let undone = store
        .scoped(&anna, async |tx| {
            hints::send(tx, "never said").await?;
            Err::<(), _>(adjutant_store::error::StoreError::NotFound)
        })
        .await;
    assert!(undone.is_err());
    store.scoped(&anna, async |tx| hints::send(tx, "hello").await).await.unwrap();
    sqlx::query("select key_create('mine', decode(repeat('01', 32), 'hex'), 'anna', '*', 'admin', '', false)")
        .execute(&bench.db.admin())
        .await
        .unwrap();
    store.system("test", async |tx| keys::revoke(tx, "mine").await).await.unwrap();
    assert_eq!(next(&mut replica).await, Notice::Other("hello".to_owned()));
    assert_eq!(next(&mut replica).await, Notice::Key("mine".to_owned()));
}

#[tokio::test]
async fn a_lost_connection_is_said_and_the_same_lock_is_taken_again() {
    let bench = bench().await;
    let admin = bench.db.admin();
    let mut replica = Replica::join(&bench.db.store).await.unwrap();
    let other = Replica::join(&bench.db.store).await.unwrap();
    assert_eq!(next(&mut replica).await, Notice::Peer(other.number()));
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
          where datname = current_database() and application_name = 'adjutant replica ' || $1",
    )
    .bind(replica.number())
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(ended, 1);
    assert_eq!(next(&mut replica).await, Notice::Lost);
    until_locked(&admin, &[other.number()]).await;
    assert_eq!(next(&mut replica).await, Notice::Back);
    assert_eq!(locked(&admin).await, [replica.number(), other.number()]);
    assert_eq!(next(&mut replica).await, Notice::Peer(other.number()));
    bench.db.store.scoped(&owners()[0], async |tx| hints::send(tx, "heard again").await).await.unwrap();
    assert_eq!(next(&mut replica).await, Notice::Other("heard again".to_owned()));
}
