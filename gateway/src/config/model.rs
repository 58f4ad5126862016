//! The language models. None at all is a valid setting: the server looks for an Ollama on its machine, runs without
//! one too, and says how to set one up.

use std::fs;
use std::path::Path;

use adjutant_core::limits;
use adjutant_llm::prices::Prices;
use adjutant_llm::router::{Operator, Router};
use adjutant_llm::settings::{Provider, Seeing, Settings, Thinking};

use super::environment::Reader;

const PROVIDER: &str = "LLM_PROVIDER";
const MODEL: &str = "LLM_MODEL";
const FALLBACK: &str = "LLM_FALLBACK";
const SMALL: &str = "LLM_SMALL_MODEL";
const THINKING: &str = "LLM_THINKING";
const PRICES: &str = "LLM_PRICES";
const VISION: &str = "LLM_VISION_MODELS";
/// Of `LLM_PROVIDER`: no model, and none is looked for.
const NONE: &str = "none";

#[derive(Debug, Clone)]
pub struct Model {
    /// The default provider with its model; `None`: nothing is configured.
    pub settings: Option<Settings>,
    /// What the router of models is built from.
    pub operator: Operator,
}

impl Model {
    /// Where keys for that provider go.
    pub fn origin_of(&self, provider: &str) -> Option<String> {
        let provider = Provider::parse(provider)?;
        let base_url = self.operator.address_of(provider).unwrap_or(provider.own_base_url());
        url::Url::parse(base_url).ok().map(|url| url.origin().ascii_serialization())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let thinking = reader.parsed(THINKING, |text| Thinking::parse(text).ok_or("is off, low, medium or high"));
        let manner = Manner { thinking: thinking.unwrap_or_default(), seeing: seeing(reader) };
        let prices = prices(reader);
        let wanted = reader.text(PROVIDER).map(ToOwned::to_owned);
        if wanted.is_none() {
            let orphan = [MODEL, FALLBACK, SMALL].into_iter().find(|name| reader.text(name).is_some());
            if let Some(name) = orphan {
                reader.fault(PROVIDER, format!("is not set but {name} is; set it to openai, anthropic or ollama"));
            }
        }
        let addresses = addresses(reader);
        let local = reader.text(url_name(Provider::Ollama)).unwrap_or(Provider::Ollama.own_base_url()).to_owned();
        let nothing = |local: Option<String>| {
            let base_url = local_or_own(local.as_deref());
            let template = manner.of(Settings::new(Provider::Ollama, base_url, "unknown", None));
            let operator = Operator {
                providers: Vec::new(),
                default_provider: None,
                models: Vec::new(),
                small_model: None,
                prices: prices.clone(),
                local_ollama: local,
                addresses: addresses.clone(),
                template,
            };
            Self { settings: None, operator }
        };
        match wanted.as_deref() {
            None => return checked(reader, nothing(Some(local))),
            Some(NONE) => return checked(reader, nothing(None)),
            Some(_) => {}
        }
        let known = |text: &str| Provider::parse(text).ok_or("is openai, anthropic, ollama or none");
        let Some(provider) = reader.parsed(PROVIDER, known) else { return nothing(None) };
        let Some(model) = reader.text(MODEL).map(ToOwned::to_owned) else {
            let example = match provider {
                Provider::OpenAi => "gpt-5.4-mini",
                Provider::Anthropic => "claude-sonnet-4-5",
                Provider::Ollama => "qwen3",
            };
            reader.fault(MODEL, format!("is not set but {PROVIDER} is; name the model that answers, as {example}"));
            access(reader, provider, "unknown", &manner);
            return nothing(None);
        };
        // It is the provider's, whatever it looks like: gateways have models that are called like providers.
        let mut models = vec![format!("{}/{model}", provider.as_str())];
        models.extend(list(reader.text(FALLBACK)));
        if models.len() > limits::MODEL_CHAIN {
            reader.fault(FALLBACK, format!("names more than {} models", limits::MODEL_CHAIN - 1));
        }
        let small_model = reader.text(SMALL).map(ToOwned::to_owned);
        let providers = providers(reader, provider, &models, small_model.as_deref(), &manner);
        let Some(settings) = providers.iter().find(|settings| settings.provider == provider).cloned() else {
            return nothing(None);
        };
        let operator = Operator {
            template: settings.clone(),
            providers,
            default_provider: Some(provider),
            models,
            small_model,
            prices,
            local_ollama: None,
            addresses,
        };
        checked(reader, Self { settings: Some(settings), operator })
    }
}

