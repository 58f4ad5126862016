//! What a run needs to know of whom it works for: the profile's settings, and the rights of the key that it
//! was asked for with, as they are now. Loaded in the transaction that takes the run up.

use std::fmt;

use adjutant_core::credential::Service;
use adjutant_core::model::{ModelAccess, ModelError, ModelErrorKind, Purpose};
use adjutant_core::profile::ProfileSettings;
use adjutant_core::prompt::Opening;
use adjutant_core::scope::{Origin, Scope};
use adjutant_core::tool::{AddedBy, ToolCatalogue};
use adjutant_store::credentials::{self, Unusable};
use adjutant_store::error::StoreError;
use adjutant_store::profiles::{self, Employer};
use adjutant_store::runs::Run;
use adjutant_store::tx::Tx;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::engine::Parts;

/// An assistant as one run knows it; what a person changes meanwhile counts from the next run on.
#[derive(Debug, Clone)]
pub struct Assistant {
    pub system_prompt: String,
    pub user_context: Option<String>,
    pub zone: Tz,
    /// What may answer, in order of preference; empty: the operator's order.
    pub models: Vec<String>,
    /// With whose keys; with nobody's while one of the user's own cannot be used.
    pub access: ModelAccess,
    /// The key that cannot be used, which nobody else's replaces.
    pub(super) broken: Option<BrokenKey>,
    /// Of the operator's servers; `None`: all.
    pub(super) allowed_servers: Option<Vec<String>>,
}

/// Why a run may not begin or go on.
pub(super) const RIGHTS_LOST: (&str, &str) =
    ("rights_lost", "the key that asked for this was revoked, or its user may not use this server any more");

/// A key for a model that its user stored and that cannot be used.
#[derive(Debug, Clone)]
pub(super) struct BrokenKey {
    service: Service,
    why: Unusable,
}

impl BrokenKey {
    pub(super) fn code(&self) -> &'static str {
        self.why.code()
    }
}

impl fmt::Display for BrokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the credential for {} {}", self.service, self.why)
    }
}

impl From<BrokenKey> for StoreError {
    fn from(BrokenKey { service, why }: BrokenKey) -> Self {
        Self::Credential { service, why }
    }
}

/// What was loaded for a run.
pub(crate) struct Loaded {
    /// `false`: nothing may be done any more.
    pub(crate) is_active: bool,
    /// With the rights that it has now.
    pub(crate) scope: Scope,
    pub(crate) assistant: Assistant,
    /// The time of this transaction.
    pub(crate) now: DateTime<Utc>,
}

pub(crate) async fn load(tx: &mut Tx, parts: &Parts, scope: &Scope) -> Result<Loaded, StoreError> {
    let Employer { rights, settings, now } = profiles::employer(tx, scope.key.as_deref()).await?;
    let mut scope = scope.clone();
    // What the server itself begins says for itself what it may do.
    if scope.key.is_some() {
        scope.operator_llm &= rights.operator_llm;
        scope.role = rights.role;
    }
    let assistant = Assistant::new(tx, settings, &scope, parts).await?;
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
    let assistant = Assistant::new(tx, settings, &scope, parts).await?;
    Ok(Loaded { is_active: rights.is_active, scope, assistant, now })
}

impl Assistant {
    async fn new(tx: &mut Tx, settings: ProfileSettings, scope: &Scope, parts: &Parts) -> Result<Self, StoreError> {
        let (access, broken) = match credentials::model_keys(tx, &parts.vault).await {
            Ok(keys) => (ModelAccess { keys, operator: scope.operator_llm }, None),
            Err(StoreError::Credential { service, why }) => (ModelAccess::default(), Some(BrokenKey { service, why })),
            Err(error) => return Err(error),
        };
        Ok(Self {
            system_prompt: settings.system_prompt.unwrap_or_else(|| parts.system_prompt.clone()),
            user_context: settings.user_context,
            zone: settings.time_zone,
            models: settings.models,
            access,
            broken,
            allowed_servers: settings.allowed_servers,
        })
    }

    /// Which models would be asked, in order, or why none may be; the one that a request names alone.
    pub(super) fn plan(&self, parts: &Parts, named: Option<&str>) -> Result<Vec<String>, ModelError> {
        if let Some(broken) = &self.broken {
            return Err(ModelError::new(ModelErrorKind::NoKey, broken.to_string()));
        }
        match named {
            Some(model) => parts.llm.plan(&[model.to_owned()], Purpose::Answer, &self.access),
            None => parts.llm.plan(&self.models, Purpose::Answer, &self.access),
        }
    }

    /// Which models would be asked for small work that a person wants, in order, or why none may be: those that the profile
    /// names, as for everything in it, else the small one, else those that answer.
    pub(crate) fn plan_small(&self, parts: &Parts) -> Result<Vec<String>, ModelError> {
        if !self.models.is_empty() || self.broken.is_some() || !parts.llm.has_small_model() {
            return self.plan(parts, None);
        }
        parts.llm.plan(&[], Purpose::Small, &self.access)
    }

    pub(super) fn opening(&self) -> Opening<'_> {
        let (system, user_context) = (&self.system_prompt, self.user_context.as_deref());
        Opening { system, user_context, summary: None, zone: self.zone }
    }

    /// Leaves out what this profile may not use of the operator's servers.
    pub(super) fn restrict(&self, catalogue: &mut ToolCatalogue) {
        let Some(allowed) = &self.allowed_servers else { return };
        catalogue.tools.retain(|tool| tool.added_by == AddedBy::User || allowed.contains(&tool.server));
    }
}
