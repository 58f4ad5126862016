//! What an owner decided about tools: policies, and what was allowed for good. The policies are read when a worker
//! begins, because they say what the model may know of; all of it is read for every answer that asks for tools.

use std::collections::HashMap;

use adjutant_core::limits;
use adjutant_core::run::addresses::{Look, Named, reaches_strangers};
use adjutant_core::run::consent::{Facts, Policy};
use adjutant_core::tool::{AddedBy, Risk, ToolCatalogue, ToolSpec};
use adjutant_store::consents::{self, Definition};
use adjutant_store::error::StoreError;
use adjutant_store::policies;
use adjutant_store::tx::Tx;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rules {
    servers: HashMap<String, Policy>,
    tools: HashMap<(String, String), Policy>,
    allowed: HashMap<(String, String), Definition>,
}

impl Rules {
    /// The policies alone.
    pub(super) async fn to_offer(tx: &mut Tx) -> Result<Self, StoreError> {
        let mut rules = Self::default();
        for row in policies::all(tx, limits::POLICIES).await? {
            match row.tool {
                Some(tool) => drop(rules.tools.insert((row.server, tool), row.policy)),
                None => drop(rules.servers.insert(row.server, row.policy)),
            }
        }
        Ok(rules)
    }

    pub(super) async fn load(tx: &mut Tx, agent: &str) -> Result<Self, StoreError> {
        let mut rules = Self::to_offer(tx).await?;
        for consent in consents::of_agent(tx, agent).await? {
            // Of an older consent nobody knows what was allowed: it is asked for again.
            if let Some(definition) = consent.definition {
                rules.allowed.insert((consent.server, consent.tool), definition);
            }
        }
        Ok(rules)
    }

    /// The tool's own policy, else its server's, else the default.
    pub(super) fn policy(&self, spec: &ToolSpec) -> Policy {
        let own = self.tools.get(&(spec.server.clone(), spec.tool.clone()));
        let default = match spec.added_by {
            AddedBy::Operator => Policy::Annotations,
            AddedBy::User => Policy::Ask,
        };
        own.or_else(|| self.servers.get(&spec.server)).copied().unwrap_or(default)
    }

    /// Whether the model may know of the tool.
    pub(super) fn offers(&self, spec: &ToolSpec) -> bool {
        self.policy(spec) != Policy::Deny
    }

    pub(super) fn facts(&self, spec: &ToolSpec, arguments: &Value, named: &Named) -> Facts {
        let risk = spec.hints.risk();
        let allowed = self.allowed.get(&(spec.server.clone(), spec.tool.clone()));
        let look = if risk == Risk::ReadOnly { Look::Reading } else { Look::Acting };
        Facts {
            policy: self.policy(spec),
            risk,
            stays_home: spec.hints.open_world == Some(false),
            allowed_always: allowed.is_some_and(|definition| *definition == definition_of(spec)),
            reaches_strangers: reaches_strangers(arguments, named, look),
        }
    }

    /// Whether the model was shown text that somebody else than the operator wrote: descriptions of a person's own servers.
    pub(super) fn shows_foreign_text(&self, catalogue: &ToolCatalogue) -> bool {
        catalogue.tools.iter().any(|spec| spec.added_by == AddedBy::User && self.offers(spec))
    }
}

/// What a consent holds for: a tool that describes itself otherwise is another tool.
pub(super) fn definition_of(spec: &ToolSpec) -> Definition {
    let hints = serde_json::to_value(spec.hints).unwrap_or_default();
    let text = Value::from(vec![spec.description.clone().into(), spec.input_schema.clone(), hints]).to_string();
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use adjutant_core::tool::Hints;
    use serde_json::json;

    use super::*;

    fn spec(added_by: AddedBy) -> ToolSpec {
        ToolSpec {
            name: "s__t".to_owned(),
            server: "s".to_owned(),
            tool: "t".to_owned(),
            description: "does it".to_owned(),
            input_schema: json!({"type": "object"}),
            hints: Hints::default(),
            added_by,
        }
    }

    #[test]
    fn the_nearest_policy_holds() {
        let mut rules = Rules::default();
        assert_eq!(rules.policy(&spec(AddedBy::Operator)), Policy::Annotations);
        assert_eq!(rules.policy(&spec(AddedBy::User)), Policy::Ask);
        rules.servers.insert("s".to_owned(), Policy::Auto);
        assert_eq!(rules.policy(&spec(AddedBy::User)), Policy::Auto);
        rules.tools.insert(("s".to_owned(), "t".to_owned()), Policy::Deny);
        assert_eq!(rules.policy(&spec(AddedBy::Operator)), Policy::Deny);
        assert!(!rules.offers(&spec(AddedBy::Operator)));
    }

    #[test]
    fn a_consent_holds_for_the_definition_that_was_allowed() {
        let known = spec(AddedBy::Operator);
        let mut rules = Rules::default();
        rules.allowed.insert(("s".to_owned(), "t".to_owned()), definition_of(&known));
        let allowed = |spec: &ToolSpec| rules.facts(spec, &json!({}), &Named::default()).allowed_always;
        assert!(allowed(&known));
        let hints = Hints { open_world: Some(false), ..Hints::default() };
        for changed in [
            ToolSpec { description: "does it, and more".to_owned(), ..known.clone() },
            ToolSpec { input_schema: json!({"type": "object", "required": ["to"]}), ..known.clone() },
            ToolSpec { hints, ..known.clone() },
            ToolSpec { tool: "t2".to_owned(), ..known.clone() },
        ] {
            assert!(!allowed(&changed), "{changed:?}");
        }
    }

    #[test]
    fn descriptions_of_a_persons_own_servers_are_foreign_text() {
        let catalogue = |added_by| ToolCatalogue { tools: vec![spec(added_by)], troubles: Vec::new() };
        let mut rules = Rules::default();
        assert!(!rules.shows_foreign_text(&catalogue(AddedBy::Operator)));
        assert!(rules.shows_foreign_text(&catalogue(AddedBy::User)));
        rules.servers.insert("s".to_owned(), Policy::Deny);
        assert!(!rules.shows_foreign_text(&catalogue(AddedBy::User)));
    }
}
