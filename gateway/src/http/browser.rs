//! The browser's page and its files.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::problem::Problem;

/// First parts of the page's own addresses: `gateway/web/src/App.svelte` shows something for each.
const ADDRESSES: [&str; 3] = ["chat", "needs-you", "settings"];

/// What lies beside the page in the binary.
const FILES: [&str; 1] = ["assets"];

pub(super) async fn page(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let is_alone = parts.next().is_none();
    let is_file = FILES.contains(&first) || (is_alone && first.contains('.'));
    let is_page = path == "/" || ADDRESSES.contains(&first);
    let found = match (is_page, is_file) {
        (true, _) => app.page().show(request).await,
        (_, true) => app.page().file(request).await,
        _ => None,
    };
    found.unwrap_or_else(|| Problem::not_found().into_response())
}
