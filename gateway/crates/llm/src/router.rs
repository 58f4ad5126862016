//! The one client of models: decides which model of which provider may be asked with whose key, asks
//! them in order until one begins to answer, and says what it cost. A user's key goes only where it was
//! stored for, and in the place of the operator's, never before it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adjutant_core::model::{
    LlmClient, ModelAccess, ModelError, ModelErrorKind, ModelEvent, ModelInfo, ModelRequest, PassedOver, ProviderTest,
    Purpose, Tested,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::attempt::{Attempt, Progress};
use crate::circuit::{Admission, Circuits, Key, Permit};
use crate::client::{Client, Patience};
use crate::failure::Failure;
use crate::offers::Check;
use crate::ollama::local;
use crate::prices::Prices;
use crate::settings::{Provider, Settings, SetupError};
use plan::{Choice, ModelName};

mod keys;
pub(crate) mod plan;
mod testing;

/// What the operator set up.
#[derive(Debug, Clone)]
pub struct Operator {
    /// At most one per provider.
    pub providers: Vec<Settings>,
    /// Whose model a name without a provider is.
    pub default_provider: Option<Provider>,
    /// `LLM_MODEL` and `LLM_FALLBACK`, in order, as `provider/model` or `model`.
    pub models: Vec<String>,
    /// For small work.
    pub small_model: Option<String>,
    pub prices: Prices,
    /// Where an Ollama is looked for that nobody configured.
    pub local_ollama: Option<String>,
    /// Base URLs that the configuration names, also of providers that are not set up: keys of users go there.
    pub addresses: Vec<(Provider, String)>,
    /// The limits for clients of users' keys, and what a model found by itself gets.
    pub template: Settings,
}

impl Operator {
    /// One provider with one model.
    pub fn alone(settings: Settings) -> Self {
        Self {
            default_provider: Some(settings.provider),
            models: vec![format!("{}/{}", settings.provider.as_str(), settings.model)],
            providers: vec![settings.clone()],
            small_model: None,
            prices: Prices::shipped(),
            local_ollama: None,
            addresses: Vec::new(),
            template: settings,
        }
    }

    /// The base URL that the configuration has for a provider; `None`: the provider's own is meant.
    pub fn address_of(&self, provider: Provider) -> Option<&str> {
        let set_up = self.providers.iter().find(|settings| settings.provider == provider);
        let named =
            || self.addresses.iter().find(|(named, _)| *named == provider).map(|(_, base_url)| base_url.as_str());
        set_up.map(|settings| settings.base_url.as_str()).or_else(named)
    }
}

#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    operator: Operator,
    /// Of the operator's providers.
    clients: Vec<(Provider, Client)>,
    chain: Vec<ModelName>,
    small: Option<ModelName>,
    users: keys::Clients,
    circuits: Arc<Circuits>,
    /// A local Ollama that nobody configured, once it was found.
    found: OnceLock<(Client, ModelName)>,
    /// When it was looked for last. Whoever looks holds this.
    looked: Mutex<Option<Instant>>,
}

/// A model that begins to answer.
struct Begun {
    attempt: Attempt,
    choice: Choice,
    client: Client,
    permit: Permit,
    passed_over: Vec<PassedOver>,
}

impl Router {
    pub fn new(operator: Operator) -> Result<Self, SetupError> {
        let mut clients = Vec::new();
        for settings in &operator.providers {
            clients.push((settings.provider, Client::new(settings.clone())?));
        }
        let name = |text: &String| ModelName::parse(text, operator.default_provider).ok_or(SetupError::Model);
        let chain = operator.models.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let small = operator.small_model.as_ref().map(name).transpose()?;
        let inner = Inner {
            users: keys::Clients::new(operator.template.clone()),
            operator,
            clients,
            chain,
            small,
            circuits: Arc::default(),
            found: OnceLock::new(),
            looked: Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks each provider of the operator's models for those that it has, which costs nothing.
    pub async fn check(&self) -> Vec<Check> {
        self.look_again().await;
        let inner = &*self.inner;
        let found = inner.found.get();
        let answering = inner.chain.iter().chain(found.map(|(_, name)| name)).map(|name| (name, Purpose::Answer));
        let named: Vec<_> = answering.chain(inner.small.iter().map(|name| (name, Purpose::Small))).collect();
        let clients = inner.clients.iter().map(|(provider, client)| (*provider, client));
        let mut told = Vec::new();
        for (provider, client) in clients.chain(found.map(|(client, name)| (name.provider, client))) {
            let of_it = named.iter().filter(|(name, _)| name.provider == provider);
            let mut asked: Vec<_> = of_it.map(|(name, purpose)| (Some(name.model.clone()), *purpose)).collect();
            if asked.is_empty() {
                // Set up for profiles that choose its models.
                asked.push((None, Purpose::Answer));
            }
            let models: Vec<Option<String>> = asked.iter().map(|(model, _)| model.clone()).collect();
            let said: Vec<_> = match client.check(&models).await {
                Ok(offered) => offered.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); asked.len()],
            };
            let provider = provider.as_str();
            let each = asked.into_iter().zip(said);
            told.extend(each.map(|((model, purpose), said)| Check { provider, model, purpose, said }));
        }
        told
    }

