//! Runs, from submission to their end.

mod acting;
pub(crate) mod commit;
pub mod control;
mod driver;
mod gathering;
mod hold;
pub mod recovery;
mod resume;
pub mod submission;
mod submit;
mod thinking;
