//! What Adjutant does: runs from submission to their end, the one door to tools, events and their
//! way to listeners, recovery after a crash. Deliberately absent: wire formats, HTTP, MCP and model
//! protocols, which come in through the ports of `adjutant_core`.

pub mod engine;
pub mod events;
mod notices;
pub mod runs;
pub mod supervisor;
pub mod threads;
