//! Profiles of one's own: the list, and each with its texts. A key for one profile opens that one alone, and
//! says the same of every other name.

use adjutant_core::limits;
use adjutant_core::profile::{ProfileOrigin, ProfileSettings, parse_time_zone};
use adjutant_core::prompt;
use adjutant_core::scope::{Owner, ProfileName};
use adjutant_store::error::StoreError;
use adjutant_store::profiles::{self, Deletion, Profile, ProfileEntry, Written};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{self, NoBody};
use super::page::Page;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A profile in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileSummary {
    #[schema(value_type = String)]
    pub name: ProfileName,
    pub display_name: String,
    /// The one that this request acts in.
    pub is_current: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    #[schema(value_type = String)]
    pub name: ProfileName,
    pub display_name: String,
    /// What may answer, in order of preference; empty: the operator's order.
    pub models: Vec<String>,
    /// `null`: the default one.
    pub system_prompt: Option<String>,
    pub default_system_prompt: &'static str,
    /// What you told about yourself; part of every prompt.
    pub user_context: Option<String>,
    pub time_zone: &'static str,
    /// Which of the operator's MCP servers may be used; `null`: all.
    pub allowed_servers: Option<Vec<String>>,
    /// Who wrote it last: `system`, `file` or `person`. What a person wrote is not overwritten from the file.
    pub origin: &'static str,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A profile whole: what is left out is as in a new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileBody {
    #[serde(default)]
    #[schema(max_length = 100)]
    pub display_name: String,
    #[serde(default)]
    #[schema(max_items = 10)]
    pub models: Vec<String>,
    pub system_prompt: Option<String>,
    pub user_context: Option<String>,
    /// An IANA name, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
    #[schema(max_items = 100)]
    pub allowed_servers: Option<Vec<String>>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Your profiles, by name; with a key for one profile that one alone
#[utoipa::path(get, path = "/api/profiles", responses((status = 200, body = Page<ProfileSummary>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<ProfileSummary>>, Problem> {
    let current = user.scope.profile.clone();
    let mut found = app.store().scoped(&user.scope.owner(), async |tx| profiles::names(tx).await).await?;
    if let Some(own) = &user.identity.profile {
        found.retain(|entry| entry.name == *own);
    }
    let summary = |entry: ProfileEntry| ProfileSummary {
        is_current: entry.name == current,
        name: entry.name,
        display_name: entry.display_name,
    };
    Ok(Json(Page { items: found.into_iter().map(summary).collect(), next: None }))
}

/// One profile with its texts
#[utoipa::path(
    get,
    path = "/api/profiles/{name}",
    params(("name" = String, Path)),
    responses((status = 200, body = ProfileView))
)]
pub(super) async fn get(State(app): State<App>, Named(owner): Named) -> Result<Json<ProfileView>, Problem> {
    let profile = app.store().scoped(&owner, async |tx| profiles::load(tx).await).await?;
    Ok(Json(view(owner.profile, profile)))
}

/// Writes a profile whole; a new name makes a new profile
#[utoipa::path(
    put,
    path = "/api/profiles/{name}",
    params(("name" = String, Path)),
    request_body = ProfileBody,
    responses((status = 200, body = ProfileView), (status = 201, body = ProfileView))
)]
pub(super) async fn put(
    State(app): State<App>,
    Named(owner): Named,
    request: Request,
) -> Result<(StatusCode, Json<ProfileView>), Problem> {
    let body: ProfileBody = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let settings = settings(body)?;
    let (written, profile) = app
        .store()
        .scoped(&owner, async |tx| {
            let known = profiles::names(tx).await?;
            if known.len() >= limits::PROFILES && !known.iter().any(|entry| entry.name == owner.profile) {
                return Err(StoreError::Conflict(TOO_MANY.to_owned()));
            }
            let written = profiles::put(tx, &settings, ProfileOrigin::Person).await?;
            Ok((written, profiles::load(tx).await?))
        })
        .await
        .map_err(refused)?;
    let status = if written == Written::New { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(owner.profile, profile))))
}

/// Deletes a profile with all that it holds: threads, runs, consents
#[utoipa::path(delete, path = "/api/profiles/{name}", params(("name" = String, Path)), responses((status = 204)))]
pub(super) async fn delete(State(app): State<App>, Named(owner): Named, _: NoBody) -> Result<StatusCode, Problem> {
    match app.store().scoped(&owner, async |tx| profiles::delete(tx).await).await? {
        Deletion::Deleted => {
            app.keys().profiles().note_deletion(&owner);
            Ok(StatusCode::NO_CONTENT)
        }
        Deletion::Personal => {
            let detail = "the profile personal is always there; empty it with PUT instead";
            Err(Problem::new(StatusCode::CONFLICT, "profile_required", detail))
        }
        Deletion::Busy => {
            let detail = "something runs in this profile; cancel it or wait for its end";
            Err(Problem::new(StatusCode::CONFLICT, "profile_busy", detail))
        }
    }
}

const TOO_MANY: &str = "profiles of one user";

fn refused(error: StoreError) -> Problem {
    if error.is_conflict_with(TOO_MANY) {
        let detail = format!("a user has at most {} profiles", limits::PROFILES);
        return Problem::new(StatusCode::CONFLICT, "too_many_profiles", detail);
    }
    error.into()
}

fn settings(body: ProfileBody) -> Result<ProfileSettings, Problem> {
    let ProfileBody { display_name, models, system_prompt, user_context, time_zone, allowed_servers } = body;
    let accepted = parse_time_zone(&time_zone).and_then(|time_zone| {
        let given = ProfileSettings { display_name, models, system_prompt, user_context, time_zone, allowed_servers };
        given.accept()
    });
    accepted.map_err(|invalid| Problem::bad_request("invalid_profile", invalid.to_string()))
}

fn view(name: ProfileName, profile: Profile) -> ProfileView {
    let Profile { settings, origin, created_at, updated_at } = profile;
    ProfileView {
        name,
        display_name: settings.display_name,
        models: settings.models,
        system_prompt: settings.system_prompt,
        default_system_prompt: prompt::SYSTEM,
        user_context: settings.user_context,
        time_zone: settings.time_zone.name(),
        allowed_servers: settings.allowed_servers,
        origin: origin.as_str(),
        created_at,
        updated_at,
    }
}

/// The profile that a path names, of the user who asks, whose key opens it.
pub(super) struct Named(Owner);

impl FromRequestParts<App> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let user = UserScope::from_request_parts(parts, app).await?;
        let invalid = |detail: String| Problem::bad_request("invalid_profile", detail);
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| invalid("the name in the path is no name of a profile".to_owned()))?;
        let profile = ProfileName::parse(&text).map_err(|error| invalid(error.to_string()))?;
        if user.identity.profile.as_ref().is_some_and(|own| *own != profile) {
            let detail = "this key belongs to another profile than the path names";
            return Err(Problem::new(StatusCode::FORBIDDEN, "profile_not_allowed", detail));
        }
        Ok(Self(Owner { user: user.identity.user.clone(), profile }))
    }
}
