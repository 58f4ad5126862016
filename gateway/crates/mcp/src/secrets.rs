//! Credentials that a server was given and that must not come back through it: into a prompt, a transcript, a
//! question or an error. What a server encodes cannot be found here; it has the secret anyway.

use std::sync::Arc;

use adjutant_core::message::ForeignText;
use adjutant_core::tool::ToolReply;

use crate::config::{Server, Transport};
use crate::failure::CallFailure;

/// Shorter values, such as a user's name, are words that occur.
const SHORTEST: usize = 8;
const INSTEAD: &str = "[credential]";

#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[String]>);

impl Secrets {
    pub(crate) fn of(server: &Server) -> Self {
        let Transport::Http(http) = &server.transport else { return Self::default() };
        let values = http.headers.values().filter_map(|value| value.to_str().ok());
        // The token behind `Bearer` alone, too.
        let values = values.flat_map(|value| [Some(value), value.split_once(' ').map(|(_, token)| token)]);
        let mut secrets: Vec<String> =
            values.flatten().filter(|value| value.len() >= SHORTEST).map(str::to_owned).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets.into())
    }

    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }

    pub(crate) fn clean(&self, text: String) -> String {
        if !self.are_in(&text) {
            return text;
        }
        self.0.iter().fold(text, |text, secret| text.replace(secret, INSTEAD))
    }

    pub(crate) fn clean_reply(&self, reply: ToolReply) -> ToolReply {
        if !self.are_in(reply.content.as_str()) {
            return reply;
        }
        let content = ForeignText::new(self.clean(reply.content.as_str().to_owned()));
        ToolReply { content, ..reply }
    }

    pub(crate) fn clean_failure(&self, failure: CallFailure) -> CallFailure {
        match failure {
            CallFailure::NotSent(reason) => CallFailure::NotSent(self.clean(reason)),
            CallFailure::Unavailable(reason) => CallFailure::Unavailable(self.clean(reason)),
            CallFailure::Refused(reason) => CallFailure::Refused(self.clean(reason)),
            CallFailure::Answered(reason) => CallFailure::Answered(self.clean(reason)),
            CallFailure::Lost(reason) => CallFailure::Lost(self.clean(reason)),
        }
    }
}
