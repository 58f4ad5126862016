//! Messages: pages of a thread and of a branch, new ones, and further answers to those that are there.

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Part, Role, accept_user_parts};
use adjutant_engine::runs::submission::Accepted;
use adjutant_store::{messages, threads, tree};
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::body;
use super::page::{self, Asked, Page};
use super::path::Id;
use super::threads::is_full;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;
use crate::wire::client;
use crate::wire::client::BadFrame;
use crate::wire::forms::SubmitContent;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    pub id: MessageId,
    pub client_message_id: Option<String>,
    pub thread_id: ThreadId,
    pub parent_id: Option<MessageId>,
    /// All messages that stand behind the same parent, in order, this one among them: more than one where the
    /// conversation branches. One that waits for its turn, or was cancelled before it, stands alone.
    pub sibling_ids: Vec<MessageId>,
    pub run_id: Option<RunId>,
    pub role: Role,
    pub content: Vec<Part>,
    pub seq: i64,
    /// The model's stream was cut or cancelled: the text is what had arrived.
    pub partial: bool,
    /// The model that wrote an answer, as `provider/model`; null for other roles, and where the answer was cut off.
    pub model: Option<String>,
    /// Of a tool's result: milliseconds from the start of the call to its end, absent where nothing was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub took_ms: Option<u64>,
    /// Of an answer: milliseconds from the first thought to the first word, absent where nothing was thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub thought_ms: Option<u64>,
    pub created_at: DateTime<Utc>,
}

/// One branch instead of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Branch {
    /// `head`, or the id of a message: only the branch that ends there.
    #[param(required = false, value_type = String, rename = "branch")]
    tip: Option<Tip>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tip {
    Head,
    Message(MessageId),
}

impl<S: Sync> FromRequestParts<S> for Branch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let wrong = |_| Problem::bad_request("invalid_branch", "branch is head or the id of a message");
        let mut tip = None;
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match (&*name, &*value) {
                ("branch", "head") => tip = Some(Tip::Head),
                ("branch", id) => tip = Some(Tip::Message(id.parse().map_err(wrong)?)),
                _ => {}
            }
        }
        Ok(Self { tip })
    }
}

/// The newest messages of all branches or of one, oldest first; `next` leads to older ones
#[utoipa::path(
    get,
    path = "/api/threads/{id}/messages",
    params(("id" = ThreadId, Path), Branch, Asked),
    responses((status = 200, body = Page<MessageView>))
)]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    Branch { tip }: Branch,
    asked: Asked,
) -> Result<Json<Page<MessageView>>, Problem> {
    let owner = user.scope.owner();
    let limit = asked.limit;
    let (found, next, siblings) = match tip {
        None => {
            let before = asked.cursor(page::parse_number_cursor)?;
            app.store()
                .scoped(&owner, async |tx| {
                    threads::last_seq(tx, thread).await?;
                    let found = messages::page(tx, thread, before, limit).await?;
                    let oldest = found.first().filter(|_| is_full(found.len(), limit));
                    let next = oldest.map(|oldest| page::number_cursor(oldest.seq, oldest.id));
                    let siblings = tree::siblings(tx, thread, &found).await?;
                    Ok((found, next, siblings))
                })
                .await?
        }
        Some(tip) => {
            let before: Option<MessageId> = asked.cursor(|text| text.parse().ok())?;
            app.store()
                .scoped(&owner, async |tx| {
                    let head = threads::load(tx, thread).await?.head_id;
                    let tip = before.or(match tip {
                        Tip::Head => head,
                        Tip::Message(message) => Some(message),
                    });
                    let found = match tip {
                        Some(tip) => messages::tail(tx, thread, tip, limit).await?,
                        None => Vec::new(),
                    };
                    // Behind it stand the older ones of the same branch.
                    let next =
                        found.first().filter(|_| is_full(found.len(), limit)).and_then(|oldest| oldest.parent_id);
                    let siblings = tree::siblings(tx, thread, &found).await?;
                    Ok((found, next.map(|next| next.to_string()), siblings))
                })
                .await?
        }
    };
    let items = found.into_iter().zip(siblings).map(|(message, siblings)| view(message, siblings)).collect();
    Ok(Json(Page { items, next }))
}

/// A message to be answered. The fields are those of the frame `run.submit`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes the body; the one reader of it is that of the frame")]
pub struct MessageBody {
    /// Chosen by the client, new for each message: sending the same id twice makes one run.
    #[schema(min_length = 1, max_length = 128)]
    client_message_id: String,
    /// Text, or parts: `{"type":"text","text":…}` and `{"type":"file","fileId":…}`.
    #[schema(value_type = SubmitContent)]
    content: Value,
    /// Without it a new thread begins.
    thread_id: Option<ThreadId>,
    /// The thread that begins is in no list and no search, gets no title, and is removed for good a day after what
    /// happened last in it, unless it is kept.
    temporary: Option<bool>,
    /// The message that this one follows; without it the newest.
    parent_id: Option<MessageId>,
    /// An earlier message of the person that this one stands beside, in a new branch.
    edited_id: Option<MessageId>,
    /// The model to ask, as `provider/model`.
    model: Option<String>,
    /// `queue` (the default): while a run is going in the thread, the message waits for its turn. `steer`: it joins that run before
    /// its next model call.
    mode: Option<String>,
}

