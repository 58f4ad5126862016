//! The session of a browser: a key is swapped for a device key in a cookie that scripts cannot read, and a device or a
//! key for a one-use ticket to the WebSocket. Signing out revokes the device and has the browser drop what it kept.

use adjutant_core::limits;
use adjutant_core::scope::{ProfileName, Role, UserId};
use adjutant_store::devices::{self, NewDevice};
use adjutant_store::error::StoreError;
use adjutant_store::tickets;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{self, NoBody};
use super::devices::{DeviceView, reach};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::auth::identity::Identity;
use crate::auth::{cookie, key, label, presented};
use crate::problem::Problem;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// Not `"cookies"`: that would also take those of other hosts of the domain.
const CLEARED: HeaderValue = HeaderValue::from_static("\"cache\", \"storage\"");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const LABEL_CHARS: usize = 100;

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    pub user: UserId,
    /// The profile of this request.
    pub profile: ProfileName,
    /// `X-Profile` may name another one.
    pub any_profile: bool,
    pub role: Role,
    /// The operator's model keys may pay.
    pub operator_llm: bool,
    /// The signed-in browser; null for a key in a header.
    pub device: Option<DeviceView>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// What to call this browser in the list of devices; made from its User-Agent if absent.
    #[schema(max_length = 100)]
    label: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketView {
    /// For `/ws?ticket=`, once.
    pub ticket: String,
    pub profile: ProfileName,
    pub expires_in_seconds: u64,
}

