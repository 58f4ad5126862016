//! The models that a provider lists. Asking costs nothing, and needs no model to be chosen yet.

use adjutant_core::model::{ModelError, ModelErrorKind, Purpose};

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

/// What a provider says of one of the operator's models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub provider: &'static str,
    /// As the provider has it; none where the provider is set up and no model of it is named.
    pub model: Option<String>,
    pub purpose: Purpose,
    pub said: Result<Offered, ModelError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    Listed,
    /// Among as many that are listed it is not.
    Absent {
        of: usize,
    },
    /// The provider lists nothing.
    Untold,
    /// The provider answers, and nobody named a model.
    Unasked,
}

impl Check {
    pub fn sentence(&self) -> String {
        let model = self.model.as_deref().unwrap_or_default();
        match &self.said {
            Ok(Offered::Listed) => format!("the model provider answers and offers {model}"),
            Ok(Offered::Absent { of }) => {
                format!("the model provider answers, but {model} is not among the {of} models it lists")
            }
            Ok(Offered::Untold) => {
                format!("the model provider answers but does not list its models, so {model} is not checked")
            }
            Ok(Offered::Unasked) => "the model provider answers; profiles may name its models".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}
