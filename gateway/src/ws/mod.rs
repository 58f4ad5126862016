//! The WebSocket: one session per socket, which carries the threads of one scope.

mod carried;
mod handshake;
mod link;
mod pieces;
mod replay;
mod requests;
mod session;
pub mod upgrade;
