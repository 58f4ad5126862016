//! The HTTP doors: server, router, bodies, pages, and the routes by resource.

pub mod body;
pub mod credentials;
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
pub mod sent;
pub mod server;
pub mod server_content;
pub mod servers;
mod stall;
pub mod threads;
