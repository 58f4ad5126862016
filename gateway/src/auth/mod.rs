//! Who is calling: keys, signed-in browsers, tickets; their cache, and the address that tries too many wrong ones.

pub mod cookie;
pub mod extract;
pub mod identity;
pub mod key;
pub mod keys;
pub mod label;
pub mod limiter;
pub mod origin;
pub mod presented;
pub mod profiles;
pub mod socket;
