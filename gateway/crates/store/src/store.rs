//! The two doors to data. Everything that reads or writes a row passes [`Store::scoped`] or [`Store::system`]; the
//! pools behind them are private.

use std::sync::Arc;

use adjutant_core::clock::Clock;
use adjutant_core::scope::Owner;
use chrono::SecondsFormat;
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::error::StoreError;
use crate::tx::{SystemTx, Tx};

#[derive(Clone)]
pub struct Store {
    app: PgPool,
    system: PgPool,
    /// For the one connection that listens: it is held for good, so it does not come out of a pool.
    listening: PgConnectOptions,
    test_clock: Option<Arc<dyn Clock>>,
}

impl Store {
    pub(crate) fn new(
        app: PgPool,
        system: PgPool,
        listening: PgConnectOptions,
        test_clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        Self { app, system, listening, test_clock }
    }

    /// Runs `work` in a transaction that sees the rows of `owner` alone: commits when it returns `Ok`, else rolls back.
    ///
    /// No network call belongs inside: load, close, call, open, save.
    pub async fn scoped<T, F>(&self, owner: &Owner, work: F) -> Result<T, StoreError>
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T, StoreError>,
    {
        let mut tx = Tx::begin(&self.app, owner, &self.now()).await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one to tell; the pool cleans up after a connection that cannot even roll back.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Runs `work` as the system role, for the named reason: claiming due work and managing keys, through granted
    /// functions that return ids with their owner. The work itself then runs scoped.
    pub async fn system<T, F>(&self, reason: &'static str, work: F) -> Result<T, StoreError>
    where
        F: AsyncFnOnce(&mut SystemTx) -> Result<T, StoreError>,
    {
        tracing::trace!(store.reason = reason, "the system door opens");
        let mut tx = SystemTx::begin(&self.system, &self.now()).await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    pub(crate) fn app_pool(&self) -> &PgPool {
        &self.app
    }

    pub(crate) fn system_pool(&self) -> &PgPool {
        &self.system
    }

    pub(crate) fn listening(&self) -> &PgConnectOptions {
        &self.listening
    }

    /// The injected time as `app_now()` reads it; empty means the database's own clock.
    pub(crate) fn now(&self) -> String {
        self.test_clock
            .as_ref()
            .map(|clock| clock.now().to_rfc3339_opts(SecondsFormat::Micros, true))
            .unwrap_or_default()
    }
}
