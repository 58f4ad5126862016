//! Builds the application, wires its ports, serves and stops.

pub mod database;
mod directory;
pub mod embedded;
pub mod first_key;
mod listening;
mod profiles;
pub mod serve;
pub mod vault;