/// Signs a browser in
///
/// The key comes in a header. The answer sets the cookie `__Host-adjutant` (`adjutant` without TLS) with a device key that has
/// the rights of the key at most and ends with it. A session that the browser had before is revoked.
#[utoipa::path(
    post,
    path = "/api/session",
    request_body = Option<NewSession>,
    responses((status = 201, body = SessionView, headers(("Set-Cookie" = String, description = "the device key"))))
)]
pub(super) async fn create(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Problem> {
    if user.identity.device.is_some() {
        return Err(Problem::unauthorized());
    }
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let asked: NewSession = body::optional_json(Request::from_parts(parts, body), limits::HTTP_BODY_BYTES).await?;
    let made = key::generate().map_err(no_random_numbers)?;
    let doors = &app.config().doors;
    let device = NewDevice {
        id: made.id,
        hash: made.digest,
        label: name(asked.label, &headers)?,
        instead_of: cookie::read(doors, &headers),
    };
    let created = app
        .store()
        .scoped(&user.scope.owner(), async |tx| devices::create(tx, &user.identity.key_id, &device).await)
        .await;
    created.map_err(|error| match error {
        // The key was revoked a moment ago.
        StoreError::NotFound => Problem::unauthorized(),
        other => (&other).into(),
    })?;
    let identity = Identity { device: Some(device.id), ..(*user.identity).clone() };
    let view = view(&app, &UserScope { scope: user.scope, identity: identity.into() }).await?;
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    let set = cookie::set(doors, &headers, made.secret.expose_secret()).ok_or_else(Problem::internal)?;
    response.headers_mut().insert(SET_COOKIE, set);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

/// Who is asking
///
/// A browser whose session is over is told to forget its cookie.
#[utoipa::path(get, path = "/api/session", responses((status = 200, body = SessionView)))]
pub(super) async fn get(State(app): State<App>, user: Result<UserScope, Problem>, parts: Parts) -> Response {
    let user = match user {
        Ok(user) => user,
        Err(problem) => return forgetting(&app, &parts.headers, problem),
    };
    match view(&app, &user).await {
        Ok(view) => ([(CACHE_CONTROL, NO_STORE)], Json(view)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Signs this browser out
///
/// Its device key is revoked, its sockets are closed on every replica, and it drops what it kept.
#[utoipa::path(delete, path = "/api/session", responses((status = 204, description = "signed out")))]
pub(super) async fn delete(State(app): State<App>, user: Result<UserScope, Problem>, parts: Parts) -> Response {
    let user = match user {
        Ok(user) => user,
        Err(problem) => return forgetting(&app, &parts.headers, problem),
    };
    let Some(device) = user.identity.device.as_deref() else {
        let detail = "this request has a key and no session; revoke a key with `DELETE /api/keys/{id}`";
        return Problem::new(StatusCode::CONFLICT, "no_session", detail).into_response();
    };
    let (owner, reach) = (user.scope.owner(), reach(&user));
    let revoked = app.store().scoped(&owner, async |tx| devices::revoke(tx, device, &reach).await).await;
    match revoked {
        // Somebody else signed it out a moment ago.
        Ok(()) | Err(StoreError::NotFound) => {}
        Err(error) => return Problem::from(&error).into_response(),
    }
    // The notice of the database does the same on every replica; this one need not wait for it.
    app.keys().note_change(device);
    let mut response = StatusCode::NO_CONTENT.into_response();
    forget(&app, &parts.headers, &mut response);
    response
}

/// A one-use ticket for the WebSocket
///
/// Open `/ws?ticket=…` with it within 30 seconds, from any replica. It opens a socket for the profile of this request with the rights of
/// what this request was made with.
#[utoipa::path(post, path = "/api/ticket", responses((status = 201, body = TicketView)))]
pub(super) async fn create_ticket(State(app): State<App>, user: UserScope, _: NoBody) -> Result<Response, Problem> {
    let ticket = key::generate_ticket().map_err(no_random_numbers)?;
    let identity = &user.identity;
    let stored = app
        .store()
        .scoped(&user.scope.owner(), async |tx| {
            tickets::create(tx, &ticket.digest, &identity.key_id, identity.device.as_deref()).await
        })
        .await?;
    if !stored {
        let detail = "too many tickets of yours wait to be used; use them or wait for half a minute";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tickets", detail));
    }
    let view = TicketView {
        ticket: ticket.secret.expose_secret().to_owned(),
        profile: user.scope.profile,
        expires_in_seconds: limits::TICKET_LIFE.as_secs(),
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, NO_STORE)], Json(view)).into_response())
}

async fn view(app: &App, user: &UserScope) -> Result<SessionView, Problem> {
    let identity = &user.identity;
    let device = match identity.device.as_deref() {
        None => None,
        Some(id) => {
            let (owner, reach) = (user.scope.owner(), reach(user));
            let all = app.store().scoped(&owner, async |tx| devices::list(tx, &reach).await).await?;
            let mine = all.into_iter().find(|device| device.id == id);
            Some(DeviceView::new(mine.ok_or_else(Problem::unauthorized)?, Some(id)))
        }
    };
    Ok(SessionView {
        user: user.scope.user.clone(),
        profile: user.scope.profile.clone(),
        any_profile: identity.profile.is_none(),
        role: user.scope.role,
        operator_llm: user.scope.operator_llm,
        device,
    })
}

fn name(given: Option<String>, headers: &HeaderMap) -> Result<String, Problem> {
    let Some(given) = given else {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        return Ok(label::of_agent(agent));
    };
    label_of(&given)
}

/// A label as a person gives it to a browser or a key.
pub(super) fn label_of(given: &str) -> Result<String, Problem> {
    let given = given.trim();
    if given.is_empty() || given.chars().count() > LABEL_CHARS || given.chars().any(char::is_control) {
        let detail = "a label is 1 to 100 characters without control characters";
        return Err(Problem::bad_request("invalid_label", detail));
    }
    Ok(given.to_owned())
}

/// A refusal that also ends the session in the browser, unless it was a header that was refused. What somebody was writing
/// there stays: they may sign in again.
fn forgetting(app: &App, headers: &HeaderMap, problem: Problem) -> Response {
    let over = problem.status == StatusCode::UNAUTHORIZED && !presented::claims_a_key(headers);
    let had_one = cookie::read(&app.config().doors, headers).is_some();
    let mut response = problem.into_response();
    if over && had_one {
        clear_cookie(app, headers, &mut response);
    }
    response
}

/// Has the browser drop the session and all that it kept.
pub(super) fn forget(app: &App, headers: &HeaderMap, response: &mut Response) {
    clear_cookie(app, headers, response);
    response.headers_mut().insert(CLEAR_SITE_DATA, CLEARED);
}

fn clear_cookie(app: &App, headers: &HeaderMap, response: &mut Response) {
    if let Some(cleared) = cookie::clear(&app.config().doors, headers) {
        response.headers_mut().insert(SET_COOKIE, cleared);
    }
}

pub(super) fn no_random_numbers(error: getrandom::Error) -> Problem {
    tracing::error!(%error, "the system gives no random numbers");
    Problem::internal()
}
