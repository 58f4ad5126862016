//! The HTTP doors: server, router, bodies, pages, and the routes by resource.

pub mod agui;
mod ask;
pub mod body;
pub mod credentials;
pub mod devices;
pub mod files;
mod following;
pub mod guard;
mod health;
pub mod me;
pub mod messages;
pub mod openai;
pub mod openapi;
pub mod page;
pub mod path;
pub mod profiles;
pub mod router;
pub mod runs;
pub mod search;
pub mod sent;
pub mod server;
pub mod server_content;
pub mod servers;
pub mod sessions;
mod stall;
pub mod threads;
