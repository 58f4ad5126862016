//! `adjutant user`: works on the database itself, beside a running server or without one.

use std::process::ExitCode;

use adjutant_core::profile::check_display_name;
use adjutant_core::scope::UserId;
use adjutant_store::error::StoreError;
use adjutant_store::store::Store;
use adjutant_store::users::{self, NewUser, UserChange, UserEntry};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::terminal;
use crate::boot::database;
use crate::config::DatabaseConfig;
use crate::config::environment::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; `key create --user` gives them a key
    Add {
        /// A short name of a-z, 0-9, '-' and '_'
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// The name as people read it
        #[arg(long, default_value = "", value_parser = display_name)]
        name: String,
        /// Your model keys may pay for them
        #[arg(long)]
        operator_llm: bool,
    },
    /// List all people
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Let your model keys pay for a person
    Grant {
        #[arg(value_parser = UserId::parse)]
        user: UserId,
        /// Take the grant away instead
        #[arg(long)]
        remove: bool,
    },
    /// Refuse a person's keys; their open connections end within a second and their runs at the next step
    Disable {
        #[arg(value_parser = UserId::parse)]
        user: UserId,
    },
    /// Accept a disabled person's keys again
    Enable {
        #[arg(value_parser = UserId::parse)]
        user: UserId,
    },
}

fn display_name(text: &str) -> Result<String, String> {
    check_display_name(text).map(|()| text.to_owned()).map_err(|reason| format!("a name {reason}"))
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let config = DatabaseConfig::read(environment)?;
    let reached = database::reach_beside(&config.data, &config.database).await?;
    let result = match reached.open().await {
        Ok(store) => {
            let result = perform(command, &store).await;
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

async fn perform(command: Command, store: &Store) -> Result<ExitCode> {
    match command {
        Command::Add { user, name, operator_llm } => {
            add(store, NewUser { user, display_name: name, allow_operator_llm: operator_llm }).await
        }
        Command::List { json } => list(store, json).await,
        Command::Grant { user, remove } => {
            let said = if remove { "needs model keys of their own from now on" } else { "may use your model keys" };
            change(store, &user, UserChange { allow_operator_llm: Some(!remove), is_disabled: None }, said).await
        }
        Command::Disable { user } => {
            let said = "is disabled: no key of theirs is accepted";
            change(store, &user, UserChange { allow_operator_llm: None, is_disabled: Some(true) }, said).await
        }
        Command::Enable { user } => {
            let said = "is enabled: their keys are accepted again";
            change(store, &user, UserChange { allow_operator_llm: None, is_disabled: Some(false) }, said).await
        }
    }
}

async fn add(store: &Store, new: NewUser) -> Result<ExitCode> {
    let added = store.system("add a user", async |tx| users::add(tx, &new).await).await?;
    if !added {
        terminal::say(&format!("adjutant: there is a user {} already; `adjutant user list` shows all", new.user));
        return Ok(ExitCode::FAILURE);
    }
    let pays = if new.allow_operator_llm { "your model keys may pay" } else { "they bring model keys of their own" };
    terminal::say(&format!(
        "user {} is added; {pays}; `adjutant key create --user {}` makes a key",
        new.user, new.user
    ));
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store, json: bool) -> Result<ExitCode> {
    let entries = store.system("list users", async |tx| users::list(tx).await).await?;
    if json {
        terminal::data(&format!("{:#}", entries.iter().map(as_json).collect::<serde_json::Value>()));
    } else {
        let rows: Vec<[String; 7]> = entries.iter().map(as_row).collect();
        let head = ["USER", "NAME", "STATE", "OPERATOR LLM", "PROFILES", "KEYS", "CREATED"];
        terminal::data(&terminal::table(head, &rows));
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(store: &Store, user: &UserId, change: UserChange, said: &str) -> Result<ExitCode> {
    match store.system("change a user", async |tx| users::change(tx, user, change).await).await {
        Ok(()) => {
            terminal::say(&format!("user {user} {said}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(StoreError::NotFound) => {
            terminal::say(&format!("adjutant: there is no user {user}; `adjutant user list` shows all"));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn as_json(entry: &UserEntry) -> serde_json::Value {
    json!({
        "user": entry.user,
        "displayName": entry.display_name,
        "allowOperatorLlm": entry.allow_operator_llm,
        "isDisabled": entry.is_disabled,
        "profiles": entry.profiles,
        "validKeys": entry.valid_keys,
        "createdAt": entry.created_at,
    })
}

fn as_row(entry: &UserEntry) -> [String; 7] {
    let profiles: Vec<&str> = entry.profiles.iter().map(adjutant_core::scope::ProfileName::as_str).collect();
    [
        entry.user.to_string(),
        entry.display_name.clone(),
        if entry.is_disabled { "disabled" } else { "enabled" }.to_owned(),
        if entry.allow_operator_llm { "yes" } else { "no" }.to_owned(),
        profiles.join(", "),
        entry.valid_keys.to_string(),
        entry.created_at.format("%Y-%m-%d %H:%M").to_string(),
    ]
}
