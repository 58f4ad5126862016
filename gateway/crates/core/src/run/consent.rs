//! Whether a tool call runs, or asks a person first: the policy `annotations` of operator servers.

use crate::tool::Risk;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Run,
    Ask,
}

/// Read-only tools run. What a person allowed for good runs. Explicitly destructive tools ask, and
/// once the run has read foreign text everything else that may have effects asks too.
pub fn decide(risk: Risk, always_allowed: bool, read_foreign_text: bool) -> Verdict {
    match risk {
        Risk::ReadOnly => Verdict::Run,
        _ if always_allowed => Verdict::Run,
        Risk::Destructive => Verdict::Ask,
        Risk::Effects if read_foreign_text => Verdict::Ask,
        Risk::Effects => Verdict::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_as_a_table() {
        let table = [
            (Risk::ReadOnly, false, true, Verdict::Run),
            (Risk::Effects, false, false, Verdict::Run),
            (Risk::Effects, false, true, Verdict::Ask),
            (Risk::Effects, true, true, Verdict::Run),
            (Risk::Destructive, false, false, Verdict::Ask),
            (Risk::Destructive, true, true, Verdict::Run),
        ];
        for (risk, always, foreign, expected) in table {
            assert_eq!(decide(risk, always, foreign), expected, "{risk:?} {always} {foreign}");
        }
    }
}
