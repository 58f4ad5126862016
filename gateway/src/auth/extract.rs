//! From a request to a right: the type of an extractor is the right that it grants. A handler without
//! one cannot reach data.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use adjutant_core::profile::PERSONAL;
use adjutant_core::scope::{Origin, Owner, ProfileName, Role, Scope};
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::app::App;
use crate::auth::identity::Identity;
use crate::auth::presented::{self, Credential};
use crate::auth::{cookie, origin};
use crate::problem::Problem;

const PROFILE_HEADER: &str = "x-profile";
/// Where the session of a browser is good for something.
const BROWSERS_PATHS: &str = "/api/";

/// The address of the client, put into the request by the server.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The right to the data of one profile of one user.
#[derive(Debug, Clone)]
pub struct UserScope {
    pub scope: Scope,
    pub identity: Arc<Identity>,
}

impl UserScope {
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.scope.origin = origin;
        self
    }
}

impl FromRequestParts<App> for UserScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        identify(app, parts, presented(app, parts)?).await
    }
}

/// The same right, for an address that stands in a page: a browser that follows it sets no header, so that `?profile=` may
/// say what `X-Profile` would.
#[derive(Debug, Clone)]
pub struct LinkedScope(pub UserScope);

impl FromRequestParts<App> for LinkedScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        take_profile(parts);
        UserScope::from_request_parts(parts, app).await.map(Self)
    }
}

/// The right to manage the server: an admin's key.
#[derive(Debug, Clone)]
pub struct AdminScope(pub UserScope);

impl FromRequestParts<App> for AdminScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let user = UserScope::from_request_parts(parts, app).await?;
        if user.identity.role == Role::Admin {
            Ok(Self(user))
        } else {
            Err(Problem::new(StatusCode::FORBIDDEN, "admin_only", "this needs the key of an admin"))
        }
    }
}

/// Puts what `?profile=` names where `X-Profile` stands, beside what is there.
pub(crate) fn take_profile(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default();
    for (_, profile) in url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "profile") {
        // What no header can hold is no profile either, and is refused as one.
        let value = HeaderValue::from_str(&profile).unwrap_or(HeaderValue::from_static(""));
        parts.headers.append(PROFILE_HEADER, value);
    }
}

/// The cookie speaks on the routes of the browser alone, and only where no header claims to.
fn presented(app: &App, parts: &Parts) -> Result<Option<Credential>, Problem> {
    if presented::claims_a_key(&parts.headers) || !parts.uri.path().starts_with(BROWSERS_PATHS) {
        return Ok(presented::in_headers(&parts.headers).map(Credential::Key));
    }
    let doors = &app.config().doors;
    let Some(device) = cookie::read(doors, &parts.headers) else { return Ok(None) };
    origin::check_session(doors, &parts.method, &parts.headers)?;
    Ok(Some(Credential::Device(device)))
}

/// Resolves what was presented and picks the profile.
pub(crate) async fn identify(app: &App, parts: &Parts, credential: Option<Credential>) -> Result<UserScope, Problem> {
    let identity = authenticate(app, parts, credential).await?;
    let profile = choose_profile(parts, identity.profile.as_ref())?;
    scope_of(app, identity, profile).await
}

/// The right to this profile, if there is one of that name.
pub(super) async fn scope_of(app: &App, identity: Arc<Identity>, profile: ProfileName) -> Result<UserScope, Problem> {
    let owner = Owner { user: identity.user.clone(), profile: profile.clone() };
    if !app.keys().profiles().exists(&owner).await? {
        let detail = "there is no profile of that name; `PUT /api/profiles/{name}` makes one";
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_profile", detail));
    }
    let scope = Scope {
        user: identity.user.clone(),
        profile,
        role: identity.role,
        origin: Origin::Rest,
        operator_llm: identity.allow_operator_llm,
        key: Some(identity.key_id.as_str().into()),
    };
    Ok(UserScope { scope, identity })
}

pub(super) async fn authenticate(
    app: &App,
    parts: &Parts,
    credential: Option<Credential>,
) -> Result<Arc<Identity>, Problem> {
    let Some(credential) = credential else { return Err(Problem::unauthorized()) };
    if let Some(identity) = app.keys().known(&credential) {
        return Ok(identity);
    }
    let tries = Tries::of(app, parts)?;
    match app.keys().identify(&credential).await? {
        Some(identity) => Ok(identity),
        None => Err(tries.wrong()),
    }
}

/// An address that may still try credentials.
pub(super) struct Tries<'a> {
    app: &'a App,
    address: IpAddr,
}

impl<'a> Tries<'a> {
    pub(super) fn of(app: &'a App, parts: &Parts) -> Result<Self, Problem> {
        let Peer(address) = parts.extensions.get().copied().unwrap_or(Peer(Ipv4Addr::LOCALHOST.into()));
        if app.limiter().allows(address) {
            return Ok(Self { app, address });
        }
        let detail = "too many wrong keys came from this address; wait for a minute";
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys", detail))
    }

    pub(super) fn wrong(self) -> Problem {
        self.app.limiter().count_wrong(self.address);
        Problem::unauthorized()
    }
}

/// The profile that `X-Profile` names, within what the credential opens: `None` is every profile.
pub(super) fn choose_profile(parts: &Parts, opens: Option<&ProfileName>) -> Result<ProfileName, Problem> {
    let mut asked = parts.headers.get_all(PROFILE_HEADER).iter();
    let wanted = asked.next().map(|value| value.to_str().unwrap_or_default());
    let wanted = wanted.map(ProfileName::parse).transpose();
    let invalid = |detail: String| Problem::bad_request("invalid_profile", detail);
    let wanted = wanted.map_err(|error| invalid(error.to_string()))?;
    if asked.next().is_some() {
        return Err(invalid("send X-Profile once".to_owned()));
    }
    match (opens, wanted) {
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(wanted)) if *own == wanted => Ok(wanted),
        (Some(_), Some(_)) => {
            let detail = "this key belongs to another profile than X-Profile names";
            Err(Problem::new(StatusCode::FORBIDDEN, "profile_not_allowed", detail))
        }
        (None, Some(wanted)) => Ok(wanted),
        (None, None) => ProfileName::parse(PERSONAL).map_err(|_| Problem::internal()),
    }
}
