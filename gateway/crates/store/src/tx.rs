//! The two transactions that query functions receive: [`Tx`] of one owner, [`SystemTx`] across owners. Neither hands
//! its connection out of this crate.

use adjutant_core::scope::Owner;
use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::error::StoreError;

/// An open transaction of one owner: row security shows it that owner's rows and no others.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    owner: Owner,
}

impl Tx {
    pub(crate) async fn begin(pool: &PgPool, owner: &Owner, now: &str) -> Result<Self, StoreError> {
        let mut inner = pool.begin().await?;
        set_local(&mut inner, owner.user.as_str(), owner.profile.as_str(), now).await?;
        Ok(Self { inner, owner: owner.clone() })
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

/// An open transaction of nobody: no row of a user is visible to it, only granted functions work.
pub struct SystemTx {
    inner: Transaction<'static, Postgres>,
}

impl SystemTx {
    pub(crate) async fn begin(pool: &PgPool, now: &str) -> Result<Self, StoreError> {
        let mut inner = pool.begin().await?;
        set_local(&mut inner, "", "", now).await?;
        Ok(Self { inner })
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

/// Local to the transaction, so that nothing of it survives on a pooled connection. Empty means absent.
async fn set_local(conn: &mut PgConnection, user: &str, profile: &str, now: &str) -> Result<(), StoreError> {
    sqlx::query(
        "select set_config('app.user_id', $1, true), set_config('app.profile', $2, true), set_config('app.now', $3, true)",
    )
    .bind(user)
    .bind(profile)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