    /// The model of a local Ollama that nobody configured, when one was found.
    pub fn found(&self) -> Option<String> {
        self.inner.found.get().map(|(_, name)| name.to_string())
    }

    pub fn prices(&self) -> &Prices {
        &self.inner.operator.prices
    }
}

impl LlmClient for Router {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async_stream::try_stream! {
            // Hands the request over: a stream that lasts does not hold the prompt.
            let Begun { mut attempt, choice, client, permit, passed_over } = inner.begin(request).await?;
            let mut progress = Ok(Progress::More);
            loop {
                if let Some(thinking) = attempt.take_thinking() {
                    yield ModelEvent::ThinkingDelta(thinking);
                }
                if let Some(text) = attempt.take_text() {
                    yield ModelEvent::TextDelta(text);
                }
                match progress {
                    Ok(Progress::More) => progress = attempt.advance().await,
                    Ok(Progress::Ended) | Err(_) => break,
                }
            }
            let finished = match progress {
                Ok(_) => attempt.finish(&choice.name.model, client.mark()),
                Err(failure) => Err(failure),
            };
            match finished {
                Ok(mut answer) => {
                    permit.alive();
                    answer.paid_by = choice.paid_by();
                    let prices = &inner.operator.prices;
                    let price = |model: &str| prices.cost(choice.name.provider, client.origin(), model, answer.usage);
                    answer.cost = price(&answer.model).or_else(|| price(&choice.name.model));
                    answer.passed_over = passed_over;
                    yield ModelEvent::Finished(answer);
                }
                Err(failure) => {
                    settle(permit, &failure, Patience::Full);
                    Err(ModelError { passed_over, ..failure.error })?;
                }
            }
        })
    }

    fn plan(&self, models: &[String], purpose: Purpose, access: &ModelAccess) -> Result<Vec<String>, ModelError> {
        let choices = self.inner.choices(models, purpose, access)?;
        Ok(choices.into_iter().map(|choice| choice.name.to_string()).collect())
    }

    fn describe(&self, models: &[String], access: &ModelAccess) -> Result<Vec<ModelInfo>, ModelError> {
        let choices = self.inner.choices(models, Purpose::Answer, access)?;
        Ok(choices.iter().map(|choice| self.inner.describe(choice, access)).collect())
    }

    fn has_small_model(&self) -> bool {
        self.inner.small.is_some()
    }

    fn look_again(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.inner.look())
    }

    fn test(&self, test: ProviderTest) -> BoxFuture<'_, Tested> {
        Box::pin(self.inner.test(test))
    }

    fn default_model(&self) -> Option<&str> {
        let found = self.inner.found.get().map(|(_, name)| name);
        self.inner.chain.first().or(found).map(|name| name.model.as_str())
    }
}

impl Inner {
    /// Asks one model after the other until one begins to answer. Another is asked only where it may
    /// help: when a provider limits, is overloaded, not there, silent or broken. A refused key or request
    /// is told at once, because a dearer model that answers in its place would hide it.
    async fn begin(&self, request: ModelRequest) -> Result<Begun, ModelError> {
        let mut choices = self.choices(&request.models, request.purpose, &request.access);
        if choices.is_err() && self.found.get().is_none() {
            self.look().await;
            choices = self.choices(&request.models, request.purpose, &request.access);
        }
        let choices = choices?;
        let mut passed_over = Vec::new();
        let mut failed = None;
        let mut left = choices.len();
        for choice in choices {
            left -= 1;
            let client = self.client(&choice, &request.access)?;
            let key = Key {
                origin: client.origin().to_owned(),
                owner: choice.key.map(|_| self.users.mark_of(&choice, &request.access)),
                model: choice.name.model.clone(),
            };
            let (permit, patience) = match self.circuits.admit(key, Instant::now()) {
                Admission::Go(permit) if left > 0 => (permit, Patience::Short),
                Admission::Go(permit) => (permit, Patience::Full),
                // Nobody else is left: a person who asks gets an answer or a reason, but does not wait for long.
                Admission::Rests(_, permit) if left == 0 && failed.is_none() => (permit, Patience::Once),
                Admission::Rests(rest, _) => {
                    let why = format!("it failed again and again and rests for {} s", whole_seconds(rest));
                    passed_over.push(passed(&choice.name, "resting", &why));
                    continue;
                }
            };
            let failure = match client.begin(&request, &choice.name.model, patience).await {
                Ok(attempt) => return Ok(Begun { attempt, choice, client, permit, passed_over }),
                Err(failure) => failure,
            };
            settle(permit, &failure, patience);
            if !is_passed_over(failure.error.kind) || left == 0 {
                return Err(ModelError { passed_over, ..failure.error });
            }
            tracing::warn!(
                model.name = %choice.name,
                model.error = failure.error.kind.code(),
                "the next model is asked instead"
            );
            passed_over.push(passed(&choice.name, failure.error.kind.code(), &failure.error.message));
            failed = Some(failure.error);
        }
        let nobody = || ModelError::new(ModelErrorKind::NotConfigured, plan::ADVICE);
        Err(ModelError { passed_over, ..failed.unwrap_or_else(nobody) })
    }

