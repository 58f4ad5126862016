//! The store against a real server, as the application role.
mod doors;
