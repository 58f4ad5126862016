//! One fresh, migrated database per test, opened as the application role.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use adjutant_core::clock::Clock;
use adjutant_core::scope::{Owner, ProfileName, UserId};
use adjutant_store::pool::Settings;
use adjutant_store::store::Store;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::cluster::{self, TEMPLATE};

pub struct TestDb {
    /// As the server uses it: row security applies.
    pub store: Store,
    name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

impl TestDb {
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// `app_now()` is this clock's time.
    pub async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::with(Some(clock)).await
    }

    async fn with(test_clock: Option<Arc<dyn Clock>>) -> Self {
        let cluster = tokio::task::spawn_blocking(cluster::shared).await.expect("the test database starts");
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = pool(&cluster.admin_url("postgres"), 1);
        let statement = format!("create database {name} template {TEMPLATE} strategy file_copy");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&admin).await.expect("a database for this test");
        // A copy is open to everybody again: who may enter is not part of a template.
        let entry = format!(
            "revoke all on database {name} from public;
             grant connect on database {name} to adjutant_app, adjutant_system"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(entry)).execute(&admin).await.expect("the database is closed to others");
        admin.close().await;
        let settings =
            Settings { app_url: cluster.app_url(&name).into(), admin_url: None, system_url: None, test_clock };
        let store = Store::open(settings).await.expect("the store opens");
        Self { store, name }
    }

    /// `SYSTEM_DB_URL` for a server on this database.
    pub fn app_url(&self) -> String {
        cluster::shared().app_url(&self.name)
    }

    /// `SYSTEM_DB_ADMIN_URL` for it.
    pub fn admin_url(&self) -> String {
        cluster::shared().admin_url(&self.name)
    }

    /// As the superuser, whom no policy stops: for referees and for planting rows.
    pub fn admin(&self) -> PgPool {
        pool(&self.admin_url(), 4)
    }

    /// As the application role, without the doors.
    pub fn bare_app(&self) -> PgPool {
        pool(&self.app_url(), 4)
    }
}

fn pool(url: &str, connections: u32) -> PgPool {
    let options = PgConnectOptions::from_str(url).expect("a database URL");
    PgPoolOptions::new().max_connections(connections).connect_lazy_with(options)
}

pub fn owner(user: &str, profile: &str) -> Owner {
    Owner { user: UserId::parse(user).expect("a user id"), profile: ProfileName::parse(profile).expect("a profile") }
}
