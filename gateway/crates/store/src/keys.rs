//! API keys: who a presented key is, and managing keys. Only hashes arrive here. The table is closed to both serving
//! roles; each query is one function of a migration.

use adjutant_core::limits;
use adjutant_core::scope::{ProfileName, Role, UserId};
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{SystemTx, Tx};

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

/// A valid key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    pub key_id: String,
    pub profile: KeyProfile,
    pub role: Role,
    pub label: String,
    pub created_at: DateTime<Utc>,
    /// Within ten minutes.
    pub last_used: Option<DateTime<Utc>>,
}

/// A key that its owner makes with another one.
#[derive(Debug, Clone)]
pub struct NewOwnKey {
    pub key_id: String,
    pub hash: KeyHash,
    pub profile: KeyProfile,
    pub role: Role,
    pub label: String,
}

/// What came of making or revoking a key with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// The key that asks was revoked meanwhile.
    Gone,
    /// The key that asks opens another profile.
    OtherProfile,
    /// The key that asks is no admin's.
    AdminOnly,
    UnknownProfile,
    TooMany,
}

/// The user's valid keys that this one may know of, newest first.
pub async fn own(
    tx: &mut Tx,
    by_key: &str,
    before: Option<&(DateTime<Utc>, String)>,
    limit: i64,
) -> Result<Vec<OwnKey>, StoreError> {
    let rows = sqlx::query!(
        r#"select key_id as "key_id!", profile_name as "profile!", role as "role!", label as "label!",
                  created_at as "created_at!", last_used
             from own_keys($1, $2, $3, $4)"#,
        by_key,
        before.map(|(at, _)| *at),
        before.map(|(_, id)| id.as_str()),
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(OwnKey {
                key_id: row.key_id,
                profile: key_profile(&row.profile)?,
                role: key_role(&row.role)?,
                label: row.label,
                created_at: row.created_at,
                last_used: row.last_used,
            })
        })
        .collect()
}

/// Makes a key that may do no more than the one that asks; with [`Verdict::Done`] comes when it was made.
pub async fn create_own(
    tx: &mut Tx,
    by_key: &str,
    new: &NewOwnKey,
) -> Result<(Verdict, Option<DateTime<Utc>>), StoreError> {
    let row = sqlx::query!(
        r#"select verdict as "verdict!", made_at from own_key_create($1, $2, $3, $4, $5, $6, $7)"#,
        by_key,
        new.key_id,
        new.hash.as_slice(),
        new.profile.as_str(),
        new.role.as_str(),
        new.label,
        limits::KEYS
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((read_verdict(&row.verdict)?, row.made_at))
}

/// Takes effect with the commit, which also tells every replica.
pub async fn revoke_own(tx: &mut Tx, by_key: &str, key_id: &str) -> Result<Verdict, StoreError> {
    let verdict = sqlx::query_scalar!(r#"select own_key_revoke($1, $2) as "verdict!""#, by_key, key_id)
        .fetch_one(tx.conn())
        .await?;
    read_verdict(&verdict)
}

fn read_verdict(text: &str) -> Result<Verdict, StoreError> {
    match text {
        "made" | "revoked" => Ok(Verdict::Done),
        "gone" => Ok(Verdict::Gone),
        "other_profile" => Ok(Verdict::OtherProfile),
        "admin_only" => Ok(Verdict::AdminOnly),
        "unknown_profile" => Ok(Verdict::UnknownProfile),
        "too_many" => Ok(Verdict::TooMany),
        "unknown" => Err(StoreError::NotFound),
        other => Err(StoreError::bug(format!("unknown verdict about a key: {other}"))),
    }
}

fn key_profile(text: &str) -> Result<KeyProfile, StoreError> {
    KeyProfile::parse(text).ok_or_else(|| StoreError::bug("unknown form of a key's profile"))
}

fn key_role(text: &str) -> Result<Role, StoreError> {
    Role::parse(text).ok_or_else(|| StoreError::bug("unknown role of a key"))
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
        profile: key_profile(profile)?,
        role: key_role(role)?,
        allow_operator_llm,
    })
}