    fn choices(&self, models: &[String], purpose: Purpose, access: &ModelAccess) -> Result<Vec<Choice>, ModelError> {
        let found = self.found.get().map(|(_, name)| name.clone());
        let mut providers: Vec<Provider> = self.clients.iter().map(|(provider, _)| *provider).collect();
        providers.extend(found.iter().map(|name| name.provider));
        let setup = plan::Setup {
            default_provider: self.operator.default_provider.or(found.as_ref().map(|name| name.provider)),
            chain: if self.chain.is_empty() { found.into_iter().collect() } else { self.chain.clone() },
            small: self.small.clone(),
            providers,
        };
        plan::choose(&setup, models, purpose, access)
    }

    fn client(&self, choice: &Choice, access: &ModelAccess) -> Result<Client, ModelError> {
        let operators = self.clients.iter().find(|(provider, _)| *provider == choice.name.provider);
        let Some(key) = choice.key.and_then(|index| access.keys.get(index)) else {
            if choice.key.is_some() {
                return Err(ModelError::new(ModelErrorKind::NoKey, plan::ADVICE));
            }
            let found = self.found.get().filter(|(_, name)| name.provider == choice.name.provider);
            let client = operators.map(|(_, client)| client).or(found.map(|(client, _)| client)).cloned();
            return client.ok_or_else(|| ModelError::new(ModelErrorKind::NotConfigured, plan::ADVICE));
        };
        self.users.client(choice, key, self.operator.address_of(choice.name.provider))
    }

    fn describe(&self, choice: &Choice, access: &ModelAccess) -> ModelInfo {
        let ModelName { provider, model } = &choice.name;
        let Ok(client) = self.client(choice, access) else {
            // A call says why not.
            return ModelInfo::unknown(&choice.name.to_string());
        };
        let sight = client.sight(model);
        let told = self.operator.prices.told(*provider, client.origin(), model);
        ModelInfo {
            provider: provider.as_str().to_owned(),
            model: model.clone(),
            images: sight.images,
            documents: sight.documents,
            input_price: told.map(|told| told.input),
            output_price: told.map(|told| told.output),
            context_tokens: told.and_then(|told| told.context_tokens),
        }
    }

    /// Looks for a local Ollama where nothing is configured. Many who ask at once share one look.
    async fn look(&self) {
        let Some(base_url) = &self.operator.local_ollama else { return };
        if self.found.get().is_some() {
            return;
        }
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if self.found.get().is_some() || looked.is_some_and(|begun| begun >= asked) {
            return;
        }
        *looked = Some(Instant::now());
        let Some(model) = local::find(base_url).await else { return };
        if let Ok(client) = Client::new(self.local(base_url, &model)) {
            tracing::info!(model.name = %model, "a local Ollama answers");
            let _ = self.found.set((client, ModelName { provider: Provider::Ollama, model }));
        }
    }

    fn local(&self, base_url: &str, model: &str) -> Settings {
        Settings {
            provider: Provider::Ollama,
            base_url: base_url.to_owned(),
            api_key: None,
            model: model.to_owned(),
            ..self.operator.template.clone()
        }
    }
}

/// Whether another model may help.
fn is_passed_over(kind: ModelErrorKind) -> bool {
    match kind {
        ModelErrorKind::RateLimited
        | ModelErrorKind::Unavailable
        | ModelErrorKind::TimedOut
        | ModelErrorKind::Truncated
        | ModelErrorKind::Garbled => true,
        ModelErrorKind::NotConfigured
        | ModelErrorKind::NoKey
        | ModelErrorKind::Unauthorized
        | ModelErrorKind::Refused => false,
    }
}

fn settle(permit: Permit, failure: &Failure, patience: Patience) {
    let kind = failure.error.kind;
    if !is_passed_over(kind) {
        return permit.alive();
    }
    // With nobody else to ask, the next call may find out by itself.
    let asked = failure.error.retry_after.filter(|_| patience == Patience::Short);
    permit.failed(asked, Instant::now());
}

fn passed(name: &ModelName, code: &str, reason: &str) -> PassedOver {
    PassedOver { model: name.to_string(), code: code.to_owned(), reason: reason.to_owned() }
}

fn whole_seconds(duration: Duration) -> u128 {
    duration.as_millis().div_ceil(1_000).max(1)
}
