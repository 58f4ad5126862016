//! The end of an account. Each query is one function of a migration, which reads from the catalog what there is to delete.

use adjutant_core::limits;
use adjutant_core::scope::UserId;

use crate::error::StoreError;
use crate::tx::{SystemTx, Tx};

/// What came of the wish to end an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nobody but the key that asks gets in any more.
    Closed,
    Deleted,
    /// The last admin: the user and the key that asked are still there, and nothing else.
    Kept,
    /// The key that asks was revoked meanwhile.
    Gone,
    /// The key that asks opens one profile alone.
    OneProfile,
    /// The server would be left without an admin, and the key that asks is none's.
    AdminOnly,
}

/// Revokes all keys of this user but the one that asks. Takes effect with the commit, which also tells every replica.
pub async fn close(tx: &mut Tx, by_key: &str) -> Result<Ending, StoreError> {
    let ending = sqlx::query_scalar!(r#"select account_close($1) as "ending!""#, by_key).fetch_one(tx.conn()).await?;
    read(&ending)
}

/// Deletes all rows of this user. Takes effect with the commit, which also tells every replica.
pub async fn delete(tx: &mut Tx, by_key: &str) -> Result<Ending, StoreError> {
    // One statement that deletes all of a large account may take longer than others.
    let patience = limits::ACCOUNT_DELETE.as_millis().to_string();
    sqlx::query_scalar!("select set_config('statement_timeout', $1, true)", patience).fetch_one(tx.conn()).await?;
    let ending = sqlx::query_scalar!(r#"select account_delete($1) as "ending!""#, by_key).fetch_one(tx.conn()).await?;
    read(&ending)
}

/// Deletes what a request that began before still wrote for a user who is gone.
pub async fn sweep(tx: &mut SystemTx, user: &UserId) -> Result<(), StoreError> {
    sqlx::query_scalar!("select account_sweep($1)", user.as_str()).fetch_one(tx.conn()).await?;
    Ok(())
}

fn read(text: &str) -> Result<Ending, StoreError> {
    match text {
        "closed" => Ok(Ending::Closed),
        "deleted" => Ok(Ending::Deleted),
        "kept" => Ok(Ending::Kept),
        "gone" => Ok(Ending::Gone),
        "other_profile" => Ok(Ending::OneProfile),
        "admin_only" => Ok(Ending::AdminOnly),
        other => Err(StoreError::bug(format!("unknown end of an account: {other}"))),
    }
}
