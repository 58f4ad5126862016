//! The handler. What is refused before the run began is a problem document; what fails later is the last event.

use std::convert::Infallible;

use adjutant_core::limits;
use adjutant_core::scope::Origin;
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue};

use super::input::{self, RunAgentInput};
use super::start;
use super::telling::Telling;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::http::body;
use crate::http::openai::headers;
use crate::problem::Problem;

/// Proxies must not collect the stream.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Runs the assistant for an AG-UI client
///
/// The body is the protocol's RunAgentInput, the answer its events. A run that waits for a decision, or in which
/// a tool asks a question, ends with the outcome `interrupt`; a request with `resume` goes on with it. Closing the connection does not cancel the run; the same messages again join it.
#[utoipa::path(
    post,
    path = "/api/agui",
    request_body = RunAgentInput,
    responses((status = 200, body = String, content_type = "text/event-stream", description = "AG-UI 1.0 events"))
)]
pub async fn run(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Problem> {
    let user = user.with_origin(Origin::Rest);
    let body = body::json_bytes(request, limits::OPENAI_BODY_BYTES).await?;
    let input = input::read(&body)?;
    drop(body);
    let (thread, run) = (input.thread_id.clone(), input.run_id.clone());
    let begun = start::start(&app, user, input).await?;
    let place = begun.started.following.place();
    let (our_thread, our_run) = (place.thread, place.run);
    let telling = Telling::new(begun, thread, run);
    let events = stream::unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((event, telling))
    });
    let mut response = respond(events);
    headers::name_run(response.headers_mut(), our_thread, our_run);
    Ok(response)
}

/// The events as they come, and a comment now and then while none does.
fn respond(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let events = events.map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    let keep_alive = KeepAlive::new().interval(limits::STREAM_KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    response
}
