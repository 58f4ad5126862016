//! Ids and names in paths, and what queries choose. A text that is no id is told apart from an unknown one, which reveals nothing.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::Problem;

/// The one `{id}` of a route.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = || Problem::bad_request("invalid_id", "the id in the path is no id");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| wrong())?;
        text.parse().map(Self).map_err(|_| wrong())
    }
}

/// The public part of a key or a device, which is no UUID.
#[derive(Debug, Clone)]
pub struct PublicId(pub String);

impl FromStr for PublicId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (4..=32).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

/// Names in a route, which their owners chose: what cannot be read names nothing.
#[derive(Debug, Clone)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(names) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Ok(Self(names))
    }
}
/// The one `{server}` of a route: any text that could name one.
#[derive(Debug, Clone)]
pub struct Server(pub String);

/// The `{server}` and the `{tool}` of a route.
#[derive(Debug, Clone)]
pub struct ServerTool {
    pub server: String,
    pub tool: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Server {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(server) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| no_name())?;
        Ok(Self(name(server, SERVER_LONGEST)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ServerTool {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((server, tool)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(|_| no_name())?;
        Ok(Self { server: name(server, SERVER_LONGEST)?, tool: name(tool, TOOL_LONGEST)? })
    }
}

const SERVER_LONGEST: usize = 128;
const TOOL_LONGEST: usize = 256;

fn name(text: String, longest: usize) -> Result<String, Problem> {
    let fits = !text.is_empty() && text.chars().nth(longest).is_none() && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(no_name()) }
}

fn no_name() -> Problem {
    Problem::bad_request("invalid_name", "a name in the path is no name of a server or tool")
}

/// Whether only what waits for a person is asked for.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Open {
    /// `pending` (the default) or `all`.
    #[param(rename = "state", value_type = Option<String>, pattern = "^(pending|all)$")]
    pub only: bool,
}

impl<S: Sync> FromRequestParts<S> for Open {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match in_query(parts, "state").as_deref() {
            None | Some("pending") => Ok(Self { only: true }),
            Some("all") => Ok(Self { only: false }),
            Some(_) => Err(Problem::bad_request("invalid_state", "state is pending or all")),
        }
    }
}

/// The agent that is asked about, if one is named.
#[derive(Debug, Clone, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Agent {
    pub agent: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Agent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let agent = in_query(parts, "agent").filter(|agent| !agent.is_empty());
        if agent.as_ref().is_some_and(|agent| agent.contains('\0') || agent.len() > SERVER_LONGEST) {
            return Err(Problem::bad_request("invalid_name", "agent is no name of an agent"));
        }
        Ok(Self { agent })
    }
}

fn in_query(parts: &Parts, wanted: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
}
