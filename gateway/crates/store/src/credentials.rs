//! Credentials of users: secrets that the vault encrypted, each for one service, one origin, and one profile or all of
//! its user's. A row under an old key is encrypted anew when it is read. Nothing here shows a secret by accident: only
//! [`get`], [`model_keys`] and [`for_server`] hand one out.

use adjutant_core::credential::{HeaderMapping, Secret, Service};
use adjutant_core::limits;
use adjutant_core::model::ProviderKey;
use adjutant_core::scope::{Owner, ProfileName, UserId};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::hints;
use crate::tx::{SystemTx, Tx};
use crate::vault::{Sealed, Sealing, Vault, VaultError};

const TABLE: &str = "user_credentials";
const COLUMN: &str = "token_data";
const SCOPE_MAX: usize = 300;
const ALL_PROFILES: &str = "*";

/// For which profiles of its user a credential holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The profile of the transaction.
    Profile,
    AllProfiles,
}

impl Reach {
    fn profile(self, owner: &Owner) -> &str {
        match self {
            Self::Profile => owner.profile.as_str(),
            Self::AllProfiles => ALL_PROFILES,
        }
    }

    fn of(profile: &str) -> Self {
        if profile == ALL_PROFILES { Self::AllProfiles } else { Self::Profile }
    }
}

/// Scopes as they may be stored: words, without repetition.
pub fn check_scopes(mut scopes: Vec<String>) -> Result<Vec<String>, &'static str> {
    let plain = |scope: &String| (1..=SCOPE_MAX).contains(&scope.len()) && scope.bytes().all(|c| c.is_ascii_graphic());
    if scopes.len() > limits::CREDENTIAL_SCOPES {
        return Err("there are too many scopes");
    }
    if !scopes.iter().all(plain) {
        return Err("a scope is 1 to 300 visible ASCII characters without spaces");
    }
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

#[derive(Debug, Clone)]
pub struct NewCredential {
    pub service: Service,
    pub secret: Secret,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Scheme, host and port to which it may be sent.
    pub origin: String,
}

/// A stored credential with its secret.
#[derive(Debug, Clone)]
pub struct Credential {
    pub service: Service,
    pub reach: Reach,
    pub secret: Secret,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub origin: String,
}

/// A stored credential as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialEntry {
    pub service: Service,
    pub reach: Reach,
    /// Of its secret; `None` also for one that cannot be read.
    pub last_four: Option<String>,
    pub preferred_model: Option<String>,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub origin: String,
    pub key_id: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub unusable: Option<Unusable>,
}

/// Why a stored credential cannot be used. Whoever wants to use it must refuse: nothing else may take its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Unreadable(VaultError),
    #[error("has expired: store a new one")]
    Expired,
    #[error("was stored for another address than the one it would be sent to now: store it again")]
    Elsewhere,
}

impl Unusable {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "credential_unreadable",
            Self::Expired => "credential_expired",
            Self::Elsewhere => "credential_elsewhere",
        }
    }
}

/// A row that is still encrypted.
struct Row {
    profile: String,
    service: Service,
    sealed: Sealed,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
    is_expired: bool,
    origin: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn place<'a>(user: &'a UserId, profile: &'a str, row: &'a [&'a str; 1], origin: &'a str) -> Sealing<'a> {
        Sealing { table: TABLE, column: COLUMN, user: user.as_str(), profile, row, service: row[0], origin }
    }

    fn open(&self, user: &UserId, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, Unusable> {
        let key = [self.service.as_str()];
        vault.open(&Self::place(user, &self.profile, &key, &self.origin), &self.sealed).map_err(Unusable::Unreadable)
    }

    fn unusable(&self, why: Unusable) -> StoreError {
        StoreError::Credential { service: self.service.clone(), why }
    }
}

