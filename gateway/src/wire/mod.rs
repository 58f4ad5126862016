//! The frames of the WebSocket and the AG-UI events in them. Knows no other module of this crate.

pub mod ag_ui;
pub mod client;
pub mod custom;
pub mod expand;
pub mod forms;
pub mod server;
