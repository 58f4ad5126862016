//! The browser's page and its files. At an address where there is nothing, whoever navigates there gets the page, which says
//! so; programs get a problem document.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::app::App;
use crate::problem::Problem;

/// First parts of the page's own addresses: `gateway/web/src/App.svelte` shows something for each.
const ADDRESSES: [&str; 3] = ["chat", "needs-you", "settings"];

/// What lies beside the page in the binary.
const FILES: [&str; 1] = ["assets"];

/// First parts of addresses that belong to programs, whoever asks.
const PROGRAMS: [&str; 5] = ["api", "v1", "ws", "mcp", "readyz"];

pub(super) async fn page(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let is_alone = parts.next().is_none();
    let is_file = FILES.contains(&first) || (is_alone && first.contains('.'));
    let is_page = path == "/" || ADDRESSES.contains(&first);
    let (is_for_programs, navigates) = (PROGRAMS.contains(&first), navigates(request.headers()));
    let found = match (is_page, is_file) {
        (true, _) => app.page().show(request).await,
        (_, true) => match app.page().file(request).await {
            None if navigates => nothing_here(&app).await,
            found => found,
        },
        _ if navigates && !is_for_programs => nothing_here(&app).await,
        _ => None,
    };
    found.unwrap_or_else(|| Problem::not_found().into_response())
}

/// The page in place of a problem document.
async fn nothing_here(app: &App) -> Option<Response> {
    // Asked for without conditions: what is not there is never answered with 304.
    let mut response = app.page().show(Request::default()).await?;
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    Some(response)
}

/// Whether it asks for a page by name, as a browser does that goes to an address; scripts, images and programs do not.
fn navigates(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = lists.flat_map(|list| list.split(',')).map(|item| item.split(';').next().unwrap_or_default());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}
