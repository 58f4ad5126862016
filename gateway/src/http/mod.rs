//! The HTTP doors: server, router, bodies, pages, and the routes by resource.

pub mod body;
pub mod credentials;
pub mod guard;
mod health;
pub mod openai;
pub mod openapi;
pub mod page;
pub mod path;
pub mod router;
pub mod runs;
pub mod server;
mod stall;
pub mod threads;
