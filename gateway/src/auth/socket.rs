//! Who opens a WebSocket. Beside the headers, the upgrade alone may carry its key in the query.

use http::request::Parts;

use crate::app::App;
use crate::auth::extract::{self, UserScope};
use crate::auth::{origin, presented};
use crate::problem::Problem;

/// Resolves the key of an upgrade request, and refuses web pages of other origins.
pub async fn identify_upgrade(app: &App, parts: &Parts) -> Result<UserScope, Problem> {
    origin::check_origin(&app.config().doors, &parts.headers)?;
    let digest = presented::in_upgrade(&parts.headers, parts.uri.query());
    extract::identify(app, parts, digest).await
}
