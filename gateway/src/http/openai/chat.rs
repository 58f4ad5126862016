//! `POST /v1/chat/completions`. Without `X-Thread-Id` the messages are the whole history of a new
//! hidden thread, and the run ends with its client; with it they go on with that thread.

use adjutant_core::limits;
use adjutant_core::scope::Origin;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::answer::{Head, Said};
use super::failure::Failure;
use super::headers::{self, Asked};
use super::start::{self, Order};
use super::telling::{Step, Telling};
use super::{history, models, options, request, stream};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::http::body;

pub async fn complete(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Failure> {
    let user = user.with_origin(Origin::OpenAi);
    let asked = Asked::read(request.headers())?;
    let body = body::json_bytes(request, limits::OPENAI_BODY_BYTES).await?;
    let mut request = request::parse(&body)?;
    drop(body);
    models::find(&request.model)?;
    let options = options::read(&mut request)?;
    let streams = request.stream == Some(true);
    let with_usage = request.stream_options.and_then(|options| options.include_usage) == Some(true);
    let entries = history::read(request.messages.0)?;
    let telling = start::start(&app, Order { user, asked, entries, request: options }).await?;
    if streams { stream::answer(telling, with_usage).await } else { whole(telling).await }
}

/// The answer in one piece.
async fn whole(mut telling: Telling) -> Result<Response, Failure> {
    let (mut text, mut thought) = (String::new(), String::new());
    let ending = loop {
        match telling.step().await {
            Step::Text(piece) => text.push_str(&piece),
            Step::Thought(piece) => thought.push_str(&piece),
            Step::End(ending) => break ending,
            Step::Failed(failure) => return Err(failure),
        }
    };
    let (thread, run) = (telling.follower.place().thread, telling.follower.place().run);
    let said = Said { text: &text, thought: &thought, calls: &ending.calls };
    let body = Head::of(run).completion(said, ending.finish, ending.usage.into());
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers::name_run(response.headers_mut(), thread, run);
    Ok(response)
}
