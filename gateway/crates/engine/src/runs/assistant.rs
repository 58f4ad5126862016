//! What a run needs to know of whom it works for: the profile's settings, and the rights of the key that it
//! was asked for with, as they are now. Loaded in the transaction that takes the run up.

use adjutant_core::model::{ModelAccess, ModelError, Purpose};
use adjutant_core::profile::ProfileSettings;
use adjutant_core::prompt::Opening;
use adjutant_core::scope::{Origin, Scope};
use adjutant_core::tool::{AddedBy, ToolCatalogue};
use adjutant_store::error::StoreError;
use adjutant_store::profiles::{self, Employer};
use adjutant_store::runs::Run;
use adjutant_store::tx::Tx;
use adjutant_store::users;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::engine::{Engine, Parts};

/// An assistant as one run knows it; what a person changes meanwhile counts from the next run on.
#[derive(Debug, Clone)]
pub struct Assistant {
    pub system_prompt: String,
    pub user_context: Option<String>,
    pub zone: Tz,
    /// What may answer, in order of preference; empty: the operator's order.
    pub models: Vec<String>,
    /// With whose keys.
    pub access: ModelAccess,
    /// Of the operator's servers; `None`: all.
    allowed_servers: Option<Vec<String>>,
}

/// Why a run may not begin or go on.
pub(super) const RIGHTS_LOST: (&str, &str) =
    ("rights_lost", "the key that asked for this was revoked, or its user may not use this server any more");

/// What was loaded for a run.
pub(super) struct Loaded {
    /// `false`: nothing may be done any more.
    pub(super) is_active: bool,
    /// With the rights that it has now.
    pub(super) scope: Scope,
    pub(super) assistant: Assistant,
    /// The time of this transaction.
    pub(super) now: DateTime<Utc>,
}

pub(super) async fn load(tx: &mut Tx, parts: &Parts, scope: &Scope) -> Result<Loaded, StoreError> {
    let Employer { rights, settings, now } = profiles::employer(tx, scope.key.as_deref()).await?;
    let mut scope = scope.clone();
    // What the server itself begins says for itself what it may do.
    if scope.key.is_some() {
        scope.operator_llm &= rights.operator_llm;
        scope.role = rights.role;
    }
    let assistant = Assistant::new(settings, &scope, parts);
    Ok(Loaded { is_active: rights.is_active, scope, assistant, now })
}

/// As [`load`], for a run that was stored: with a key it has that key's rights, without one its user's.
pub(super) async fn load_again(tx: &mut Tx, parts: &Parts, run: &Run) -> Result<Loaded, StoreError> {
    let Employer { rights, settings, now } = profiles::employer(tx, run.key_id.as_deref()).await?;
    let owner = tx.owner().clone();
    let origin = Origin::parse(&run.origin).unwrap_or(Origin::Internal);
    let mut scope = Scope::new(owner.user, owner.profile, rights.role, origin);
    scope.operator_llm = rights.operator_llm;
    scope.key = run.key_id.as_deref().map(Into::into);
    let assistant = Assistant::new(settings, &scope, parts);
    Ok(Loaded { is_active: rights.is_active, scope, assistant, now })
}

/// What somebody may know of themselves and of what answers them.
#[derive(Debug, Clone)]
pub struct About {
    pub display_name: String,
    /// The operator's model keys may pay, for this scope.
    pub operator_llm: bool,
    /// Which models would be asked, in order, or why none may be.
    pub models: Result<Vec<String>, ModelError>,
}

impl Engine {
    /// Who this scope is, and which models it may use now.
    pub async fn about(&self, scope: &Scope) -> Result<About, StoreError> {
        let parts = &self.inner.parts;
        let (user, loaded) = self
            .store()
            .scoped(&scope.owner(), async |tx| Ok((users::myself(tx).await?, load(tx, parts, scope).await?)))
            .await?;
        let Assistant { models, access, .. } = loaded.assistant;
        Ok(About {
            display_name: user.display_name,
            operator_llm: loaded.scope.operator_llm,
            models: parts.llm.plan(&models, Purpose::Answer, &access),
        })
    }
}

impl Assistant {
    fn new(settings: ProfileSettings, scope: &Scope, parts: &Parts) -> Self {
        Self {
            system_prompt: settings.system_prompt.unwrap_or_else(|| parts.system_prompt.clone()),
            user_context: settings.user_context,
            zone: settings.time_zone,
            models: settings.models,
            access: ModelAccess { keys: Vec::new(), operator: scope.operator_llm },
            allowed_servers: settings.allowed_servers,
        }
    }

    pub(super) fn opening(&self) -> Opening<'_> {
        Opening { system: &self.system_prompt, user_context: self.user_context.as_deref(), zone: self.zone }
    }

    /// Leaves out what this profile may not use of the operator's servers.
    pub(super) fn restrict(&self, catalogue: &mut ToolCatalogue) {
        let Some(allowed) = &self.allowed_servers else { return };
        catalogue.tools.retain(|tool| tool.added_by == AddedBy::User || allowed.contains(&tool.server));
    }
}
