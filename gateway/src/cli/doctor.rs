//! `adjutant doctor`: looks at everything a server needs and changes nothing.

mod keys;
mod models;
mod people;
mod settings;

use std::process::ExitCode;

use adjutant_core::limits;
use adjutant_core::scope::{Origin, ProfileName, Role, Scope};
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::{Bridges, ServerReport, ServerState};
use adjutant_store::diagnose;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::terminal;
use crate::boot::{database, embedded};
use crate::config::Config;
use crate::config::environment::Environment;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Works, but something is missing that most people want.
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    area: &'static str,
    name: String,
    state: State,
    /// What was found, or what to do.
    detail: String,
}

pub(super) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode> {
    let mut checks = vec![settings::file(environment)];
    match Config::read(environment) {
        Ok(config) => {
            checks.push(check("settings", "settings", State::Ok, "all can be read".to_owned()));
            checks.extend(database_checks(&config).await);
            checks.extend(keys::checks(&config));
            let (models, servers) = tokio::join!(models::checks(&config), mcp_checks(&config));
            checks.extend(models);
            checks.extend(servers);
        }
        Err(faults) => {
            checks
                .extend(faults.0.into_iter().map(|fault| check("settings", fault.name, State::Failed, fault.message)));
        }
    }
    let failed = checks.iter().any(|check| check.state == State::Failed);
    if arguments.json {
        terminal::data(&format!("{:#}", as_json(&checks, failed)));
    } else {
        terminal::data(&as_text(&checks));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(area: &'static str, name: impl Into<String>, state: State, detail: String) -> Check {
    Check { area, name: name.into(), state, detail }
}

async fn database_checks(config: &Config) -> Vec<Check> {
    const AREA: &str = "database";
    let embedded = match embedded::options(&config.data, &config.database) {
        Ok(options) => options,
        Err(error) => return vec![check(AREA, "embedded", State::Failed, super::sentence(&error))],
    };
    if embedded.is_some_and(|options| !options.data_dir.join("data").exists()) {
        let detail = format!("none yet; `adjutant serve` makes it in {}", config.data.postgres_dir().display());
        return vec![check(AREA, "embedded", State::Warning, detail)];
    }
    match database::reach_beside(&config.data, &config.database).await {
        Ok(reached) => {
            let found = diagnose::diagnose(&reached.settings).await;
            let state = |passed| if passed { State::Ok } else { State::Failed };
            let mut checks: Vec<Check> =
                found.into_iter().map(|found| check(AREA, found.name, state(found.passed), found.detail)).collect();
            // Opening a database that is not up to date would change it.
            if checks.iter().all(|check| check.state == State::Ok) {
                match reached.open().await {
                    Ok(store) => {
                        checks.extend(people::checks(&store).await);
                        checks.extend(keys::of_credentials(config, &store).await);
                        store.close().await;
                    }
                    Err(error) => checks.push(check(AREA, "connection", State::Failed, super::sentence(&error))),
                }
            }
            if let Err(error) = reached.close().await {
                checks.push(check(AREA, "embedded", State::Failed, super::sentence(&error)));
            }
            checks
        }
        Err(error) => vec![check(AREA, "connection", State::Failed, super::sentence(&error))],
    }
}

async fn mcp_checks(config: &Config) -> Vec<Check> {
    const AREA: &str = "mcp";
    let mut checks: Vec<Check> = Vec::new();
    for warning in &config.mcp.servers.warnings {
        checks.push(check(AREA, "configuration", State::Warning, warning.to_string()));
    }
    let Ok(profile) = ProfileName::parse("personal") else { return checks };
    let scope = Scope::new(config.owner.user.clone(), profile, Role::Admin, Origin::Internal);
    let options = Options { child_env: config.mcp.child_env.clone(), ..Options::default() };
    let bridges = Bridges::new(config.mcp.servers.clone(), None, options);
    checks.extend(bridges.check(&scope).await.into_iter().map(of_server));
    bridges.shutdown().await;
    if checks.is_empty() {
        checks.push(check(AREA, "servers", State::Ok, "none are configured".to_owned()));
    }
    checks
}

fn of_server(report: ServerReport) -> Check {
    let ServerReport { server, state, tools, millis, reason } = report;
    let connected = format!("{tools} tools in {millis} ms");
    let (state, detail) = match (state, reason) {
        (ServerState::Connected, None) => (State::Ok, connected),
        (ServerState::Connected, Some(reason)) => (State::Warning, format!("{connected}; {reason}")),
        (ServerState::Failed, reason) => (State::Failed, reason.unwrap_or_default()),
        (ServerState::Disabled, _) => (State::Ok, "switched off".to_owned()),
    };
    check("mcp", server, state, detail)
}

fn as_json(checks: &[Check], failed: bool) -> serde_json::Value {
    let limits: Vec<_> = limits::TABLE
        .iter()
        .map(|limit| json!({ "name": limit.name, "value": limit.value, "unit": limit.unit, "meaning": limit.meaning.trim() }))
        .collect();
    json!({ "ok": !failed, "version": env!("CARGO_PKG_VERSION"), "checks": checks, "limits": limits })
}

fn as_text(checks: &[Check]) -> String {
    let mark = |state| match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Failed => "FAILED",
    };
    let rows: Vec<[String; 4]> = checks
        .iter()
        .map(|check| [mark(check.state).to_owned(), check.area.to_owned(), check.name.clone(), check.detail.clone()])
        .collect();
    let limits: Vec<[String; 4]> = limits::TABLE
        .iter()
        .map(|limit| {
            [limit.name.to_owned(), limit.value.to_string(), limit.unit.to_owned(), limit.meaning.trim().to_owned()]
        })
        .collect();
    let checks = terminal::table(["STATE", "AREA", "NAME", "DETAIL"], &rows);
    let limits = terminal::table(["LIMIT", "VALUE", "UNIT", "MEANING"], &limits);
    format!("{checks}\n\n{limits}")
}