/// The message is stored and will be answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedView {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub run_id: RunId,
    /// The number of the run's first event.
    pub seq: i64,
}

/// Sends a message
#[utoipa::path(
    post,
    path = "/api/messages",
    request_body = MessageBody,
    responses((status = 202, body = AcceptedView))
)]
pub(super) async fn send(
    State(app): State<App>,
    user: UserScope,
    request: Request,
) -> Result<(StatusCode, Json<AcceptedView>), Problem> {
    let fields: Map<String, Value> = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let (submission, edited) = client::submit(&fields).map_err(bad_body)?.into_submission()?;
    let engine = app.engine().clone();
    let accepted = app.to_the_end("submit", async move {
        match edited {
            Some(edited) => engine.edit(&user.scope, edited, submission).await,
            None => engine.submit(&user.scope, submission).await,
        }
    });
    Ok(accepted_view(accepted.await.ok_or_else(Problem::internal)??))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes the body; the one reader of it is that of the frame")]
pub struct RetryBody {
    /// Chosen by the client, new for each request: sending the same id twice makes one run.
    #[schema(min_length = 1, max_length = 128)]
    client_message_id: String,
    /// A message of the person, or an answer to it.
    message_id: MessageId,
    /// Another model to ask, as `provider/model`.
    model: Option<String>,
}

/// An earlier message of the person, said otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes the body; the one reader of it is that of the frame")]
pub struct SavedBody {
    /// The message that this one stands beside.
    edited_id: MessageId,
    /// Text, which keeps the files of the old message; or parts, which name them.
    #[schema(value_type = SubmitContent)]
    content: Value,
}

/// Says an earlier message otherwise, without an answer for now
///
/// It stands beside the old one, and the active branch ends with it. `POST /api/threads/{id}/retry` answers it. The same again changes nothing.
#[utoipa::path(
    post,
    path = "/api/threads/{id}/messages",
    params(("id" = ThreadId, Path)),
    request_body = SavedBody,
    responses((status = 201, body = MessageView))
)]
pub(super) async fn save(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    request: Request,
) -> Result<(StatusCode, Json<MessageView>), Problem> {
    let fields: Map<String, Value> = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let (edited, parts) = client::saved(&fields).map_err(bad_body)?;
    let parts = accept_user_parts(parts)?;
    let owner = user.scope.owner();
    let (engine, whose) = (app.engine().clone(), owner.clone());
    let saved = app.to_the_end("save", async move { engine.save_message(&whose, thread, edited, parts).await });
    let id = saved.await.ok_or_else(Problem::internal)??;
    let read = app
        .store()
        .scoped(&owner, async |tx| {
            let found = vec![messages::load(tx, thread, id).await?];
            let siblings = tree::siblings(tx, thread, &found).await?;
            Ok(found.into_iter().zip(siblings).next())
        })
        .await?;
    let (message, siblings) = read.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(view(message, siblings))))
}

/// Answers a message once more, in a new branch
#[utoipa::path(
    post,
    path = "/api/threads/{id}/retry",
    params(("id" = ThreadId, Path)),
    request_body = RetryBody,
    responses((status = 202, body = AcceptedView))
)]
pub(super) async fn retry(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    request: Request,
) -> Result<(StatusCode, Json<AcceptedView>), Problem> {
    let mut fields: Map<String, Value> = body::json(request, limits::HTTP_BODY_BYTES).await?;
    fields.insert("threadId".to_owned(), thread.to_string().into());
    let again = client::try_again(&fields).map_err(bad_body)?;
    let engine = app.engine().clone();
    let accepted = app.to_the_end("retry", async move { engine.try_again(&user.scope, again).await });
    Ok(accepted_view(accepted.await.ok_or_else(Problem::internal)??))
}

/// The same faults as in a frame; one without a code of its own is called after the body.
pub(super) fn bad_body(bad: BadFrame) -> Problem {
    let code = if bad.code == "invalid_frame" { "invalid_body" } else { bad.code };
    Problem::bad_request(code, bad.message)
}

fn accepted_view(accepted: Accepted) -> (StatusCode, Json<AcceptedView>) {
    let Accepted { thread_id, message_id, run_id, seq, repeated: _ } = accepted;
    (StatusCode::ACCEPTED, Json(AcceptedView { thread_id, message_id, run_id, seq }))
}

fn view(message: Message, sibling_ids: Vec<MessageId>) -> MessageView {
    MessageView {
        id: message.id,
        client_message_id: message.client_message_id,
        thread_id: message.thread_id,
        parent_id: message.parent_id,
        sibling_ids,
        run_id: message.run_id,
        role: message.role,
        content: message.parts,
        seq: message.seq,
        partial: message.partial,
        model: message.made.model,
        took_ms: message.made.took_ms,
        thought_ms: message.made.thought_ms,
        created_at: message.created_at,
    }
}
