//! The embedded postgres server: a bundled installation that is unpacked, initialised, started as a child
//! process on a private unix socket, and stopped. Knows no table, no role but the superuser, and no SQL.
//!
//! The server never outlives the process that started it, also when that process is killed. That needs a
//! small program of ours between the two, the hidden subcommand ([`launch_child`]): it gives up root, asks the kernel
//! for a signal at its parent's death and becomes the server, all without unsafe code.

mod account;
mod archive;
mod child;
mod cluster;
mod connection;
mod error;
mod install;
mod options;
mod pidfile;
mod server;
mod socket;
mod start;
mod stop;
mod unpack;

pub use child::launch_child;
pub use connection::{Connection, SUPERUSER};
pub use error::Error;
pub use install::Install;
pub use options::{Launcher, Options};
pub use server::Server;
pub use stop::StopMode;

/// The only major version whose data this crate opens.
pub const MAJOR: u32 = 17;
