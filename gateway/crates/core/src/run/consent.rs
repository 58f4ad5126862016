//! Whether a tool call runs, asks a person first, or is refused. Pure: a table of a policy, what the tool says of
//! itself, what a person allowed before, and what the run has read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tool::Risk;

/// What its owner wants of a server or of one of its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// What reads runs, what destroys asks, and once foreign text was read all but reading asks.
    Annotations,
    /// All but reading asks.
    Ask,
    /// Runs, but never to an address that nobody named.
    Auto,
    /// Is neither offered nor run.
    Deny,
}

impl Policy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotations => "annotations",
            Self::Ask => "ask",
            Self::Auto => "auto",
            Self::Deny => "deny",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Annotations, Self::Ask, Self::Auto, Self::Deny].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// What is known of a call before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub policy: Policy,
    pub risk: Risk,
    /// The server says that the tool stays on its host.
    pub stays_home: bool,
    /// A person allowed this tool for good.
    pub allowed_always: bool,
    /// Its arguments name somebody whom the user did not name in this run.
    pub reaches_strangers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Run,
    Ask(Why),
    Refuse,
}

/// Why a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The tool says that it destroys.
    Destructive,
    /// The policy wants it.
    Policy,
    /// The run has read what others wrote, and the tool may have effects.
    ForeignText,
    /// The run has read what others wrote, and the call goes to an address that the user did not name.
    Address,
}

impl Why {
    /// As it is stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Destructive => "destructive",
            Self::Policy => "policy",
            Self::ForeignText => "foreign_text",
            Self::Address => "address",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Destructive, Self::Policy, Self::ForeignText, Self::Address].into_iter().find(|why| why.as_str() == text)
    }
}

/// `always` and `auto` are consent to a tool, not to whom it reaches: after foreign text neither covers an address that
/// the user did not name.
pub fn decide(facts: &Facts, read_foreign_text: bool) -> Verdict {
    let Facts { policy, risk, stays_home, allowed_always, reaches_strangers } = *facts;
    // The planted twin: it forgets what was read.
    let read_foreign_text = read_foreign_text && cfg!(not(feature = "fault-trusting-consent"));
    if policy == Policy::Deny {
        return Verdict::Refuse;
    }
    if read_foreign_text && !stays_home && reaches_strangers {
        return Verdict::Ask(Why::Address);
    }
    match risk {
        Risk::ReadOnly => Verdict::Run,
        _ if allowed_always || policy == Policy::Auto => Verdict::Run,
        Risk::Destructive => Verdict::Ask(Why::Destructive),
        Risk::Effects if policy == Policy::Ask => Verdict::Ask(Why::Policy),
        Risk::Effects if read_foreign_text => Verdict::Ask(Why::ForeignText),
        Risk::Effects => Verdict::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Policy::{Annotations, Ask, Auto, Deny};
    use Risk::{Destructive, Effects, ReadOnly};

    const HOME: u8 = 1;
    const ALWAYS: u8 = 2;
    const STRANGER: u8 = 4;
    const FOREIGN: u8 = 8;

    #[test]
    #[cfg(not(feature = "fault-trusting-consent"))]
    fn the_policies_as_a_table() {
        let ask = Verdict::Ask;
        let table = [
            (Annotations, ReadOnly, 0, Verdict::Run),
            (Annotations, ReadOnly, FOREIGN, Verdict::Run),
            (Annotations, ReadOnly, STRANGER, Verdict::Run),
            (Annotations, ReadOnly, FOREIGN | STRANGER, ask(Why::Address)),
            (Annotations, ReadOnly, FOREIGN | STRANGER | ALWAYS, ask(Why::Address)),
            (Annotations, ReadOnly, FOREIGN | STRANGER | HOME, Verdict::Run),
            (Annotations, Effects, 0, Verdict::Run),
            (Annotations, Effects, STRANGER, Verdict::Run),
            (Annotations, Effects, FOREIGN, ask(Why::ForeignText)),
            (Annotations, Effects, FOREIGN | HOME, ask(Why::ForeignText)),
            (Annotations, Effects, FOREIGN | ALWAYS, Verdict::Run),
            (Annotations, Effects, FOREIGN | ALWAYS | STRANGER, ask(Why::Address)),
            (Annotations, Effects, FOREIGN | ALWAYS | STRANGER | HOME, Verdict::Run),
            (Annotations, Destructive, 0, ask(Why::Destructive)),
            (Annotations, Destructive, HOME, ask(Why::Destructive)),
            (Annotations, Destructive, ALWAYS, Verdict::Run),
            (Annotations, Destructive, FOREIGN | ALWAYS, Verdict::Run),
            (Ask, ReadOnly, 0, Verdict::Run),
            (Ask, ReadOnly, FOREIGN, Verdict::Run),
            (Ask, ReadOnly, FOREIGN | STRANGER, ask(Why::Address)),
            (Ask, Effects, 0, ask(Why::Policy)),
            (Ask, Effects, HOME, ask(Why::Policy)),
            (Ask, Effects, ALWAYS, Verdict::Run),
            (Ask, Effects, ALWAYS | FOREIGN | STRANGER, ask(Why::Address)),
            (Ask, Destructive, 0, ask(Why::Destructive)),
            (Auto, ReadOnly, FOREIGN, Verdict::Run),
            (Auto, Effects, 0, Verdict::Run),
            (Auto, Effects, FOREIGN, Verdict::Run),
            (Auto, Effects, FOREIGN | STRANGER, ask(Why::Address)),
            (Auto, Destructive, STRANGER, Verdict::Run),
            (Auto, Destructive, FOREIGN | STRANGER | HOME, Verdict::Run),
            (Deny, ReadOnly, 0, Verdict::Refuse),
            (Deny, Effects, ALWAYS, Verdict::Refuse),
            (Deny, Destructive, FOREIGN | STRANGER, Verdict::Refuse),
        ];
        for (policy, risk, marks, expected) in table {
            let is = |mark: u8| marks & mark != 0;
            let facts = Facts {
                policy,
                risk,
                stays_home: is(HOME),
                allowed_always: is(ALWAYS),
                reaches_strangers: is(STRANGER),
            };
            assert_eq!(decide(&facts, is(FOREIGN)), expected, "{policy:?} {risk:?} {marks:04b}");
        }
    }
}
