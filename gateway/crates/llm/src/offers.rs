//! The models that a provider lists. Asking costs nothing, and needs no model to be chosen yet.

use std::cmp::Reverse;

use adjutant_core::limits;
use adjutant_core::model::{ModelError, ModelErrorKind, Purpose};

use crate::client::{Client, Listed};
use crate::settings::Settings;

/// In the names of models that do something else than chat.
const OTHERS: [&str; 15] = [
    "embed",
    "minilm",
    "bge-",
    "rerank",
    "whisper",
    "transcribe",
    "tts",
    "dall-e",
    "-image",
    "sora",
    "moderation",
    "realtime",
    "audio",
    "davinci",
    "babbage",
];

/// The names that `LLM_MODEL` may have with these settings; none where the provider does not list them. Those that chat
/// come before the others and the newest first, where the list tells how old they are; else they stay as listed. The
/// settings' own model does not matter.
pub async fn models(settings: &Settings) -> Result<Vec<String>, ModelError> {
    let settings = Settings { model: "any".to_owned(), ..settings.clone() };
    let client =
        Client::new(settings).map_err(|error| ModelError::new(ModelErrorKind::NotConfigured, error.to_string()))?;
    Ok(in_order(client.models().await?))
}

fn in_order(mut listed: Vec<Listed>) -> Vec<String> {
    listed.retain(|model| !model.name.is_empty());
    listed.sort_by_cached_key(|model| (!chats(&model.name), Reverse(model.since)));
    listed.truncate(limits::MODEL_LIST);
    listed.into_iter().map(|model| model.name).collect()
}

/// As far as the name tells: it decides the order alone.
fn chats(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !OTHERS.iter().any(|part| name.contains(part))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_chat_come_first_and_the_newest_of_them() {
        let order = |listed: &[(&str, Option<i64>)]| {
            in_order(listed.iter().map(|(name, since)| Listed { name: (*name).to_owned(), since: *since }).collect())
        };
        let listed = [
            ("gpt-4o", Some(10)),
            ("text-embedding-4", Some(90)),
            ("", Some(99)),
            ("gpt-5", Some(30)),
            ("gpt-5-mini", Some(30)),
            ("whisper-1", Some(5)),
        ];
        assert_eq!(order(&listed), ["gpt-5", "gpt-5-mini", "gpt-4o", "text-embedding-4", "whisper-1"]);
        assert_eq!(order(&[("b", None), ("a", None), ("c", Some(1))]), ["c", "b", "a"]);
        assert_eq!(order(&[]), Vec::<String>::new());
    }
}
