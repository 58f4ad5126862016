//! From a request to a right: the type of an extractor is the right that it grants. A handler without
//! one cannot reach data.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use adjutant_core::profile::PERSONAL;
use adjutant_core::scope::{Origin, Owner, ProfileName, Role, Scope};
use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use crate::app::App;
use crate::auth::identity::Identity;
use crate::auth::key::Digest;
use crate::auth::presented;
use crate::problem::Problem;

const PROFILE_HEADER: &str = "x-profile";

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
        identify(app, parts, presented::in_headers(&parts.headers)).await
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

/// Resolves a presented key and picks the profile.
pub(crate) async fn identify(app: &App, parts: &Parts, digest: Option<Digest>) -> Result<UserScope, Problem> {
    let identity = authenticate(app, parts, digest).await?;
    let profile = choose_profile(parts, &identity)?;
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

async fn authenticate(app: &App, parts: &Parts, digest: Option<Digest>) -> Result<Arc<Identity>, Problem> {
    let Some(digest) = digest else { return Err(Problem::unauthorized()) };
    if let Some(identity) = app.keys().known(&digest) {
        return Ok(identity);
    }
    let Peer(address) = parts.extensions.get().copied().unwrap_or(Peer(Ipv4Addr::LOCALHOST.into()));
    if !app.limiter().allows(address) {
        let detail = "too many wrong keys came from this address; wait for a minute";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys", detail));
    }
    if let Some(identity) = app.keys().identify(&digest).await? {
        return Ok(identity);
    }
    app.limiter().count_wrong(address);
    Err(Problem::unauthorized())
}

fn choose_profile(parts: &Parts, identity: &Identity) -> Result<ProfileName, Problem> {
    let mut asked = parts.headers.get_all(PROFILE_HEADER).iter();
    let wanted = asked.next().map(|value| value.to_str().unwrap_or_default());
    let wanted = wanted.map(ProfileName::parse).transpose();
    let invalid = |detail: String| Problem::bad_request("invalid_profile", detail);
    let wanted = wanted.map_err(|error| invalid(error.to_string()))?;
    if asked.next().is_some() {
        return Err(invalid("send X-Profile once".to_owned()));
    }
    match (&identity.profile, wanted) {
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