/// Stores the credential in place of one for the same service and reach; `true` when there was none.
pub async fn put(tx: &mut Tx, vault: &Vault, reach: Reach, new: &NewCredential) -> Result<bool, StoreError> {
    let owner = tx.owner().clone();
    let profile = reach.profile(&owner);
    let others = sqlx::query_scalar!(
        r#"select count(*) as "count!" from user_credentials
            where user_id = $1 and (profile = $2 or profile = '*') and service <> $3"#,
        owner.user.as_str(),
        owner.profile.as_str(),
        new.service.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    if others >= limits::CREDENTIALS {
        return Err(StoreError::Invalid("credentials".to_owned()));
    }
    let plain = Zeroizing::new(serde_json::to_vec(&new.secret.expose()).map_err(StoreError::bug)?);
    let key = [new.service.as_str()];
    let sealed = vault.seal(&Row::place(&owner.user, profile, &key, &new.origin), &plain).map_err(not_sealed)?;
    let is_new = sqlx::query_scalar!(
        r#"insert into user_credentials
                  (user_id, profile, service, token_data, encryption_key_id, scopes, expires_at, origin)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict (user_id, profile, service) do update
              set token_data = excluded.token_data, encryption_key_id = excluded.encryption_key_id,
                  scopes = excluded.scopes, expires_at = excluded.expires_at, origin = excluded.origin,
                  updated_at = app_now()
           returning (xmax = 0) as "is_new!""#,
        owner.user.as_str(),
        profile,
        new.service.as_str(),
        sealed.bytes,
        sealed.key_id,
        &new.scopes,
        new.expires_at,
        new.origin,
    )
    .fetch_one(tx.conn())
    .await?;
    tell(tx, &owner.user).await?;
    Ok(is_new)
}

/// The credential that counts for this profile: its own, else the one for all.
pub async fn get(tx: &mut Tx, vault: &Vault, service: &Service) -> Result<Option<Credential>, StoreError> {
    let owner = tx.owner().clone();
    let found = rows_of(tx, service).await?;
    let Some(row) = found.into_iter().next() else { return Ok(None) };
    use_row(tx, vault, &owner, row).await.map(Some)
}

/// Forgets it. What other profiles have under that name stays.
pub async fn delete(tx: &mut Tx, reach: Reach, service: &Service) -> Result<(), StoreError> {
    let owner = tx.owner().clone();
    let done = sqlx::query!(
        "delete from user_credentials where user_id = $1 and profile = $2 and service = $3",
        owner.user.as_str(),
        reach.profile(&owner),
        service.as_str(),
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound);
    }
    tell(tx, &owner.user).await
}

/// With the commit, every replica drops what it made with the old one.
async fn tell(tx: &mut Tx, user: &UserId) -> Result<(), StoreError> {
    hints::send(tx, &format!("credentials {user}")).await
}

