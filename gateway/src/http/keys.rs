//! One's own keys: seeing, making and revoking them. A key is shown once and stored as a hash. What the key that asks may
//! do is looked up in the transaction that does it, so that it never makes one with more rights than it has.

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_store::keys::{self, KeyProfile, NewOwnKey, OwnKey, Verdict};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use super::page::{self, Asked, Page};
use super::path::{Id, PublicId};
use super::sessions::{NO_STORE, label_of, no_random_numbers};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::auth::key;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// The public part, by which it is listed and revoked.
    pub id: String,
    pub label: String,
    /// The profile that it opens; `*` for all.
    pub profile: String,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    /// To within ten minutes.
    pub last_used: Option<DateTime<Utc>>,
    /// The one that asks, or that the browser which asks was signed in with.
    pub current: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MadeKey {
    #[serde(flatten)]
    pub about: KeyView,
    /// The key itself. It is not shown again.
    pub key: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    label: String,
    /// The profile that it opens, or `*` for all; that of the request if absent.
    profile: Option<String>,
    /// `personal` if absent. Only a key of an admin makes keys of an admin.
    role: Option<Role>,
}

/// Your keys
///
/// A key for one profile knows the keys of that profile, a key for all knows all of the user. Newest first; revoked ones are gone.
#[utoipa::path(get, path = "/api/keys", params(Asked), responses((status = 200, body = Page<KeyView>)))]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    asked: Asked,
) -> Result<Json<Page<KeyView>>, Problem> {
    let before = asked.cursor(page::parse_time_cursor::<PublicId>)?.map(|(at, id)| (at, id.0));
    let by = user.identity.key_id.as_str();
    let found = app
        .store()
        .scoped(&user.scope.owner(), async |tx| keys::own(tx, by, before.as_ref(), asked.limit).await)
        .await?;
    let is_full = i64::try_from(found.len()).is_ok_and(|read| read >= asked.limit);
    let next = found.last().filter(|_| is_full).map(|key| page::time_cursor(key.created_at, &key.key_id));
    Ok(Json(Page { items: found.into_iter().map(|key| KeyView::new(key, by)).collect(), next }))
}

/// Makes a key
///
/// It has no more rights than the key that asks: no other profile, no higher role, and the operator's models only if that one may
/// use them. The answer alone shows it.
#[utoipa::path(post, path = "/api/keys", request_body = KeyBody, responses((status = 201, body = MadeKey)))]
pub(super) async fn create(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Problem> {
    let asked: KeyBody = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let profile = match asked.profile.as_deref() {
        None => KeyProfile::One(user.scope.profile.clone()),
        Some(named) => KeyProfile::parse(named).ok_or_else(|| {
            let detail = "a profile is a short name of a-z, 0-9, '-' and '_', or '*'";
            Problem::bad_request("invalid_profile", detail)
        })?,
    };
    let made = key::generate().map_err(no_random_numbers)?;
    let new = NewOwnKey {
        key_id: made.id,
        hash: made.digest,
        profile,
        role: asked.role.unwrap_or(Role::Personal),
        label: label_of(&asked.label)?,
    };
    let by = user.identity.key_id.as_str();
    let (verdict, made_at) =
        app.store().scoped(&user.scope.owner(), async |tx| keys::create_own(tx, by, &new).await).await?;
    accepted(verdict)?;
    let NewOwnKey { key_id, profile, role, label, .. } = new;
    let created_at = made_at.ok_or_else(Problem::internal)?;
    let about = KeyView::new(OwnKey { key_id, profile, role, label, created_at, last_used: None }, by);
    let made = MadeKey { about, key: made.secret.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, NO_STORE)], Json(made)).into_response())
}

/// Revokes a key
///
/// Its sockets and streams end on every replica within a second, and so do the browsers that were signed in with it. It may be the
/// one that asks. A key of an admin is revoked by one of an admin alone.
#[utoipa::path(
    delete,
    path = "/api/keys/{id}",
    params(("id" = String, Path, min_length = 4, max_length = 32, pattern = "^[a-z0-9]+$")),
    responses((status = 204, description = "revoked"))
)]
pub(super) async fn revoke(
    State(app): State<App>,
    user: UserScope,
    Id(PublicId(which)): Id<PublicId>,
) -> Result<StatusCode, Problem> {
    let by = user.identity.key_id.as_str();
    let verdict = app.store().scoped(&user.scope.owner(), async |tx| keys::revoke_own(tx, by, &which).await).await?;
    accepted(verdict)?;
    // The notice of the database does the same on every replica; this one need not wait for it.
    app.keys().note_change(&which);
    Ok(StatusCode::NO_CONTENT)
}

fn accepted(verdict: Verdict) -> Result<(), Problem> {
    let forbidden = |code, detail: &'static str| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
    match verdict {
        Verdict::Done => Ok(()),
        Verdict::Gone => Err(Problem::unauthorized()),
        Verdict::OtherProfile => {
            forbidden("profile_not_allowed", "a key for one profile makes keys for that profile alone")
        }
        Verdict::AdminOnly => forbidden("admin_only", "this needs the key of an admin"),
        Verdict::UnknownProfile => {
            let detail = "there is no profile of that name; `PUT /api/profiles/{name}` makes one";
            Err(Problem::new(StatusCode::NOT_FOUND, "unknown_profile", detail))
        }
        Verdict::TooMany => {
            let detail = format!("a user has at most {} keys; revoke one first", limits::KEYS);
            Err(Problem::new(StatusCode::CONFLICT, "too_many_keys", detail))
        }
    }
}

impl KeyView {
    pub(super) fn new(key: OwnKey, current: &str) -> Self {
        Self {
            current: key.key_id == current,
            id: key.key_id,
            label: key.label,
            profile: key.profile.as_str().to_owned(),
            role: key.role,
            created_at: key.created_at,
            last_used: key.last_used,
        }
    }
}
