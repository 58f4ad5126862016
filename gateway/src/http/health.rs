//! Whether the process answers, and whether it can work. The two doors without a key.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::problem::Problem;

pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// The schema was checked when the server started; what can fail since is the database.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.supervisor().stopping().is_cancelled() {
        return Err(not_ready("the server is stopping"));
    }
    app.store().health().await.map(|()| "ready\n").map_err(|_| not_ready("the database cannot be reached"))
}

fn not_ready(detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}
