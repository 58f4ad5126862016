//! Browsers that are signed in: seeing them, and signing one out from elsewhere.

use adjutant_store::devices;
use adjutant_store::keys::KeyProfile;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::Page;
use super::path::{Id, PublicId};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    pub id: String,
    pub label: String,
    /// The profile that its key opens; `*` for all.
    pub profile: String,
    pub created_at: DateTime<Utc>,
    /// To within ten minutes.
    pub last_used: DateTime<Utc>,
    /// The one that asks.
    pub current: bool,
}

/// The browsers that are signed in
///
/// A key for one profile knows the devices of that profile, a key for all knows all of the user.
#[utoipa::path(get, path = "/api/devices", responses((status = 200, body = Page<DeviceView>)))]
pub(super) async fn list(State(app): State<App>, user: UserScope) -> Result<Json<Page<DeviceView>>, Problem> {
    let (owner, reach) = (user.scope.owner(), reach(&user));
    let found = app.store().scoped(&owner, async |tx| devices::list(tx, &reach).await).await?;
    let current = user.identity.device.as_deref();
    let items = found.into_iter().map(|device| DeviceView::new(device, current)).collect();
    Ok(Json(Page { items, next: None }))
}

/// Signs a browser out
///
/// Its sockets are closed on every replica within a second.
#[utoipa::path(
    delete,
    path = "/api/devices/{id}",
    params(("id" = String, Path, min_length = 4, max_length = 32, pattern = "^[a-z0-9]+$")),
    responses((status = 204, description = "signed out"))
)]
pub(super) async fn delete(
    State(app): State<App>,
    user: UserScope,
    Id(PublicId(device)): Id<PublicId>,
) -> Result<StatusCode, Problem> {
    let (owner, reach) = (user.scope.owner(), reach(&user));
    app.store().scoped(&owner, async |tx| devices::revoke(tx, &device, &reach).await).await?;
    app.keys().note_change(&device);
    Ok(StatusCode::NO_CONTENT)
}

/// Which devices the caller may know of: a profile does not learn of those of another.
pub(super) fn reach(user: &UserScope) -> KeyProfile {
    user.identity.profile.clone().map_or(KeyProfile::Any, KeyProfile::One)
}

impl DeviceView {
    pub(super) fn new(device: devices::Device, current: Option<&str>) -> Self {
        Self {
            current: current == Some(device.id.as_str()),
            id: device.id,
            label: device.label,
            profile: device.profile.as_str().to_owned(),
            created_at: device.created_at,
            last_used: device.last_used,
        }
    }
}
