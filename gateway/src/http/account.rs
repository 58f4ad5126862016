//! `DELETE /api/me`: the end of an account. First all other keys are revoked, so that nobody adds anything; then all rows go in
//! one transaction, and the workers of the runs that were under way find nothing left to work on.

use adjutant_core::limits;
use adjutant_core::scope::UserId;
use adjutant_store::account::{self, Ending};
use adjutant_store::error::StoreError;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{body, sessions};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Farewell {
    /// The name of the user, so that nobody does this by mistake.
    confirm: String,
}

/// Deletes all that belongs to you
///
/// Threads, files, servers, credentials, profiles, consents, browsers and keys; runs, sockets and streams end on every replica. It cannot
/// be undone. The last admin keeps their name and the key that asks, so that the server stays usable. It needs a key for all profiles.
#[utoipa::path(
    delete,
    path = "/api/me",
    request_body = Farewell,
    responses((status = 204, description = "nothing is left"))
)]
pub(super) async fn delete(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let asked: Farewell = body::json(request, limits::HTTP_BODY_BYTES).await?;
    if asked.confirm != user.scope.user.as_str() {
        let detail = "confirm is the name of the user whose account this is; `GET /api/me` tells it";
        return Err(Problem::bad_request("confirm_mismatch", detail));
    }
    let with_cookie = user.identity.device.is_some();
    // To the end, also when the client does not wait for it: half of an account helps nobody.
    let ending = app.to_the_end("account", end(app.clone(), user)).await.ok_or_else(Problem::internal)??;
    accepted(ending)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if with_cookie {
        sessions::forget(&app, &headers, &mut response);
    }
    Ok(response)
}

async fn end(app: App, user: UserScope) -> Result<Ending, StoreError> {
    let (owner, key) = (user.scope.owner(), user.identity.key_id.as_str());
    let closed = app.store().scoped(&owner, async |tx| account::close(tx, key).await).await?;
    if closed != Ending::Closed {
        return Ok(closed);
    }
    let ending = app.store().scoped(&owner, async |tx| account::delete(tx, key).await).await?;
    if matches!(ending, Ending::Deleted | Ending::Kept) {
        tracing::info!(user.id = %owner.user, "an account was deleted");
        // The notices of the database do the same on every replica; this one need not wait for them.
        app.keys().note_change(key);
    }
    if ending == Ending::Deleted {
        app.supervisor().spawn("sweep", sweep_later(app.clone(), owner.user));
    }
    Ok(ending)
}

/// A request that was identified before, such as an upload, may write after the deletion. None takes longer than this.
async fn sweep_later(app: App, user: UserId) {
    let stopping = app.supervisor().stopping().clone();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = tokio::time::sleep(limits::FILE_READ) => {}
    }
    let swept =
        app.store().system("remove what came after a deletion", async |tx| account::sweep(tx, &user).await).await;
    if let Err(error) = swept {
        tracing::warn!(%error, "what may have come after the deletion of an account was not removed");
    }
}

fn accepted(ending: Ending) -> Result<(), Problem> {
    match ending {
        Ending::Closed | Ending::Deleted | Ending::Kept => Ok(()),
        Ending::Gone => Err(Problem::unauthorized()),
        Ending::OneProfile => {
            let detail = "this needs a key for all profiles";
            Err(Problem::new(StatusCode::FORBIDDEN, "profile_not_allowed", detail))
        }
        Ending::AdminOnly => {
            let detail = "you are the last admin here: this needs your admin's key";
            Err(Problem::new(StatusCode::FORBIDDEN, "admin_only", detail))
        }
    }
}
