//! Device keys: browsers that were signed in with a key. Only hashes arrive here. The table is closed to both serving
//! roles; each query is one function of the migration. What a device may do is what its key may do at that moment.

use std::time::Duration;

use adjutant_core::limits;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::keys::{self, KeyHash, KeyIdentity, KeyProfile};
use crate::runs::interval;
use crate::store::Store;
use crate::tx::{SystemTx, Tx};

const IDLE: Duration = limits::SESSION_IDLE;

/// A device key that exists nowhere but at its maker until its hash is stored.
#[derive(Debug, Clone)]
pub struct NewDevice {
    pub id: String,
    pub hash: KeyHash,
    /// What a person knows the browser by.
    pub label: String,
    /// The one that this browser had until now, if any.
    pub instead_of: Option<KeyHash>,
}

/// A device as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: String,
    pub profile: KeyProfile,
    pub label: String,
    pub created_at: DateTime<Utc>,
    /// Within ten minutes.
    pub last_used: DateTime<Utc>,
}

impl Store {
    /// The device and the key of this hash; `None` when either is unknown or revoked, or the device was unused too long.
    pub async fn device_lookup(&self, hash: &KeyHash) -> Result<Option<(String, KeyIdentity)>, StoreError> {
        let mut tx = SystemTx::begin(self.app_pool(), &self.now()).await?;
        let row = sqlx::query!(
            r#"select device_id as "device_id!", key_id as "key_id!", user_id as "user_id!", profile_name as "profile!",
                      role as "role!", allow_operator_llm as "allow_operator_llm!"
                 from device_lookup($1, $2)"#,
            hash.as_slice(),
            interval(IDLE)
        )
        .fetch_optional(tx.conn())
        .await?;
        tx.commit().await?;
        row.map(|row| {
            let identity = keys::identity(row.key_id, &row.user_id, &row.profile, &row.role, row.allow_operator_llm)?;
            Ok((row.device_id, identity))
        })
        .transpose()
    }
}

/// Signs a browser in under a key of this user. [`StoreError::NotFound`]: the key was revoked meanwhile.
pub async fn create(tx: &mut Tx, by_key: &str, new: &NewDevice) -> Result<(), StoreError> {
    let created = sqlx::query_scalar!(
        r#"select device_create($1, $2, $3, $4, $5, $6, $7) as "created!""#,
        new.id,
        new.hash.as_slice(),
        by_key,
        new.label,
        new.instead_of.as_ref().map(KeyHash::as_slice),
        limits::DEVICES,
        interval(IDLE)
    )
    .fetch_one(tx.conn())
    .await?;
    if created { Ok(()) } else { Err(StoreError::NotFound) }
}

/// The devices of this user that a key for `reach` may know, the one used last first.
pub async fn list(tx: &mut Tx, reach: &KeyProfile) -> Result<Vec<Device>, StoreError> {
    let rows = sqlx::query!(
        r#"select device_id as "id!", profile_name as "profile!", label as "label!", created_at as "created_at!",
                  last_used as "last_used!"
             from device_list($1, $2)"#,
        reach.as_str(),
        interval(IDLE)
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let profile = KeyProfile::parse(&row.profile);
            Ok(Device {
                id: row.id,
                profile: profile.ok_or_else(|| StoreError::bug("unknown form of a key's profile"))?,
                label: row.label,
                created_at: row.created_at,
                last_used: row.last_used,
            })
        })
        .collect()
}

/// Takes effect with the commit, which also tells every replica.
pub async fn revoke(tx: &mut Tx, device_id: &str, reach: &KeyProfile) -> Result<(), StoreError> {
    let found = sqlx::query_scalar!(r#"select device_revoke($1, $2) as "found!""#, device_id, reach.as_str())
        .fetch_one(tx.conn())
        .await?;
    if found { Ok(()) } else { Err(StoreError::NotFound) }
}
