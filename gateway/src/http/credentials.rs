//! Credentials of the caller: stored, listed, forgotten. An answer never holds a secret, and a refusal quotes nothing of
//! a body that holds one.

use adjutant_core::credential::{Secret, Service};
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_store::credentials::{self, CredentialEntry, NewCredential, Reach, Unusable};
use adjutant_store::error::StoreError;
use adjutant_store::mcp_servers;
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::{IntoParams, ToSchema};

use super::body;
use super::page::Page;
use super::path::Id;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A stored credential, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    #[schema(value_type = String)]
    pub service: Service,
    /// The profile that it belongs to, or `*` for all of the user.
    pub profile: String,
    /// `ok`, `expired` or `unreadable`.
    pub state: &'static str,
    /// Why it cannot be used, and what to do.
    pub problem: Option<String>,
    /// The last characters of the secret; null for a short one.
    pub last_four: Option<String>,
    pub preferred_model: Option<String>,
    pub scopes: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Scheme, host and port to which it may be sent.
    pub origin: String,
    /// The key that it is encrypted with.
    pub key_id: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What to store: `apiKey` for a model provider (`llm_openai`), `token` or `headers` for any other service.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialBody {
    #[serde(default, alias = "api_key")]
    #[schema(value_type = Option<String>, write_only)]
    api_key: Option<SecretString>,
    /// For a model provider: what answers when a profile names no model.
    #[serde(default, alias = "preferred_model")]
    preferred_model: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    token: Option<SecretString>,
    #[serde(default)]
    #[schema(value_type = Option<std::collections::HashMap<String, String>>, write_only)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    #[schema(max_items = 100)]
    scopes: Vec<String>,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    /// Scheme, host and port to which it may be sent. Without it, those of the model provider or server of that name.
    #[serde(default)]
    origin: Option<String>,
}

/// For which profiles a credential is stored or forgotten.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Reaching {
    /// `all`: every profile of the user; a profile's own credential wins. Needs a key for all profiles.
    #[param(required = false, value_type = Option<String>, pattern = "^(own|all)$")]
    profiles: Reach,
}

impl<S: Sync> FromRequestParts<S> for Reaching {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut profiles = Reach::Profile;
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            profiles = match (&*name, &*value) {
                ("profiles", "all") => Reach::AllProfiles,
                ("profiles", "own" | "") => Reach::Profile,
                ("profiles", _) => return Err(Problem::bad_request("invalid_profiles", "profiles is own or all")),
                _ => profiles,
            };
        }
        Ok(Self { profiles })
    }
}

impl Reaching {
    /// A key of one profile changes nothing for the others.
    fn allowed_to(self, user: &UserScope) -> Result<Reach, Problem> {
        if self.profiles == Reach::AllProfiles && user.identity.profile.is_some() {
            let detail = "this key belongs to one profile; what holds for all needs a key for all";
            return Err(Problem::new(StatusCode::FORBIDDEN, "profile_not_allowed", detail));
        }
        Ok(self.profiles)
    }
}

/// What this profile may use, without secrets
#[utoipa::path(get, path = "/api/credentials", responses((status = 200, body = Page<CredentialView>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<CredentialView>>, Problem> {
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| credentials::list(tx, app.vault()).await).await?;
    let items = found.into_iter().map(|entry| view(entry, owner.profile.as_str())).collect();
    Ok(Json(Page { items, next: None }))
}

/// Stores a credential in place of the one that is there
#[utoipa::path(
    put,
    path = "/api/credentials/{service}",
    params(("service" = String, Path), Reaching),
    request_body = CredentialBody,
    responses((status = 200, body = CredentialView), (status = 201, body = CredentialView)),
)]
pub(super) async fn put(
    State(app): State<App>,
    user: UserScope,
    Id(service): Id<Service>,
    reaching: Reaching,
    request: Request,
) -> Result<(StatusCode, Json<CredentialView>), Problem> {
    let reach = reaching.allowed_to(&user)?;
    let body: CredentialBody = body::secret_json(request, limits::CREDENTIAL_BODY_BYTES).await?;
    let owner = user.scope.owner();
    let new = read(&app, &owner, service, body).await?;
    let (is_new, entries) = app
        .store()
        .scoped(&owner, async |tx| {
            let is_new = credentials::put(tx, app.vault(), reach, &new).await?;
            Ok((is_new, credentials::list(tx, app.vault()).await?))
        })
        .await
        .map_err(refused)?;
    let stored = entries.into_iter().find(|entry| entry.service == new.service && entry.reach == reach);
    let stored = stored.ok_or_else(Problem::internal)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(stored, owner.profile.as_str()))))
}

