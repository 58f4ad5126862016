//! API keys: who a presented key is, and managing keys. Only hashes arrive here. The table is closed to both serving
//! roles; each query is one function of the first migration.

use adjutant_core::scope::{ProfileName, Role, UserId};
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::SystemTx;

/// SHA-256 of the whole presented key.
pub type KeyHash = [u8; 32];

/// Which profiles a key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProfile {
    /// `*`: the client picks one with each request.
    Any,
    One(ProfileName),
}

impl KeyProfile {
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" { Some(Self::Any) } else { ProfileName::parse(text).ok().map(Self::One) }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::One(profile) => profile.as_str(),
        }
    }
}

/// Who a valid key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIdentity {
    /// The public part by which it is listed and revoked.
    pub key_id: String,
    pub user: UserId,
    pub profile: KeyProfile,
    pub role: Role,
    pub allow_operator_llm: bool,
}

#[derive(Debug, Clone)]
pub struct NewKey {
    pub identity: KeyIdentity,
    pub hash: KeyHash,
    pub label: String,
}

/// A key as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    pub identity: KeyIdentity,
    pub label: String,
    pub created_at: DateTime<Utc>,
    /// Within ten minutes.
    pub last_used: Option<DateTime<Utc>>,
    pub is_revoked: bool,
}

impl Store {
    /// Whose key this is; `None` for an unknown and for a revoked one alike.
    pub async fn key_lookup(&self, hash: &KeyHash) -> Result<Option<KeyIdentity>, StoreError> {
        let mut tx = SystemTx::begin(self.app_pool(), &self.now()).await?;
        let row = sqlx::query!(
            r#"select key_id as "key_id!", user_id as "user_id!", profile_name as "profile!", role as "role!",
                      allow_operator_llm as "allow_operator_llm!"
                 from key_lookup($1)"#,
            hash.as_slice()
        )
        .fetch_optional(tx.conn())
        .await?;
        tx.commit().await?;
        row.map(|row| identity(row.key_id, &row.user_id, &row.profile, &row.role, row.allow_operator_llm)).transpose()
    }
}

/// Conflicts with `api_keys_pkey` or `api_keys_key_hash_key` when there is such a key already.
pub async fn create(tx: &mut SystemTx, new: &NewKey) -> Result<(), StoreError> {
    let identity = &new.identity;
    sqlx::query!(
        "select key_create($1, $2, $3, $4, $5, $6, $7)",
        identity.key_id,
        new.hash.as_slice(),
        identity.user.as_str(),
        identity.profile.as_str(),
        identity.role.as_str(),
        new.label,
        identity.allow_operator_llm
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Adds the first key; `false` when there are keys, revoked ones included.
pub async fn seed(tx: &mut SystemTx, new: &NewKey) -> Result<bool, StoreError> {
    let identity = &new.identity;
    let seeded = sqlx::query_scalar!(
        r#"select key_seed($1, $2, $3, $4, $5, $6, $7) as "seeded!""#,
        identity.key_id,
        new.hash.as_slice(),
        identity.user.as_str(),
        identity.profile.as_str(),
        identity.role.as_str(),
        new.label,
        identity.allow_operator_llm
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(seeded)
}

/// All keys, oldest first.
pub async fn list(tx: &mut SystemTx) -> Result<Vec<KeyEntry>, StoreError> {
    let rows = sqlx::query!(
        r#"select key_id as "key_id!", user_id as "user_id!", profile_name as "profile!", role as "role!",
                  label as "label!", created_at as "created_at!", last_used, is_revoked as "is_revoked!",
                  allow_operator_llm as "allow_operator_llm!"
             from key_list()"#
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(KeyEntry {
                identity: identity(row.key_id, &row.user_id, &row.profile, &row.role, row.allow_operator_llm)?,
                label: row.label,
                created_at: row.created_at,
                last_used: row.last_used,
                is_revoked: row.is_revoked,
            })
        })
        .collect()
}

/// Takes effect with the commit, which also tells every replica.
pub async fn revoke(tx: &mut SystemTx, key_id: &str) -> Result<(), StoreError> {
    let found = sqlx::query_scalar!(r#"select key_revoke($1) as "found!""#, key_id).fetch_one(tx.conn()).await?;
    if found { Ok(()) } else { Err(StoreError::NotFound) }
}

pub(crate) fn identity(
    key_id: String,
    user: &str,
    profile: &str,
    role: &str,
    allow_operator_llm: bool,
) -> Result<KeyIdentity, StoreError> {
    Ok(KeyIdentity {
        key_id,
        user: UserId::parse(user).map_err(StoreError::bug)?,
        profile: KeyProfile::parse(profile).ok_or_else(|| StoreError::bug("unknown form of a key's profile"))?,
        role: Role::parse(role).ok_or_else(|| StoreError::bug("unknown role of a key"))?,
        allow_operator_llm,
    })
}
