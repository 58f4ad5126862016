//! What the doors promise to callers.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use adjutant_core::clock::{Clock, FakeClock};
use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::store::Store;
use adjutant_store::threads::{self, Kind};
use adjutant_store::tx::Tx;
use adjutant_testkit::db::TestDb;
use sqlx::postgres::PgPool;

use crate::support::{bench, owners};

const PATIENCE: Duration = Duration::from_secs(10);

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

#[tokio::test]
async fn an_error_rolls_back_and_a_value_commits() {
    let bench = bench().await;
    let store = &bench.db.store;
    let [anna, ..] = owners();
    let (kept, undone) = (ThreadId::new(), ThreadId::new());
    store.scoped(&anna, async |tx| threads::insert(tx, kept, Kind::Listed).await).await.unwrap();
    let error = store
        .scoped(&anna, async |tx| {
            threads::insert(tx, undone, Kind::Listed).await?;
            Err::<(), _>(StoreError::FenceLost)
        })
        .await;
    assert!(matches!(error, Err(StoreError::FenceLost)));
    assert!(store.scoped(&anna, async |tx| threads::lock(tx, kept).await).await.is_ok());
    let gone = store.scoped(&anna, async |tx| threads::lock(tx, undone).await).await;
    assert!(matches!(gone, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn the_injected_clock_is_the_time_of_the_database() {
    let clock = Arc::new(FakeClock::at("2031-05-06T07:08:09.123456Z".parse().unwrap()));
    let db = TestDb::with_clock(clock.clone()).await;
    let [anna, ..] = owners();
    let listed = db
        .store
        .scoped(&anna, async |tx| {
            threads::insert(tx, ThreadId::new(), Kind::Listed).await?;
            threads::list(tx, threads::Filter::default(), None, 1).await
        })
        .await
        .unwrap();
    assert_eq!(listed[0].created_at, clock.now());
}

/// Sessions of the serving roles that are not simply idle.
async fn busy(admin: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select state || ': ' || query from pg_stat_activity
          where datname = current_database() and usename in ('adjutant_app', 'adjutant_system') and state <> 'idle'",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

async fn use_all_connections(store: &Store, owner: &Owner) {
    let requests = (0..limits::DB_CONNECTIONS)
        .map(|_| store.scoped(owner, async |tx| threads::list(tx, threads::Filter::default(), None, 1).await));
    for served in futures::future::join_all(requests).await {
        served.unwrap();
    }
}

/// Polls the future so often at most, then drops it.
async fn cut_after<F: Future>(polls: u32, future: F) {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_requests_leave_no_transaction_open() {
    let bench = bench().await;
    let (store, admin) = (&bench.db.store, bench.db.admin());
    let [anna, ..] = owners();
    // Looked at after every round: the next user of a connection would end what the one before left open.
    for round in 0..240 {
        let polls = 1 + round % 12;
        // A request cut while it connects proves nothing.
        use_all_connections(store, &anna).await;
        let requests = (0..limits::DB_CONNECTIONS).map(|_| {
            let (store, anna) = (store.clone(), anna.clone());
            tokio::spawn(async move {
                cut_after(
                    polls,
                    store.scoped(&anna, async |tx| threads::insert(tx, ThreadId::new(), Kind::Listed).await),
                )
                .await;
            })
        });
        for request in futures::future::join_all(requests).await {
            request.unwrap();
        }
        let mut left = busy(&admin).await;
        let clean = async {
            while !left.is_empty() {
                left = busy(&admin).await;
            }
        };
        let clean = tokio::time::timeout(PATIENCE, clean).await;
        assert!(clean.is_ok(), "left open after {polls} polls: {left:#?}");
    }
    use_all_connections(store, &anna).await;
}

#[tokio::test]
async fn a_server_that_ends_sessions_costs_no_later_request() {
    let bench = bench().await;
    let (store, admin) = (&bench.db.store, bench.db.admin());
    let [anna, ..] = owners();
    store.scoped(&anna, async |tx| threads::list(tx, threads::Filter::default(), None, 1).await).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
          where datname = current_database() and usename = 'adjutant_app'",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert!(ended >= 1);
    let within = async {
        // The first one may still meet the dead session; its error says that another try may help.
        while let Err(error) =
            store.scoped(&anna, async |tx| threads::list(tx, threads::Filter::default(), None, 1).await).await
        {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    };
    tokio::time::timeout(PATIENCE, within).await.unwrap();
}
