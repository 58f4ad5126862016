//! Which models may be asked, in which order, and with whose key. Pure.

use std::fmt;

use adjutant_core::limits;
use adjutant_core::model::{ModelAccess, ModelError, ModelErrorKind, PaidBy, ProviderKey, Purpose};
use secrecy::ExposeSecret;

use crate::settings::Provider;

const NAME_BYTES: usize = 256;

pub(crate) const ADVICE: &str = "no language model is configured: set LLM_PROVIDER to openai, anthropic or ollama, \
    LLM_MODEL to a model's name and OPENAI_API_KEY or ANTHROPIC_API_KEY to your key (OPENAI_BASE_URL serves every \
    compatible provider), or start Ollama on this machine with a model, then restart";

/// `provider/model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelName {
    pub(crate) provider: Provider,
    pub(crate) model: String,
}

impl ModelName {
    /// Only the name of a known provider counts as one: `meta/llama` is a model of the default provider.
    pub(crate) fn parse(text: &str, default: Option<Provider>) -> Option<Self> {
        let text = text.trim();
        let named = text.split_once('/').and_then(|(name, model)| Some((Provider::parse(name)?, model)));
        let (provider, model) = match named {
            Some(named) => named,
            None => (default?, text),
        };
        let fits = !model.is_empty() && model.len() <= NAME_BYTES && !model.chars().any(char::is_control);
        fits.then(|| Self { provider, model: model.to_owned() })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.as_str(), self.model)
    }
}

/// A model that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) name: ModelName,
    /// The user's key, by its place; `None`: the operator's.
    pub(crate) key: Option<usize>,
}

impl Choice {
    pub(crate) fn paid_by(&self) -> PaidBy {
        if self.key.is_some() { PaidBy::User } else { PaidBy::Operator }
    }
}

/// What the operator has.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) default_provider: Option<Provider>,
    pub(crate) chain: Vec<ModelName>,
    pub(crate) small: Option<ModelName>,
    pub(crate) providers: Vec<Provider>,
}

/// Models that somebody chose are asked as chosen, each with the user's key for its provider, or with the
/// operator's where the user has none and may. Where nobody chose, a user with a key of their own pays for
/// all: first what the key prefers, then the operator's models of that provider, then its usual model;
/// only a user without any key comes to the operator's models and keys.
pub(crate) fn choose(
    setup: &Setup,
    models: &[String],
    purpose: Purpose,
    access: &ModelAccess,
) -> Result<Vec<Choice>, ModelError> {
    let mut keys = Vec::new();
    for (index, key) in access.keys.iter().enumerate() {
        keys.push((index, Provider::parse(&key.provider), key));
    }
    let default = setup.default_provider.or_else(|| keys.iter().find_map(|(_, provider, _)| *provider));
    let mut choices = Vec::new();
    let (mut missing, mut unknown) = (Vec::new(), Vec::new());
    if models.is_empty() {
        let operators = setup.small.iter().filter(|_| purpose == Purpose::Small).chain(&setup.chain);
        if keys.is_empty() {
            for name in operators {
                take(setup, access, name.clone(), &mut choices, &mut missing);
            }
        } else {
            for name in users(setup, purpose, &keys) {
                take(setup, access, name, &mut choices, &mut missing);
            }
        }
    } else {
        for text in models {
            match ModelName::parse(text, default) {
                Some(name) => take(setup, access, name, &mut choices, &mut missing),
                None => unknown.push(shown(text)),
            }
        }
    }
    choices.truncate(limits::MODEL_CHAIN);
    if choices.is_empty() { Err(nobody(setup, access, &missing, &unknown)) } else { Ok(choices) }
}

/// What a user's own keys pay for, where nobody chose.
fn users(setup: &Setup, purpose: Purpose, keys: &[(usize, Option<Provider>, &ProviderKey)]) -> Vec<ModelName> {
    let mut names: Vec<ModelName> = Vec::new();
    let has_key = |name: &&ModelName| keys.iter().any(|(_, provider, _)| *provider == Some(name.provider));
    if purpose == Purpose::Small {
        names.extend(setup.small.iter().filter(has_key).cloned());
    }
    for (_, provider, key) in keys {
        let preferred = key.preferred_model.as_deref().and_then(|model| ModelName::parse(model, *provider));
        names.extend(preferred.filter(|name| Some(name.provider) == *provider));
    }
    names.extend(setup.chain.iter().filter(has_key).cloned());
    for provider in keys.iter().filter_map(|(_, provider, _)| *provider) {
        if !names.iter().any(|name| name.provider == provider)
            && let Some(model) = provider.usual_model()
        {
            names.push(ModelName { provider, model: model.to_owned() });
        }
    }
    names
}

fn take(setup: &Setup, access: &ModelAccess, name: ModelName, choices: &mut Vec<Choice>, missing: &mut Vec<String>) {
    let provider = name.provider;
    let own = access.keys.iter().position(|key| Provider::parse(&key.provider) == Some(provider));
    let key = match own {
        // A key that is there but cannot be used is not replaced by anybody else's.
        Some(index) if access.keys[index].api_key.expose_secret().trim().is_empty() => {
            return missing.push(format!("your key llm_{} is empty", provider.as_str()));
        }
        Some(index) => Some(index),
        None if access.operator && setup.providers.contains(&provider) => None,
        None => return missing.push(format!("{name} needs a key of yours")),
    };
    let choice = Choice { name, key };
    if !choices.contains(&choice) {
        choices.push(choice);
    }
}

fn nobody(setup: &Setup, access: &ModelAccess, missing: &[String], unknown: &[String]) -> ModelError {
    if access.keys.is_empty() && access.operator && setup.providers.is_empty() {
        return ModelError::new(ModelErrorKind::NotConfigured, ADVICE);
    }
    if let (true, Some(name)) = (missing.is_empty(), unknown.first()) {
        let message = format!("'{name}' is no name of a model: write provider/model, as openai/gpt-5-mini");
        return ModelError::new(ModelErrorKind::NoKey, message);
    }
    let why = match missing.first() {
        Some(why) => why.clone(),
        None if access.keys.is_empty() => "you have no key for a language model".to_owned(),
        None => "none of your keys is for a provider that is known here".to_owned(),
    };
    let message = format!(
        "{why}, and the operator's may not be used for it: store a key as llm_anthropic or llm_openai \
         (adjutant credential, or PUT /api/credentials/llm_anthropic), or ask the operator to let you use theirs"
    );
    ModelError::new(ModelErrorKind::NoKey, message)
}

/// What somebody wrote, fit for a sentence.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