/// A client cannot be built from everything that can be written down.
fn checked(reader: &mut Reader<'_>, model: Model) -> Model {
    if let Err(error) = Router::new(model.operator.clone()) {
        reader.fault(PROVIDER, error.to_string());
    }
    let set_up = |provider: Provider| model.operator.providers.iter().any(|settings| settings.provider == provider);
    for (provider, base_url) in model.operator.addresses.iter().filter(|(provider, _)| !set_up(*provider)) {
        if let Err(error) = adjutant_llm::client(Settings::new(*provider, base_url, "unknown", None)) {
            reader.fault(url_name(*provider), error.to_string());
        }
    }
    model
}

fn url_name(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenAi => "OPENAI_BASE_URL",
        Provider::Anthropic => "ANTHROPIC_BASE_URL",
        Provider::Ollama => "OLLAMA_BASE_URL",
    }
}

/// Where the providers are, as far as somebody says.
fn addresses(reader: &mut Reader<'_>) -> Vec<(Provider, String)> {
    let named = |provider| Some((provider, reader.text(url_name(provider))?.to_owned()));
    Provider::ALL.into_iter().filter_map(named).collect()
}

fn local_or_own(local: Option<&str>) -> String {
    local.unwrap_or(Provider::Ollama.own_base_url()).to_owned()
}

fn list(text: Option<&str>) -> impl Iterator<Item = String> + use<'_> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned)
}

/// The providers that are named, and those that are set up beside them, so that a profile can choose their models.
fn providers(
    reader: &mut Reader<'_>,
    default: Provider,
    models: &[String],
    small: Option<&str>,
    manner: &Manner,
) -> Vec<Settings> {
    let of = |name: &str| match name.split_once('/').and_then(|(prefix, model)| Some((Provider::parse(prefix)?, model)))
    {
        Some((provider, model)) => (provider, model.to_owned()),
        None => (default, name.to_owned()),
    };
    let named: Vec<(Provider, String)> = models.iter().map(String::as_str).chain(small).map(of).collect();
    let mut found = Vec::new();
    for provider in Provider::ALL {
        let model = named.iter().find(|(other, _)| *other == provider).map(|(_, model)| model.clone());
        let is_set = match provider {
            Provider::OpenAi => reader.secret("OPENAI_API_KEY").is_some(),
            Provider::Anthropic => reader.secret("ANTHROPIC_API_KEY").is_some(),
            Provider::Ollama => reader.text("OLLAMA_BASE_URL").is_some(),
        };
        if model.is_some() || is_set || provider == default {
            let model = model.unwrap_or_else(|| "unknown".to_owned());
            found.extend(access(reader, provider, &model, manner));
        }
    }
    found
}

/// The operator's access to a provider. Where a key is needed and missing that is a fault.
fn access(reader: &mut Reader<'_>, provider: Provider, model: &str, manner: &Manner) -> Option<Settings> {
    let url_name = url_name(provider);
    let key_name = match provider {
        Provider::OpenAi => Some("OPENAI_API_KEY"),
        Provider::Anthropic => Some("ANTHROPIC_API_KEY"),
        Provider::Ollama => None,
    };
    let base_url = reader.text(url_name).map(ToOwned::to_owned);
    let api_key = key_name.and_then(|name| reader.secret(name));
    if let Some(key_name) = key_name
        && base_url.is_none()
        && api_key.is_none()
    {
        let message = format!("is not set; set it to your key, or {url_name} to the address of another provider");
        reader.fault(key_name, message);
        return None;
    }
    let base_url = base_url.unwrap_or_else(|| provider.own_base_url().to_owned());
    Some(manner.of(Settings::new(provider, base_url, model, api_key)))
}

/// What is said of all models alike.
struct Manner {
    thinking: Thinking,
    seeing: Seeing,
}

impl Manner {
    fn of(&self, settings: Settings) -> Settings {
        Settings { thinking: self.thinking, seeing: self.seeing.clone(), ..settings }
    }
}

fn seeing(reader: &mut Reader<'_>) -> Seeing {
    Seeing::parse(list(reader.text(VISION))).unwrap_or_else(|name| {
        reader.fault(VISION, format!("holds '{name}', which is no provider/model, as ollama/my-model"));
        Seeing::default()
    })
}

fn prices(reader: &mut Reader<'_>) -> Prices {
    let shipped = Prices::shipped();
    let Some(path) = reader.text(PRICES) else { return shipped };
    let own = match fs::read_to_string(Path::new(path)) {
        Ok(text) => Prices::parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(format!("{path} cannot be read: {error}")),
    };
    match own {
        Ok(own) => own.before(shipped),
        Err(message) => {
            reader.fault(PRICES, message);
            shipped
        }
    }
}
