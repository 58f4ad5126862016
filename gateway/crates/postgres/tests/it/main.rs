//! The server as its callers see it: started, used, killed, started again. Run as root, the server itself
//! runs as `nobody`, and one test starts everything as `nobody`.
#![expect(clippy::disallowed_methods, reason = "the tests start programs and wait for processes they do not own")]
#![expect(clippy::unwrap_used, reason = "this is a test binary")]

mod crashes;
mod folders;
mod launcher;
mod rig;
mod running;
