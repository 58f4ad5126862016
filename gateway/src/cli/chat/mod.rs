//! `adjutant chat`: a client of the server like any other, over the WebSocket and REST. It uses nothing of the server's
//! own modules but the settings of a client.

pub mod command;
mod connection;
mod conversation;
mod healing;
mod input;
mod rest;
mod screen;
mod talk;
