//! The system database, whichever it is: opened for a server, or for a command that works beside one.

use adjutant_postgres::Server;
use adjutant_store::pool::Settings;
use adjutant_store::store::Store;
use anyhow::{Context, Result};

use super::embedded::{self, Embedded};
use crate::config::data::Data;
use crate::config::database::Database;

/// How to reach the database, and the server of ours that it runs on, if this process started one.
pub struct Reached {
    pub settings: Settings,
    pub embedded: Option<Embedded>,
}

/// For a server: the embedded database is started, and is nobody else's.
pub async fn reach(data: &Data, database: &Database) -> Result<Reached> {
    match embedded::options(data, database)? {
        Some(options) => on(Embedded::start(options).await?),
        None => Ok(Reached { settings: external(database)?, embedded: None }),
    }
}

/// For a command: a server that runs is used, else the embedded database is started for the while.
pub async fn reach_beside(data: &Data, database: &Database) -> Result<Reached> {
    let Some(options) = embedded::options(data, database)? else {
        return Ok(Reached { settings: external(database)?, embedded: None });
    };
    match Server::existing(&options) {
        Some(connection) => Ok(Reached { settings: settings(&embedded::urls(&connection)?), embedded: None }),
        None => on(Embedded::start(options).await?),
    }
}

fn on(embedded: Embedded) -> Result<Reached> {
    let connection = embedded.connection().context("the embedded database is gone")?;
    let settings = settings(&embedded::urls(connection)?);
    Ok(Reached { settings, embedded: Some(embedded) })
}

fn settings(urls: &embedded::Urls) -> Settings {
    Settings { app_url: urls.app.clone(), admin_url: Some(urls.admin.clone()), system_url: None, test_clock: None }
}

fn external(database: &Database) -> Result<Settings> {
    match database {
        Database::External { url, admin_url, system_url } => Ok(Settings {
            app_url: url.clone(),
            admin_url: admin_url.clone(),
            system_url: system_url.clone(),
            test_clock: None,
        }),
        Database::Embedded { .. } => anyhow::bail!("the embedded database has no address of its own"),
    }
}

impl Reached {
    /// Migrates where that is needed and allowed, and opens the two doors.
    pub async fn open(&self) -> Result<Store> {
        Ok(Store::open(self.settings.clone()).await?)
    }

    pub async fn close(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}
