//! `adjutant key`: works on the database itself, beside a running server or without one.

use std::process::ExitCode;

use adjutant_core::scope::{Role, UserId};
use adjutant_store::error::StoreError;
use adjutant_store::keys::{self, KeyEntry, KeyIdentity, KeyProfile};
use adjutant_store::store::Store;
use adjutant_store::users::{self, NewUser};
use anyhow::{Context, Result};
use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::json;

use super::terminal;
use crate::auth::key;
use crate::boot::database;
use crate::config::DatabaseConfig;
use crate::config::environment::Environment;
use crate::config::owner::Owner;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print it, once
    Create {
        /// Whose it is; the owner's without it
        #[arg(long, value_parser = UserId::parse)]
        user: Option<UserId>,
        /// The profile it opens, or `*` for all
        #[arg(long, default_value = "personal", value_parser = profile)]
        profile: KeyProfile,
        /// `personal` or `admin`
        #[arg(long, default_value = "personal", value_parser = role)]
        role: Role,
        /// If the person is new: your model keys may pay for them
        #[arg(long)]
        operator_llm: bool,
        /// What it is for
        #[arg(long, default_value = "", value_parser = label)]
        label: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all keys, without their secrets
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key; its open connections end within a second
    Revoke {
        /// As `key list` shows it
        id: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

fn profile(text: &str) -> Result<KeyProfile, String> {
    KeyProfile::parse(text).ok_or_else(|| "a profile is a short name of a-z, 0-9, '-' and '_', or '*'".to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "a role is personal or admin".to_owned())
}

fn label(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= 100 && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("a label is at most 100 characters on one line".to_owned()) }
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let config = DatabaseConfig::read(environment)?;
    let reached = database::reach_beside(&config.data, &config.database).await?;
    let result = match reached.open().await {
        Ok(store) => {
            let result = perform(command, &store, &config.owner).await;
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

async fn perform(command: Command, store: &Store, owner: &Owner) -> Result<ExitCode> {
    match command {
        Command::Create { user, profile, role, operator_llm, label, json } => {
            let user = user.unwrap_or_else(|| owner.user.clone());
            create(store, NewKey { user, profile, role, operator_llm, label }, json).await?;
        }
        Command::List { json } => list(store, json).await?,
        Command::Revoke { id, json } => return revoke(store, &id, json).await,
    }
    Ok(ExitCode::SUCCESS)
}

struct NewKey {
    user: UserId,
    profile: KeyProfile,
    role: Role,
    operator_llm: bool,
    label: String,
}

async fn create(store: &Store, asked: NewKey, json: bool) -> Result<()> {
    let made = key::generate().context("the system gives no random numbers")?;
    let NewKey { user, profile, role, operator_llm, label } = asked;
    let person = NewUser { user: user.clone(), display_name: String::new(), allow_operator_llm: operator_llm };
    // The key narrows nothing: who may use the operator's model is said of the person.
    let identity = KeyIdentity { key_id: made.id, user, profile, role, allow_operator_llm: true };
    let new = keys::NewKey { identity, hash: made.digest, label };
    let is_new = store
        .system("create a key", async |tx| {
            let is_new = users::add(tx, &person).await?;
            keys::create(tx, &new).await?;
            Ok(is_new)
        })
        .await?;
    let secret = made.secret.expose_secret();
    let identity = &new.identity;
    if json {
        terminal::data(&pretty(&json!({
            "id": identity.key_id,
            "key": secret,
            "user": identity.user,
            "profile": identity.profile.as_str(),
            "role": identity.role,
            "label": new.label,
        })));
    } else {
        terminal::data(secret);
    }
    terminal::say(&format!(
        "key {} for {}, profile {}, role {}; it is not shown again",
        identity.key_id,
        identity.user,
        identity.profile.as_str(),
        identity.role.as_str()
    ));
    if is_new && !operator_llm {
        terminal::say(&format!(
            "{} is new here and needs a model key of their own; `adjutant user grant {}` lets them use yours",
            identity.user, identity.user
        ));
    }
    Ok(())
}

async fn list(store: &Store, json: bool) -> Result<()> {
    let entries = store.system("list keys", async |tx| keys::list(tx).await).await?;
    if json {
        terminal::data(&pretty(&entries.iter().map(as_json).collect()));
        return Ok(());
    }
    let rows: Vec<[String; 8]> = entries.iter().map(as_row).collect();
    terminal::data(&terminal::table(
        ["ID", "USER", "PROFILE", "ROLE", "STATE", "CREATED", "LAST USED", "LABEL"],
        &rows,
    ));
    Ok(())
}

async fn revoke(store: &Store, id: &str, json: bool) -> Result<ExitCode> {
    match store.system("revoke a key", async |tx| keys::revoke(tx, id).await).await {
        Ok(()) => {}
        Err(StoreError::NotFound) => {
            terminal::say(&format!("adjutant: there is no key {id:?}; `adjutant key list` shows all"));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    if json {
        terminal::data(&pretty(&json!({ "id": id, "revoked": true })));
    }
    terminal::say(&format!("key {id} is revoked"));
    Ok(ExitCode::SUCCESS)
}

fn as_json(entry: &KeyEntry) -> serde_json::Value {
    json!({
        "id": entry.identity.key_id,
        "user": entry.identity.user,
        "profile": entry.identity.profile.as_str(),
        "role": entry.identity.role,
        "label": entry.label,
        "createdAt": entry.created_at,
        "lastUsed": entry.last_used,
        "isRevoked": entry.is_revoked,
        "allowOperatorLlm": entry.identity.allow_operator_llm,
    })
}

fn as_row(entry: &KeyEntry) -> [String; 8] {
    let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    [
        entry.identity.key_id.clone(),
        entry.identity.user.to_string(),
        entry.identity.profile.as_str().to_owned(),
        entry.identity.role.as_str().to_owned(),
        if entry.is_revoked { "revoked" } else { "valid" }.to_owned(),
        day(entry.created_at),
        entry.last_used.map_or_else(|| "never".to_owned(), day),
        entry.label.clone(),
    ]
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}
