//! Profiles: one row each, seen from within alone. Names of a user's other profiles come through a function.

use adjutant_core::profile::{ProfileOrigin, ProfileSettings, parse_time_zone};
use adjutant_core::scope::{ProfileName, Rights, Role};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::error::StoreError;
use crate::tx::Tx;

/// A profile as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub settings: ProfileSettings,
    pub origin: ProfileOrigin,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A profile as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileEntry {
    pub name: ProfileName,
    pub display_name: String,
}

/// Whether a profile was there before it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    New,
    /// Also when the same was there already.
    Changed,
    /// A person wrote it last, and the file must not overwrite that.
    Kept,
}

/// Why a profile was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    Deleted,
    /// There is always a profile `personal`.
    Personal,
    /// Runs are going in it.
    Busy,
}

/// The profile of this transaction; `NotFound` where there is no row.
pub async fn load(tx: &mut Tx) -> Result<Profile, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        "select display_name, models, system_prompt, user_context, time_zone, allowed_servers, origin, created_at,
                updated_at
           from profiles where user_id = $1 and profile = $2",
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound)?;
    Ok(Profile {
        settings: ProfileSettings {
            display_name: row.display_name,
            models: row.models,
            system_prompt: row.system_prompt,
            user_context: row.user_context,
            time_zone: parse_time_zone(&row.time_zone).map_err(StoreError::bug)?,
            allowed_servers: row.allowed_servers,
        },
        origin: ProfileOrigin::parse(&row.origin).ok_or_else(|| StoreError::bug("unknown origin of a profile"))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// What a run needs to know of whom it works for, in one look.
#[derive(Debug, Clone)]
pub struct Employer {
    pub rights: Rights,
    /// The default ones where the profile has no row.
    pub settings: ProfileSettings,
    /// The time of this transaction, which is that of the rows that it writes.
    pub now: DateTime<Utc>,
}

/// The profile of this transaction, and what a run with this key may do in it.
pub async fn employer(tx: &mut Tx, key_id: Option<&str>) -> Result<Employer, StoreError> {
    let owner = tx.owner().clone();
    let row = sqlx::query!(
        r#"select r.is_active as "is_active!", r.operator_llm as "operator_llm!", r.role as "role!", app_now() as "now!",
                  p.display_name as "display_name?", p.models as "models?", p.system_prompt, p.user_context,
                  p.time_zone as "time_zone?", p.allowed_servers
             from run_rights($3) r left join profiles p on p.user_id = $1 and p.profile = $2"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        key_id,
    )
    .fetch_one(tx.conn())
    .await?;
    let role = Role::parse(&row.role).ok_or_else(|| StoreError::bug("unknown role of a key"))?;
    let rights = Rights { is_active: row.is_active, operator_llm: row.operator_llm, role };
    let zone = row.time_zone.as_deref().map(parse_time_zone).transpose().map_err(StoreError::bug)?;
    let settings = ProfileSettings {
        display_name: row.display_name.unwrap_or_default(),
        models: row.models.unwrap_or_default(),
        system_prompt: row.system_prompt,
        user_context: row.user_context,
        time_zone: zone.unwrap_or(Tz::UTC),
        allowed_servers: row.allowed_servers,
    };
    Ok(Employer { rights, settings, now: row.now })
}

/// Writes the profile of this transaction whole. What a person wrote stays when the file says something else.
pub async fn put(tx: &mut Tx, settings: &ProfileSettings, origin: ProfileOrigin) -> Result<Written, StoreError> {
    let owner = tx.owner().clone();
    let is_new = sqlx::query_scalar!(
        r#"insert into profiles (user_id, profile, display_name, models, system_prompt, user_context, time_zone,
                                 allowed_servers, origin)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           on conflict (user_id, profile) do update
              set display_name = excluded.display_name, models = excluded.models,
                  system_prompt = excluded.system_prompt, user_context = excluded.user_context,
                  time_zone = excluded.time_zone, allowed_servers = excluded.allowed_servers,
                  origin = excluded.origin,
                  updated_at = case when (profiles.display_name, profiles.models, profiles.system_prompt,
                                          profiles.user_context, profiles.time_zone, profiles.allowed_servers)
                      is not distinct from (excluded.display_name, excluded.models, excluded.system_prompt,
                                            excluded.user_context, excluded.time_zone, excluded.allowed_servers)
                      then profiles.updated_at else app_now() end
            where profiles.user_id = $1 and profiles.profile = $2
              and (excluded.origin = 'person' or profiles.origin <> 'person')
           returning (xmax = 0) as "is_new!""#,
        owner.user.as_str(),
        owner.profile.as_str(),
        settings.display_name,
        &settings.models,
        settings.system_prompt,
        settings.user_context,
        settings.time_zone.name(),
        settings.allowed_servers.as_deref(),
        origin.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(match is_new {
        Some(true) => Written::New,
        Some(false) => Written::Changed,
        None => Written::Kept,
    })
}

/// All profiles of the user of this transaction, by name.
pub async fn names(tx: &mut Tx) -> Result<Vec<ProfileEntry>, StoreError> {
    let rows = sqlx::query!(r#"select profile as "profile!", display_name as "display_name!" from profile_names()"#)
        .fetch_all(tx.conn())
        .await?;
    rows.into_iter()
        .map(|row| {
            let name = ProfileName::parse(&row.profile).map_err(StoreError::bug)?;
            Ok(ProfileEntry { name, display_name: row.display_name })
        })
        .collect()
}

/// Whether the profile of this transaction has a row.
pub async fn exists(tx: &mut Tx) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    let found = sqlx::query_scalar!(
        r#"select exists (select from profiles where user_id = $1 and profile = $2) as "found!""#,
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}

/// Deletes the profile of this transaction with all that it holds. Takes effect with the commit, which also
/// tells every replica.
pub async fn delete(tx: &mut Tx) -> Result<Deletion, StoreError> {
    let done = sqlx::query_scalar!(r#"select profile_delete() as "done!""#).fetch_one(tx.conn()).await?;
    match done.as_str() {
        "deleted" => Ok(Deletion::Deleted),
        "personal" => Ok(Deletion::Personal),
        "busy" => Ok(Deletion::Busy),
        "unknown" => Err(StoreError::NotFound),
        other => Err(StoreError::bug(format!("unknown end of a deletion: {other}"))),
    }
}
