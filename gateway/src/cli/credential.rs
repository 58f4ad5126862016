//! `adjutant credential`: works on the database itself, beside a running server or without one. A secret comes from the
//! standard input or from the terminal without being shown, never as an argument.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::process::ExitCode;

use adjutant_core::credential::{Secret, Service};
use adjutant_core::limits;
use adjutant_core::scope::{Owner, ProfileName, UserId};
use adjutant_store::credentials::{self, CredentialEntry, NewCredential, Reach};
use adjutant_store::error::StoreError;
use adjutant_store::store::Store;
use adjutant_store::vault::{Vault, VaultError};
use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{ask, terminal};
use crate::boot::{database, vault};
use crate::config::environment::Environment;
use crate::config::{Config, DatabaseConfig};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Store a credential in place of the one that is there; the secret is asked for, or read from the standard input
    Put(Put),
    /// List credentials, without their secrets
    List {
        #[command(flatten)]
        whose: Whose,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Forget a credential
    Delete {
        /// As `credential list` shows it
        service: Service,
        #[command(flatten)]
        whose: Whose,
        /// The one for all profiles
        #[arg(long, conflicts_with = "profile")]
        all_profiles: bool,
    },
    /// Encrypt the credentials of all users under the current key
    Reencrypt {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Whose {
    /// Whose it is; the owner's without it
    #[arg(long, value_parser = UserId::parse)]
    user: Option<UserId>,
    #[arg(long, default_value = "personal", value_parser = ProfileName::parse)]
    profile: ProfileName,
}

#[derive(Debug, Args)]
pub(super) struct Put {
    /// `llm_anthropic`, `llm_openai`, `llm_ollama`, or the name of an MCP server
    service: Service,
    #[command(flatten)]
    whose: Whose,
    /// For all profiles of the user; a profile's own credential wins
    #[arg(long, conflicts_with = "profile")]
    all_profiles: bool,
    /// Scheme and host that it may be sent to; those of the provider or server of that name without it
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// For a model provider: what answers when a profile names no model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Send the secret in this header, whatever the server's mapping says
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    header: Option<String>,
    /// What it was granted for
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,…")]
    scopes: Vec<String>,
    /// When it ends, as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<DateTime<Utc>>,
}

impl Whose {
    fn owner(&self, config: &DatabaseConfig) -> Owner {
        let user = self.user.clone().unwrap_or_else(|| config.owner.user.clone());
        Owner { user, profile: self.profile.clone() }
    }
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let config = DatabaseConfig::read(environment)?;
    // What is wrong with it is said before the database is started and before anybody types a secret.
    let new = match &command {
        Command::Put(put) => Some(put.read(&Config::read(environment)?)?),
        _ => None,
    };
    let reached = database::reach_beside(&config.data, &config.database).await?;
    let result = match reached.open().await {
        Ok(store) => {
            let result = perform(command, new, &store, &config).await;
            store.close().await;
            result
        }
        Err(error) => Err(error),
    };
    let closed = reached.close().await;
    let code = result?;
    closed?;
    Ok(code)
}

async fn perform(
    command: Command,
    new: Option<NewCredential>,
    store: &Store,
    config: &DatabaseConfig,
) -> Result<ExitCode> {
    let keys = vault::open(&config.data, &config.database, &config.vault)?;
    if let Some(file) = &keys.made {
        terminal::say(&format!(
            "made {}, the key that encrypts stored credentials; keep a copy of it, apart from backups of the database",
            file.display()
        ));
    }
    let vault = &keys.vault;
    match command {
        Command::Put(put) => {
            let new = new.context("nothing to store")?;
            let reach = reach(put.all_profiles);
            let owner = put.whose.owner(config);
            let stored = store.scoped(&owner, async |tx| credentials::put(tx, vault, reach, &new).await).await;
            let is_new = stored.map_err(told)?;
            let what = if is_new { "stored" } else { "replaced" };
            terminal::say(&format!("the credential for {} is {what}; it goes to {} only", new.service, new.origin));
        }
        Command::List { whose, json } => {
            let owner = whose.owner(config);
            let entries = store.scoped(&owner, async |tx| credentials::list(tx, vault).await).await?;
            list(&entries, &owner, json);
        }
        Command::Delete { service, whose, all_profiles } => {
            let (owner, reach) = (whose.owner(config), reach(all_profiles));
            match store.scoped(&owner, async |tx| credentials::delete(tx, reach, &service).await).await {
                Ok(()) => terminal::say(&format!("the credential for {service} is deleted")),
                Err(StoreError::NotFound) => {
                    let whose =
                        if all_profiles { "all profiles".to_owned() } else { format!("profile {}", owner.profile) };
                    terminal::say(&format!("adjutant: {} has no credential for {service} for {whose}", owner.user));
                    return Ok(ExitCode::FAILURE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Command::Reencrypt { json } => return reencrypt(store, vault, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn reach(all_profiles: bool) -> Reach {
    if all_profiles { Reach::AllProfiles } else { Reach::Profile }
}

fn told(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Invalid(what) if what == "credentials" => {
            anyhow!("there are {} credentials already; delete one first", limits::CREDENTIALS)
        }
        other => other.into(),
    }
}

impl Put {
    fn read(&self, config: &Config) -> Result<NewCredential> {
        let origin = config.origin_for(&self.service, self.origin.as_deref()).map_err(|error| anyhow!(error))?;
        let scopes = credentials::check_scopes(self.scopes.clone()).map_err(|error| anyhow!(error))?;
        let secret = self.secret(&ask(&self.service)?)?;
        Ok(NewCredential { service: self.service.clone(), secret, scopes, expires_at: self.expires_at, origin })
    }

    /// A line is the secret itself; an object names its parts, as the REST route takes them.
    fn secret(&self, text: &SecretString) -> Result<Secret> {
        let text = text.expose_secret();
        let mut fields = if text.starts_with('{') {
            serde_json::from_str::<Map<String, Value>>(text).map_err(|error| {
                anyhow!("the secret is no JSON object: see line {}, column {}", error.line(), error.column())
            })?
        } else if let Some(header) = &self.header {
            Map::from_iter([("headers".to_owned(), json!({header: text}))])
        } else {
            let name = if self.service.provider().is_some() { "api_key" } else { "token" };
            Map::from_iter([(name.to_owned(), text.into())])
        };
        for (camel, snake) in [("apiKey", "api_key"), ("preferredModel", "preferred_model")] {
            if let Some(value) = fields.remove(camel) {
                fields.insert(snake.to_owned(), value);
            }
        }
        if let Some(model) = &self.model {
            fields.insert("preferred_model".to_owned(), model.as_str().into());
        }
        Ok(Secret::read(&self.service, &fields)?)
    }
}

fn ask(service: &Service) -> Result<SecretString> {
    if stdin().is_terminal() {
        return Ok(ask::secret(&format!("Secret for {service}: "))?);
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    let most = limits::CREDENTIAL_BODY_BYTES as u64 + 1;
    stdin().lock().take(most).read_to_string(&mut text).context("the secret cannot be read from the standard input")?;
    if text.len() as u64 == most {
        bail!("the secret is longer than {} bytes", limits::CREDENTIAL_BODY_BYTES);
    }
    Ok(text.trim().into())
}

fn list(entries: &[CredentialEntry], owner: &Owner, json: bool) {
    if json {
        terminal::data(&format!("{:#}", entries.iter().map(|entry| as_json(entry, owner)).collect::<Value>()));
        return;
    }
    let rows: Vec<[String; 7]> = entries.iter().map(|entry| as_row(entry, owner)).collect();
    terminal::data(&terminal::table(["SERVICE", "PROFILE", "SECRET", "STATE", "ORIGIN", "KEY", "UPDATED"], &rows));
    for entry in entries {
        if let Some(why) = &entry.unusable {
            terminal::say(&format!("the credential for {} {why}", entry.service));
        }
    }
}

fn profile_of(entry: &CredentialEntry, owner: &Owner) -> String {
    match entry.reach {
        Reach::Profile => owner.profile.to_string(),
        Reach::AllProfiles => "*".to_owned(),
    }
}

fn as_json(entry: &CredentialEntry, owner: &Owner) -> Value {
    json!({
        "service": entry.service,
        "user": owner.user,
        "profile": profile_of(entry, owner),
        "lastFour": entry.last_four,
        "preferredModel": entry.preferred_model,
        "scopes": entry.scopes,
        "expiresAt": entry.expires_at,
        "origin": entry.origin,
        "keyId": entry.key_id,
        "createdAt": entry.created_at,
        "updatedAt": entry.updated_at,
        "problem": entry.unusable.as_ref().map(ToString::to_string),
    })
}

fn as_row(entry: &CredentialEntry, owner: &Owner) -> [String; 7] {
    [
        entry.service.to_string(),
        profile_of(entry, owner),
        entry.last_four.as_ref().map_or_else(|| "…".to_owned(), |four| format!("…{four}")),
        entry.unusable.as_ref().map_or("ok", |why| why.code().trim_start_matches("credential_")).to_owned(),
        entry.origin.clone(),
        entry.key_id.clone(),
        entry.updated_at.format("%Y-%m-%d %H:%M").to_string(),
    ]
}

/// One transaction per owner: ended anywhere, every row is whole under its old or its new key.
async fn reencrypt(store: &Store, vault: &Vault, json: bool) -> Result<ExitCode> {
    let Some(current) = vault.current_key() else { return Err(VaultError::NoKey.into()) };
    let owners = store
        .system("encrypt credentials anew", async |tx| credentials::owners_under_other_keys(tx, current).await)
        .await?;
    let (mut done, mut unreadable) = (0, Vec::new());
    for owner in &owners {
        let found = store.scoped(owner, async |tx| credentials::reencrypt(tx, vault).await).await?;
        done += found.done;
        unreadable.extend(found.unreadable.into_iter().map(|service| (owner, service)));
    }
    if json {
        let left: Vec<Value> = unreadable
            .iter()
            .map(|(owner, service)| json!({"user": owner.user, "profile": owner.profile, "service": service}))
            .collect();
        terminal::data(&format!("{:#}", json!({"keyId": current, "reencrypted": done, "unreadable": left})));
    }
    terminal::say(&format!("{done} credentials were encrypted anew; the current key is {current}"));
    for (owner, service) in &unreadable {
        terminal::say(&format!("the credential of {} for {service} cannot be read and stays as it is", owner.user));
    }
    if unreadable.is_empty() {
        terminal::say("no credential needs another key any more");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}
