//! The models that a provider lists. Asking costs nothing, and needs no model to be chosen yet.

use adjutant_core::model::{ModelError, ModelErrorKind};

use crate::client::Client;
use crate::settings::Settings;

/// More than anybody reads; a list may be as long as its bytes allow.
const MOST: usize = 5_000;

/// The names that `LLM_MODEL` may have with these settings, as the provider orders them; none where it does not list
/// them. The settings' own model does not matter.
pub async fn models(settings: &Settings) -> Result<Vec<String>, ModelError> {
    let settings = Settings { model: "any".to_owned(), ..settings.clone() };
    let client =
        Client::new(settings).map_err(|error| ModelError::new(ModelErrorKind::NotConfigured, error.to_string()))?;
    let mut listed = client.models().await?;
    listed.retain(|name| !name.is_empty());
    listed.truncate(MOST);
    Ok(listed)
}
