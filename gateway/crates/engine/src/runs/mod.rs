//! Runs, from submission to their end.

mod acting;
pub mod assistant;
pub(crate) mod commit;
pub mod control;
mod driver;
mod gathering;
pub(crate) mod hold;
pub mod recovery;
mod resume;
mod sent;
pub mod submission;
mod submit;
mod thinking;
mod title;
