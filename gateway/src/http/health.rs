//! Whether the process answers, and whether it can work. The two doors without a key.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::problem::Problem;

/// Whether the process answers
#[utoipa::path(get, path = "/api/health", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Whether the server can work: the schema was checked when it started, so what can fail is the database
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.supervisor().stopping().is_cancelled() {
        return Err(not_ready("the server is stopping"));
    }
    app.store().health().await.map(|()| "ready\n").map_err(|_| not_ready("the database cannot be reached"))
}

fn not_ready(detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}
