//! The wire format of Anthropic's messages.

pub(crate) mod answer;
pub(crate) mod request;
