//! `adjutant chat`: a client of the server like any other, over the WebSocket and REST. It uses nothing of the server's
//! own modules but the settings of a client.

mod arguments;
mod asking;
pub mod command;
mod connection;
mod conversation;
mod deeds;
mod editor;
mod files;
mod form;
mod healing;
mod input;
mod keys;
mod orders;
mod rest;
mod row;
mod screen;
mod showing;
mod talk;
mod wrap;
