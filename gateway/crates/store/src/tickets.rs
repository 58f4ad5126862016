//! One-use tickets for the WebSocket, which browsers can give no header. In the database, so that any replica takes one
//! that another made. Only hashes arrive here.

use adjutant_core::limits;
use adjutant_core::scope::{Owner, ProfileName, UserId};

use crate::error::StoreError;
use crate::keys::KeyHash;
use crate::runs::interval;
use crate::store::Store;
use crate::tx::{SystemTx, Tx};

/// By whose credential a ticket was made, and for whom it opens a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub by: TicketOf,
    pub owner: Owner,
}

/// The hash leads to the credential as it is now: one that was revoked meanwhile opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketOf {
    Key(KeyHash),
    Device(KeyHash),
}

impl Store {
    /// Takes a ticket. `None`: it is unknown, was taken before or is too old.
    pub async fn ticket_take(&self, hash: &KeyHash) -> Result<Option<Ticket>, StoreError> {
        let mut tx = SystemTx::begin(self.app_pool(), &self.now()).await?;
        let row = sqlx::query!(
            r#"select credential_hash as "credential_hash!", is_device as "is_device!", user_id as "user_id!",
                      profile as "profile!"
                 from ticket_take($1)"#,
            hash.as_slice()
        )
        .fetch_optional(tx.conn())
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        let hash = KeyHash::try_from(row.credential_hash.as_slice()).map_err(StoreError::bug)?;
        let user = UserId::parse(&row.user_id).map_err(StoreError::bug)?;
        let profile = ProfileName::parse(&row.profile).map_err(StoreError::bug)?;
        let by = if row.is_device { TicketOf::Device(hash) } else { TicketOf::Key(hash) };
        Ok(Some(Ticket { by, owner: Owner { user, profile } }))
    }
}

/// Stores a ticket for the owner of this transaction; `false` when too many wait to be used.
pub async fn create(tx: &mut Tx, hash: &KeyHash, key: &str, device: Option<&str>) -> Result<bool, StoreError> {
    let created = sqlx::query_scalar!(
        r#"select ticket_create($1, $2, $3, $4, $5) as "created!""#,
        hash.as_slice(),
        key,
        device,
        interval(limits::TICKET_LIFE),
        limits::TICKETS
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(created)
}
