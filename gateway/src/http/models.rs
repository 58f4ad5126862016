//! Models of the providers: which may be asked, and whether a key opens them. What may be asked at the OpenAI door is another list, that of agents.

use std::time::Instant;

use adjutant_core::cost::Cost;
use adjutant_core::credential::{Secret, Service};
use adjutant_core::limits;
use adjutant_core::model::ModelInfo;
use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body;
use super::page::Page;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A model that may be asked
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelView {
    /// `provider/model`, as a message or a profile names it.
    pub name: String,
    pub provider: String,
    /// As the provider names it.
    pub model: String,
    pub images: bool,
    /// PDF documents; text goes to every model.
    pub documents: bool,
    /// Of a million tokens of a prompt that is neither cached nor long; null where nobody told it.
    pub input_price: Option<Cost>,
    /// Of a million tokens of the answer.
    pub output_price: Option<Cost>,
    /// How many tokens a prompt may have; null where nobody told it.
    pub context_tokens: Option<u64>,
}

impl From<ModelInfo> for ModelView {
    fn from(info: ModelInfo) -> Self {
        Self {
            name: format!("{}/{}", info.provider, info.model),
            provider: info.provider,
            model: info.model,
            images: info.images,
            documents: info.documents,
            input_price: info.input_price,
            output_price: info.output_price,
            context_tokens: info.context_tokens,
        }
    }
}

/// The models that would be asked in this profile, in order; none where none may be, and `GET /api/me` says why
#[utoipa::path(get, path = "/api/models", responses((status = 200, body = Page<ModelView>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<ModelView>>, Problem> {
    let found = app.engine().models(&user.scope).await?.unwrap_or_default();
    Ok(Json(Page { items: found.into_iter().map(ModelView::from).collect(), next: None }))
}

/// Who serves models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Anthropic,
    Openai,
    Ollama,
}

impl Provider {
    fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Ollama => "ollama",
        }
    }
}

/// What to try.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestBody {
    provider: Provider,
    /// Tried and not stored. Without it the profile's own key is tried, else the operator's, where you may use it.
    #[serde(default, alias = "api_key")]
    #[schema(value_type = Option<String>, write_only)]
    api_key: Option<SecretString>,
    /// As the provider lists it: it is asked for one word, which may cost something.
    #[serde(default)]
    #[schema(max_length = 200)]
    model: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelTest {
    pub ok: bool,
    /// Why it cannot be used, as a sentence.
    pub reason: Option<String>,
    /// What the provider lists: those that chat before others, the newest first where it tells.
    pub models: Vec<String>,
    pub millis: u64,
}

/// Tries a provider with a key: lists its models, which costs nothing, and asks one of them for a word
#[utoipa::path(post, path = "/api/models/test", request_body = TestBody, responses((status = 200, body = ModelTest)))]
pub(super) async fn test(
    State(app): State<App>,
    user: UserScope,
    request: Request,
) -> Result<Json<ModelTest>, Problem> {
    let TestBody { provider, api_key, model } = body::secret_json(request, limits::CREDENTIAL_BODY_BYTES).await?;
    let api_key = api_key.map(|key| checked_key(provider, &key)).transpose()?;
    let model = model.map(checked_model).transpose()?;
    let Some(_place) = app.model_tests().take(&user.scope.user) else {
        let detail = "too many providers are being tested at once; wait for one to end";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tests", detail));
    };
    let begun = Instant::now();
    let tested = app.engine().test_provider(&user.scope, provider.as_str(), api_key, model).await?;
    Ok(Json(ModelTest {
        ok: tested.refused.is_none(),
        reason: tested.refused.map(|error| error.message),
        models: tested.models,
        millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// What could not be stored as a key is not tried either.
fn checked_key(provider: Provider, key: &SecretString) -> Result<SecretString, Problem> {
    let service = Service::parse(&format!("llm_{}", provider.as_str())).map_err(|_| Problem::internal())?;
    let fields = Map::from_iter([("api_key".to_owned(), Value::from(key.expose_secret()))]);
    match Secret::read(&service, &fields) {
        Ok(Secret::Model { api_key, .. }) => Ok(api_key),
        Ok(_) => Err(Problem::internal()),
        Err(error) => Err(Problem::bad_request("invalid_credential", error.to_string())),
    }
}

fn checked_model(model: String) -> Result<String, Problem> {
    let fits = (1..=limits::MODEL_NAME_CHARS).contains(&model.chars().count()) && !model.chars().any(char::is_control);
    let wrong = || Problem::bad_request("invalid_model", "model is the name of a model as the provider lists it");
    (fits && model.trim() == model).then_some(model).ok_or_else(wrong)
}