/// Forgets a credential; whatever uses it stops with the next call
#[utoipa::path(
    delete,
    path = "/api/credentials/{service}",
    params(("service" = String, Path), Reaching),
    responses((status = 204)),
)]
pub(super) async fn delete(
    State(app): State<App>,
    user: UserScope,
    Id(service): Id<Service>,
    reaching: Reaching,
) -> Result<StatusCode, Problem> {
    let reach = reaching.allowed_to(&user)?;
    let owner = user.scope.owner();
    app.store().scoped(&owner, async |tx| credentials::delete(tx, reach, &service).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(app: &App, owner: &Owner, service: Service, body: CredentialBody) -> Result<NewCredential, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_credential", detail);
    let mut fields = Map::new();
    let exposed = |secret: SecretString| Value::from(secret.expose_secret());
    fields.extend(body.api_key.map(|key| ("api_key".to_owned(), exposed(key))));
    fields.extend(body.preferred_model.map(|model| ("preferred_model".to_owned(), model.into())));
    fields.extend(body.token.map(|token| ("token".to_owned(), exposed(token))));
    fields.extend(body.headers.map(|headers| ("headers".to_owned(), headers.into())));
    let secret = Secret::read(&service, &fields).map_err(|error| invalid(error.to_string()))?;
    let scopes = credentials::check_scopes(body.scopes).map_err(|error| invalid(error.to_owned()))?;
    let origin = match (app.config().origin_for(&service, body.origin.as_deref()), body.origin) {
        (Ok(origin), _) => origin,
        (Err(error), Some(_)) => return Err(Problem::bad_request("invalid_origin", error)),
        (Err(error), None) => {
            own_server(app, owner, &service).await?.ok_or_else(|| Problem::bad_request("origin_required", error))?
        }
    };
    Ok(NewCredential { service, secret, scopes, expires_at: body.expires_at, origin })
}

/// The origin of the person's own server of that name.
async fn own_server(app: &App, owner: &Owner, service: &Service) -> Result<Option<String>, Problem> {
    if service.provider().is_some() {
        return Ok(None);
    }
    let servers = app.store().scoped(owner, async |tx| mcp_servers::list(tx).await).await?;
    let server = servers.into_iter().find(|server| server.name == service.as_str());
    Ok(server.and_then(|server| Url::parse(&server.url).ok()).map(|url| url.origin().ascii_serialization()))
}

fn refused(error: StoreError) -> Problem {
    match error {
        StoreError::Invalid(what) if what == "credentials" => {
            let detail = format!("there are {} credentials already; delete one first", limits::CREDENTIALS);
            Problem::new(StatusCode::CONFLICT, "too_many_credentials", detail)
        }
        other => other.into(),
    }
}

fn view(entry: CredentialEntry, profile: &str) -> CredentialView {
    let problem = entry.unusable.as_ref().map(|why| format!("the credential for {} {why}", entry.service));
    let state = match entry.unusable {
        None => "ok",
        Some(Unusable::Expired) => "expired",
        Some(Unusable::Unreadable(_) | Unusable::Elsewhere) => "unreadable",
    };
    CredentialView {
        profile: if entry.reach == Reach::AllProfiles { "*" } else { profile }.to_owned(),
        state,
        problem,
        service: entry.service,
        last_four: entry.last_four,
        preferred_model: entry.preferred_model,
        scopes: entry.scopes,
        expires_at: entry.expires_at,
        origin: entry.origin,
        key_id: entry.key_id,
        created_at: entry.created_at,
        updated_at: entry.updated_at,
    }
}
