//! `adjutant migrate`: roles, database, extension and schema, as the operator's admin.

use std::process::ExitCode;

use adjutant_store::migrate;
use anyhow::Result;

use super::terminal;
use crate::boot::database;
use crate::config::DatabaseConfig;
use crate::config::environment::Environment;

pub(super) async fn run(environment: &Environment) -> Result<ExitCode> {
    let config = DatabaseConfig::read(environment)?;
    let reached = database::reach_beside(&config.data, &config.database).await?;
    let result = migrate::migrate(&reached.settings).await;
    let closed = reached.close().await;
    let report = result?;
    closed?;
    if report.created_database {
        terminal::data(&format!("created database {}", report.database));
    }
    for version in &report.applied {
        terminal::data(&format!("applied {version}"));
    }
    terminal::data(&format!("database {} is of version {}", report.database, report.version));
    Ok(ExitCode::SUCCESS)
}
