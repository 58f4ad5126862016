//! The run machine: a pure function from a state and an event to a state and effects. No await, no
//! clock, no randomness; the engine performs the effects and feeds the events.

pub mod addresses;
pub mod checkpoint;
pub mod consent;
pub mod machine;
pub mod state;
pub mod typed;
