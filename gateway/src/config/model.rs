//! The language model. None at all is a valid setting: the server runs and says how to set one up.

use adjutant_llm::settings::{Provider, Settings};

use super::environment::Reader;

const PROVIDER: &str = "LLM_PROVIDER";
const MODEL: &str = "LLM_MODEL";
const BASE_URL: &str = "OPENAI_BASE_URL";
const API_KEY: &str = "OPENAI_API_KEY";
const OPENAI: &str = "https://api.openai.com/v1";

#[derive(Debug, Clone)]
pub struct Model {
    pub settings: Option<Settings>,
}

impl Model {
    /// Where keys for that provider go.
    pub fn origin_of(&self, provider: &str) -> Option<String> {
        let base_url = match (&self.settings, Provider::parse(provider)?) {
            (Some(settings), Provider::OpenAi) => settings.base_url.as_str(),
            (None, Provider::OpenAi) => OPENAI,
        };
        url::Url::parse(base_url).ok().map(|url| url.origin().ascii_serialization())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        if reader.text(PROVIDER).is_none() {
            if reader.text(MODEL).is_some() {
                reader.fault(PROVIDER, format!("is not set but {MODEL} is; set it to openai"));
            }
            return Self { settings: None };
        }
        let known =
            |text: &str| Provider::parse(text).ok_or("only openai is known; it serves every compatible provider");
        let provider = reader.parsed(PROVIDER, known);
        let model = reader.text(MODEL);
        if model.is_none() {
            reader.fault(MODEL, format!("is not set but {PROVIDER} is; name the model that answers, as gpt-5-mini"));
        }
        let api_key = reader.secret(API_KEY);
        let base_url = reader.text(BASE_URL);
        if base_url.is_none() && api_key.is_none() {
            let message = format!("is not set; set it to your key, or {BASE_URL} to the address of another provider");
            reader.fault(API_KEY, message);
        }
        let (Some(Provider::OpenAi), Some(model)) = (provider, model) else { return Self { settings: None } };
        let settings = Settings::openai(base_url.unwrap_or(OPENAI), model, api_key);
        // A client cannot be built from everything that can be written down.
        if let Err(error) = adjutant_llm::client(settings.clone()) {
            reader.fault(PROVIDER, error.to_string());
        }
        Self { settings: Some(settings) }
    }
}
