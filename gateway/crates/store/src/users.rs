//! Users: people who can sign in, and what they may have the operator pay for. The table is closed to both
//! serving roles; each query is one function of the migration.

use adjutant_core::scope::{ProfileName, Rights, Role, UserId};
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::tx::{SystemTx, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    pub user: UserId,
    pub display_name: String,
    pub allow_operator_llm: bool,
}

/// A user as a list shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    pub user: UserId,
    pub display_name: String,
    pub allow_operator_llm: bool,
    pub is_disabled: bool,
    pub created_at: DateTime<Utc>,
    pub profiles: Vec<ProfileName>,
    pub valid_keys: i64,
}

/// What to change of a user; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserChange {
    pub allow_operator_llm: Option<bool>,
    pub is_disabled: Option<bool>,
}

/// What a user may know of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSelf {
    pub display_name: String,
    pub allow_operator_llm: bool,
}

/// Adds a user with the profile `personal`; `false` when there is one of that name, who stays as they are.
pub async fn add(tx: &mut SystemTx, new: &NewUser) -> Result<bool, StoreError> {
    let added = sqlx::query_scalar!(
        r#"select user_add($1, $2, $3) as "added!""#,
        new.user.as_str(),
        new.display_name,
        new.allow_operator_llm
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(added)
}

/// All users, oldest first.
pub async fn list(tx: &mut SystemTx) -> Result<Vec<UserEntry>, StoreError> {
    let rows = sqlx::query!(
        r#"select user_id as "user_id!", display_name as "display_name!", allow_operator_llm as "allow_operator_llm!",
                  is_disabled as "is_disabled!", created_at as "created_at!", profiles as "profiles!",
                  valid_keys as "valid_keys!"
             from user_list()"#
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let profiles: Result<Vec<_>, _> = row.profiles.iter().map(|name| ProfileName::parse(name)).collect();
            Ok(UserEntry {
                user: UserId::parse(&row.user_id).map_err(StoreError::bug)?,
                display_name: row.display_name,
                allow_operator_llm: row.allow_operator_llm,
                is_disabled: row.is_disabled,
                created_at: row.created_at,
                profiles: profiles.map_err(StoreError::bug)?,
                valid_keys: row.valid_keys,
            })
        })
        .collect()
}

/// Takes effect with the commit, which also makes every replica look the user's keys up again.
pub async fn change(tx: &mut SystemTx, user: &UserId, change: UserChange) -> Result<(), StoreError> {
    let found = sqlx::query_scalar!(
        r#"select user_change($1, $2, $3) as "found!""#,
        user.as_str(),
        change.allow_operator_llm,
        change.is_disabled
    )
    .fetch_one(tx.conn())
    .await?;
    if found { Ok(()) } else { Err(StoreError::NotFound) }
}

/// The user of this transaction.
pub async fn myself(tx: &mut Tx) -> Result<UserSelf, StoreError> {
    let row = sqlx::query!(
        r#"select display_name as "display_name!", allow_operator_llm as "allow_operator_llm!" from user_self()"#
    )
    .fetch_optional(tx.conn())
    .await?;
    let found = row.map(|row| UserSelf { display_name: row.display_name, allow_operator_llm: row.allow_operator_llm });
    Ok(found.unwrap_or_default())
}

/// What a run of this owner may do now, with the key that it was asked for with.
pub async fn rights(tx: &mut Tx, key_id: Option<&str>) -> Result<Rights, StoreError> {
    let row = sqlx::query!(
        r#"select is_active as "is_active!", operator_llm as "operator_llm!", role as "role!" from run_rights($1)"#,
        key_id
    )
    .fetch_one(tx.conn())
    .await?;
    let role = Role::parse(&row.role).ok_or_else(|| StoreError::bug("unknown role of a key"))?;
    Ok(Rights { is_active: row.is_active, operator_llm: row.operator_llm, role })
}