/// All that this profile may use, by service, its own before those for all. One that cannot be read says why.
pub async fn list(tx: &mut Tx, vault: &Vault) -> Result<Vec<CredentialEntry>, StoreError> {
    let owner = tx.owner().clone();
    let mut entries = Vec::new();
    for row in all_rows(tx).await? {
        let secret = row.open(&owner.user, vault).and_then(|plain| decode(&row.service, &plain));
        if secret.is_ok() {
            renew(tx, vault, &owner, &row).await?;
        }
        let (last_four, preferred_model) = match &secret {
            Ok(secret) => (secret.last_four(), preferred_model(secret)),
            Err(_) => (None, None),
        };
        let expired = row.is_expired.then_some(Unusable::Expired);
        entries.push(CredentialEntry {
            reach: Reach::of(&row.profile),
            last_four,
            preferred_model,
            unusable: secret.err().or(expired),
            key_id: row.sealed.key_id,
            service: row.service,
            scopes: row.scopes,
            expires_at: row.expires_at,
            origin: row.origin,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
    }
    Ok(entries)
}

/// The user's own keys for model providers, one per provider. One that cannot be used is an error and not left out: the
/// operator's key would pay in its place.
pub async fn model_keys(tx: &mut Tx, vault: &Vault) -> Result<Vec<ProviderKey>, StoreError> {
    let owner = tx.owner().clone();
    let mut keys: Vec<ProviderKey> = Vec::new();
    for row in all_rows(tx).await? {
        let Some(provider) = row.service.provider().map(str::to_owned) else { continue };
        if keys.iter().any(|key| key.provider == provider) {
            // The profile's own came first.
            continue;
        }
        let credential = use_row(tx, vault, &owner, row).await?;
        if let Secret::Model { api_key, preferred_model } = credential.secret {
            keys.push(ProviderKey { provider, api_key, preferred_model, origin: credential.origin });
        }
    }
    Ok(keys)
}

/// The headers that an MCP server without a mapping of its own gets at that origin.
pub async fn for_server(
    tx: &mut Tx,
    vault: &Vault,
    server: &str,
    origin: &str,
) -> Result<Vec<(String, SecretString)>, StoreError> {
    match HeaderMapping::of(server) {
        Ok(mapping) => for_mapping(tx, vault, &mapping, origin).await,
        // A name that no credential can have.
        Err(_) => Ok(Vec::new()),
    }
}

/// The headers that carry the mapping's credential; none without one. An error when there is one that must not go
/// there: its text is safe to show.
pub async fn for_mapping(
    tx: &mut Tx,
    vault: &Vault,
    mapping: &HeaderMapping,
    origin: &str,
) -> Result<Vec<(String, SecretString)>, StoreError> {
    let owner = tx.owner().clone();
    let Some(row) = rows_of(tx, &mapping.service).await?.into_iter().next() else { return Ok(Vec::new()) };
    if row.origin != origin {
        return Err(row.unusable(Unusable::Elsewhere));
    }
    let credential = use_row(tx, vault, &owner, row).await?;
    Ok(mapping.headers(&credential.secret))
}

/// How far [`reencrypt`] came with the rows of one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reencrypted {
    pub done: usize,
    /// What cannot be opened, and so stays as it is.
    pub unreadable: Vec<Service>,
}

/// Encrypts under the current key what this profile sees under another one.
pub async fn reencrypt(tx: &mut Tx, vault: &Vault) -> Result<Reencrypted, StoreError> {
    let owner = tx.owner().clone();
    let mut found = Reencrypted::default();
    for row in all_rows(tx).await? {
        if vault.current_key() == Some(row.sealed.key_id.as_str()) {
            continue;
        }
        if row.open(&owner.user, vault).is_ok() {
            renew(tx, vault, &owner, &row).await?;
            found.done += 1;
        } else {
            found.unreadable.push(row.service);
        }
    }
    Ok(found)
}

/// Whose credentials are encrypted with another key than this one. For rows of all profiles the owner is any of them.
pub async fn owners_under_other_keys(tx: &mut SystemTx, current: &str) -> Result<Vec<Owner>, StoreError> {
    let rows =
        sqlx::query!(r#"select user_id as "user_id!", profile as "profile!" from credential_owners($1)"#, current)
            .fetch_all(tx.conn())
            .await?;
    let mut owners: Vec<Owner> = Vec::new();
    for row in rows {
        let profile = if row.profile == ALL_PROFILES { "personal" } else { &row.profile };
        let profile = ProfileName::parse(profile).map_err(StoreError::bug)?;
        let owner = Owner { user: UserId::parse(&row.user_id).map_err(StoreError::bug)?, profile };
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    Ok(owners)
}

/// Ids of all keys in use.
pub async fn key_ids(tx: &mut SystemTx) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar!(r#"select key_id as "key_id!" from credential_keys()"#).fetch_all(tx.conn()).await?;
    Ok(ids)
}

async fn use_row(tx: &mut Tx, vault: &Vault, owner: &Owner, row: Row) -> Result<Credential, StoreError> {
    if row.is_expired {
        return Err(row.unusable(Unusable::Expired));
    }
    let secret = row.open(&owner.user, vault).and_then(|plain| decode(&row.service, &plain));
    let secret = secret.map_err(|why| row.unusable(why))?;
    renew(tx, vault, owner, &row).await?;
    Ok(Credential {
        reach: Reach::of(&row.profile),
        secret,
        service: row.service,
        scopes: row.scopes,
        expires_at: row.expires_at,
        origin: row.origin,
    })
}

/// Encrypts a row under the current key if it is under another one. One that changed meanwhile is left alone.
async fn renew(tx: &mut Tx, vault: &Vault, owner: &Owner, row: &Row) -> Result<(), StoreError> {
    if vault.current_key().is_none_or(|current| current == row.sealed.key_id) {
        return Ok(());
    }
    let plain = row.open(&owner.user, vault).map_err(|why| row.unusable(why))?;
    let key = [row.service.as_str()];
    let sealed = vault.seal(&Row::place(&owner.user, &row.profile, &key, &row.origin), &plain).map_err(not_sealed)?;
    sqlx::query!(
        "update user_credentials set token_data = $4, encryption_key_id = $5
          where user_id = $1 and profile = $2 and service = $3 and token_data = $6",
        owner.user.as_str(),
        row.profile,
        row.service.as_str(),
        sealed.bytes,
        sealed.key_id,
        row.sealed.bytes,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those of one service: the profile's own, then the one for all.
async fn rows_of(tx: &mut Tx, service: &Service) -> Result<Vec<Row>, StoreError> {
    Ok(all_rows(tx).await?.into_iter().filter(|row| row.service == *service).collect())
}

async fn all_rows(tx: &mut Tx) -> Result<Vec<Row>, StoreError> {
    let owner = tx.owner().clone();
    let rows = sqlx::query!(
        r#"select profile, service, token_data, encryption_key_id, scopes, expires_at, origin, created_at, updated_at,
                  coalesce(expires_at <= app_now(), false) as "is_expired!"
             from user_credentials
            where user_id = $1 and (profile = $2 or profile = '*')
            order by service, profile = '*'"#,
        owner.user.as_str(),
        owner.profile.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Row {
                profile: row.profile,
                service: Service::parse(&row.service).map_err(StoreError::bug)?,
                sealed: Sealed { key_id: row.encryption_key_id, bytes: row.token_data },
                scopes: row.scopes,
                expires_at: row.expires_at,
                is_expired: row.is_expired,
                origin: row.origin,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
        })
        .collect()
}

fn decode(service: &Service, plain: &[u8]) -> Result<Secret, Unusable> {
    let fields = serde_json::from_slice(plain).ok();
    // What was sealed here was read by the same rules: another form comes from another version, or was never ours.
    fields.and_then(|fields| Secret::read(service, &fields).ok()).ok_or(Unusable::Unreadable(VaultError::Refused))
}

fn preferred_model(secret: &Secret) -> Option<String> {
    match secret {
        Secret::Model { preferred_model, .. } => preferred_model.clone(),
        Secret::Token(_) | Secret::Headers(_) => None,
    }
}

fn not_sealed(error: VaultError) -> StoreError {
    match error {
        VaultError::NoKey => StoreError::NoVaultKey,
        other => StoreError::bug(other),
    }
}
