//! Settings, read once from the environment and `adjutant.toml`: the only module that reads them. All faults are
//! reported together. Deliberately absent: bounds, which are in `adjutant_core::limits`.

pub mod client;
pub mod data;
pub mod database;
pub mod doors;
pub mod environment;
pub mod file;
pub mod mcp;
pub mod model;
mod names;
mod origins;
pub mod owner;
pub mod profiles;
pub mod vault;

use self::data::Data;
use self::database::Database;
use self::doors::Doors;
use self::environment::{Environment, Faults, Reader};
use self::mcp::Mcp;
use self::model::Model;
use self::owner::Owner;
use self::profiles::Profiles;
use self::vault::Vault;
use crate::telemetry;

const LOG: &str = "ADJUTANT_LOG";
const DEFAULT_LOG: &str = "info";

/// All settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    pub data: Data,
    pub database: Database,
    pub doors: Doors,
    pub owner: Owner,
    pub model: Model,
    pub mcp: Mcp,
    pub vault: Vault,
    pub profiles: Profiles,
    /// Directives of the log filter, as `info` or `warn,adjutant=debug`.
    pub log: String,
}

impl Config {
    pub fn read(environment: &Environment) -> Result<Self, Faults> {
        let mut reader = Reader::new(environment);
        reader.refuse_unknown();
        let data = Data::read(&mut reader);
        let owner = Owner::read(&mut reader);
        let mcp = Mcp::read(&mut reader, &data);
        let config = Self {
            database: Database::read(&mut reader),
            doors: Doors::read(&mut reader),
            model: Model::read(&mut reader),
            vault: Vault::read(&mut reader),
            profiles: Profiles::read(&mut reader, &data, &owner.user, &mcp.servers),
            owner,
            mcp,
            data,
            log: log(environment),
        };
        reader.parsed(LOG, telemetry::filter);
        reader.finish(config)
    }
}

/// The log filter alone, which is needed before anything can be reported.
pub fn log(environment: &Environment) -> String {
    environment.get(LOG).unwrap_or(DEFAULT_LOG).to_owned()
}

/// What commands need that work on the database alone: a model set up wrongly does not stand in their way.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    pub data: Data,
    pub database: Database,
    pub owner: Owner,
    pub vault: Vault,
}

impl DatabaseConfig {
    pub fn read(environment: &Environment) -> Result<Self, Faults> {
        let mut reader = Reader::new(environment);
        let data = Data::read(&mut reader);
        let (database, owner) = (Database::read(&mut reader), Owner::read(&mut reader));
        let config = Self { data, database, owner, vault: Vault::read(&mut reader) };
        reader.finish(config)
    }
}

#[cfg(test)]
mod tests;
