//! Words and rules of Adjutant: the types every other crate speaks and the decisions that need no
//! I/O. Deliberately absent: a runtime, a database, HTTP, the environment and the wall clock.

pub mod clock;
pub mod cost;
pub mod credential;
pub mod ids;
pub mod limits;
pub mod message;
pub mod model;
pub mod profile;
pub mod prompt;
pub mod question;
pub mod run;
pub mod scope;
pub mod tool;
