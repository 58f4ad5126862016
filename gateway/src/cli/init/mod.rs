//! `adjutant init`: asks which model answers, tries it, and writes the settings. May be run again: what was answered
//! before is offered, and everything else in the file stays.

pub(super) mod command;

mod choice;
mod dialogue;
mod trial;
