//! Who is calling: keys, their cache, and the address that tries too many wrong ones.

pub mod extract;
pub mod identity;
pub mod key;
pub mod keys;
pub mod limiter;
pub mod origin;
pub mod presented;
pub mod profiles;
pub mod socket;
