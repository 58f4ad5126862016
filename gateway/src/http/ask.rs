//! `POST /api/v1/ask`: text in, text out, for shortcuts of a phone and scripts of one line. It waits for the answer with
//! a bound, and says in a sentence when the run waits for a person. Refusals are sentences too: `guard` sees to that.

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_engine::runs::submission::{RunRequest, Submission, Target};
use adjutant_store::runs::{self, RunStatus};
use adjutant_store::threads::Kind;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::body::{self, Given};
use super::guard::wants_text;
use super::openai::failure::Failure;
use super::openai::headers::{self, Asked};
use super::openai::history::{self, Entry};
use super::openai::request::{ChatMessage, Content};
use super::openai::start::{Started, Starting};
use super::openai::telling::{Step, Telling};
use super::openai::thread;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Question {
    text: String,
    /// Goes on with this thread; as the header `X-Thread-Id` does.
    thread_id: Option<ThreadId>,
}

/// What came of a question
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskAnswer {
    text: String,
    thread_id: ThreadId,
    run_id: RunId,
    state: AskState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AskState {
    Done,
    /// For a person: the text says what for.
    Waiting,
    /// It takes longer than this request; the answer will be in the thread.
    Working,
}

/// Asks a question and waits for the answer
///
/// The body is the question as text/plain, or JSON. The answer is text/plain, or JSON where `Accept` names it; refusals likewise, with their
/// code in the header `X-Problem-Code`. Without a thread it begins a new one. With the same `Idempotency-Key` a repeated question is one run.
#[utoipa::path(
    post,
    path = "/api/v1/ask",
    params(
        ("X-Thread-Id" = Option<ThreadId>, Header, description = "goes on with this thread"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 120,
            description = "the same key again is the same question"),
    ),
    request_body(content((Question = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, description = "the answer, or what it waits for",
            content((AskAnswer = "application/json"), (String = "text/plain"))),
        (status = 202, description = "it takes longer; the answer will be in the thread",
            content((AskAnswer = "application/json"), (String = "text/plain"))),
    )
)]
pub(super) async fn ask(State(app): State<App>, user: UserScope, request: Request) -> Result<Response, Problem> {
    let text_wanted = wants_text(request.headers());
    let mut asked = Asked::read(request.headers()).map_err(Failure::into_problem)?;
    asked.client_message_id = asked.client_message_id.map(|id| id.replacen("openai:", "ask:", 1));
    let question = match body::text_or_json::<Question>(request, limits::HTTP_BODY_BYTES).await? {
        Given::Json(question) => question,
        Given::Text(text) => Question { text, thread_id: None },
    };
    let started = start(&app, user, asked, question).await.map_err(Failure::into_problem)?;
    let (thread, run) = (started.following.place().thread, started.following.place().run);
    let (engine, owner) = (app.engine().clone(), started.following.place().owner.clone());
    let mut telling = Telling::from(started);
    let (text, state) = match timeout(limits::ASK_WAIT, whole(&mut telling)).await {
        Ok(Ok(text)) => {
            let run = engine.store().scoped(&owner, async |tx| runs::load(tx, run).await).await?;
            (text, if run.status == RunStatus::Succeeded { AskState::Done } else { AskState::Waiting })
        }
        Ok(Err(failure)) => return Err(failure.into_problem()),
        Err(_) => (format!("I am still working on it. The answer will be in thread {thread}."), AskState::Working),
    };
    let status = if state == AskState::Working { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = if text_wanted {
        ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
    } else {
        Json(AskAnswer { text, thread_id: thread, run_id: run, state }).into_response()
    };
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers::name_run(response.headers_mut(), thread, run);
    Ok(response)
}

async fn start(app: &App, user: UserScope, asked: Asked, question: Question) -> Result<Started, Failure> {
    let thread = match (asked.thread, question.thread_id) {
        (Some(header), Some(body)) if header != body => {
            return Err(Failure::invalid("threadId", "X-Thread-Id names another thread"));
        }
        (header, body) => header.or(body),
    };
    let starting = Starting::new(app, user);
    if let Some(id) = asked.client_message_id.as_deref()
        && let Some(started) = starting.repeat(id).await?
    {
        return Ok(started);
    }
    let entries = entries(question.text)?;
    let (target, entries) = match thread {
        None => (Target::New(Kind::Listed), entries),
        Some(thread) => {
            let new = thread::new_entries(&starting.engine, &starting.owner, thread, entries).await?;
            (Target::Existing(thread), new)
        }
    };
    let submission = Submission {
        run_id: RunId::new(),
        thread: target,
        parent: None,
        messages: starting.drafts(entries).await?,
        client_message_id: asked.client_message_id,
        request: RunRequest::default(),
    };
    starting.submit(submission).await
}

fn entries(text: String) -> Result<Vec<Entry>, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::invalid("text", "there is no question"));
    }
    let content = Some(Content::Text(text));
    history::read(vec![ChatMessage { role: "user".to_owned(), content, tool_calls: None, tool_call_id: None }])
}

async fn whole(telling: &mut Telling) -> Result<String, Failure> {
    let mut text = String::new();
    loop {
        match telling.step().await {
            Step::Text(piece) => text.push_str(&piece),
            Step::Thought(_) => {}
            Step::End(_) => return Ok(text),
            Step::Failed(failure) => return Err(failure),
        }
    }
}
