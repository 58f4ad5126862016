//! Wake-ups for other replicas, sent with the commit that causes them. A lost one costs time, never
//! data, so a payload holds ids and numbers only.

use crate::error::StoreError;
use crate::tx::Tx;

/// The channel on which all replicas listen.
pub const CHANNEL: &str = "adjutant";

/// Sends a hint when the transaction commits.
pub async fn send(tx: &mut Tx, payload: &str) -> Result<(), StoreError> {
    sqlx::query!("select pg_notify($1, $2)", CHANNEL, payload).execute(tx.conn()).await?;
    Ok(())
}
