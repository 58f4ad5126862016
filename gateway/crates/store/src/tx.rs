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
    #[cfg(feature = "fault-early-ack")]
    commits_late: bool,
}

impl Tx {
    pub(crate) async fn begin(pool: &PgPool, owner: &Owner, now: &str) -> Result<Self, StoreError> {
        let mut inner = pool.begin().await?;
        set_local(&mut inner, owner.user.as_str(), owner.profile.as_str(), now).await?;
        Ok(Self {
            inner,
            owner: owner.clone(),
            #[cfg(feature = "fault-early-ack")]
            commits_late: false,
        })
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        #[cfg(feature = "fault-early-ack")]
        if self.commits_late {
            fault::commit_late(self.inner);
            return Ok(());
        }
        Ok(self.inner.commit().await?)
    }

    /// A planted fault of the crash test: the caller hears of the commit before it is made.
    #[cfg(feature = "fault-early-ack")]
    pub(crate) fn commit_late(&mut self) {
        self.commits_late = true;
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

/// A planted fault of the crash test: a commit that lingers, so that a kill meanwhile loses what was acknowledged. Never
/// part of a release.
#[cfg(feature = "fault-early-ack")]
pub mod fault {
    use std::time::Duration;

    use sqlx::{Postgres, Transaction};

    pub const LINGERS: Duration = Duration::from_millis(250);

    #[expect(clippy::disallowed_methods, reason = "nobody waits for it: that is the fault")]
    pub(super) fn commit_late(transaction: Transaction<'static, Postgres>) {
        tokio::spawn(async move {
            tokio::time::sleep(LINGERS).await;
            let _ = transaction.commit().await;
        });
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
