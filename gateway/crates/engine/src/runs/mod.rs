//! Runs, from submission to their end.

mod acting;
pub(crate) mod aside;
mod asking;
pub mod assistant;
pub(crate) mod commit;
pub mod control;
mod driver;
mod gathering;
pub(crate) mod hold;
mod joining;
pub mod models;
mod past;
pub mod recovery;
mod resume;
pub mod revise;
mod rules;
mod sent;
pub mod submission;
pub(crate) mod submit;
mod thinking;
mod title;
