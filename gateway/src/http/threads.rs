//! Threads: lists, folders, and what people change of them.

use adjutant_core::cost::Cost;
use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::without_nul;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::summaries::Summary;
use adjutant_store::thread_costs::{self, ThreadCosts};
use adjutant_store::threads::{Change, Filter, Folder, ThreadSummary};
use adjutant_store::tx::Tx;
use adjutant_store::{said, summaries, threads};
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{self, NoBody};
use super::page::{self, Asked, Page};
use super::path::Id;
use super::search;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadView {
    pub id: ThreadId,
    pub title: Option<String>,
    /// The beginning of the person's first message on the active branch, 200 characters at most.
    pub said: Option<String>,
    /// The message that the active branch ends with.
    pub head_id: Option<MessageId>,
    /// The newest message that the summary stands for, which a model reads instead on branches that hold it.
    pub summary_to: Option<MessageId>,
    /// The number of the newest event.
    pub last_seq: i64,
    pub pinned: bool,
    pub archived: bool,
    /// The name of the folder that it is in.
    pub folder: Option<String>,
    /// In no list and no search, and removed for good a day after what happened last in it, unless it is kept.
    pub temporary: bool,
    /// Where a fork came from; what it names may be gone.
    pub forked_from: Option<OriginView>,
    /// Only in the list of those that can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime<Utc>>,
    pub total_input_tokens: i64,
    pub total_output_tokens: i64,
    /// What the model calls of its runs cost, one entry per currency.
    pub costs: Vec<Cost>,
    /// Model calls whose price nobody told: they are not in `costs`.
    pub unpriced_steps: i64,
    /// Input tokens of its newest model call: so much of the model's window is in use. Null before the first,
    /// and after a summary came or went, up to the next.
    pub context_tokens: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OriginView {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
}

/// Which threads a list shows.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Shown {
    /// Only those whose title holds these words, written as in `GET /api/search`.
    #[param(min_length = 1, max_length = 400)]
    pub q: Option<String>,
    /// `false`, the default: those that are not archived; `true`: those that are; `all`: both.
    #[param(required = false, value_type = String)]
    pub archived: Option<bool>,
    /// Only those that are pinned, or only those that are not; without it both.
    pub pinned: Option<bool>,
    /// Only those in the folder of this name; empty: only those that are in none.
    pub folder: Option<String>,
    /// `true`: those that were deleted and can still be restored.
    #[param(required = false)]
    pub deleted: bool,
}

impl<S: Sync> FromRequestParts<S> for Shown {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut shown = Self { q: None, archived: Some(false), pinned: None, folder: None, deleted: false };
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match (&*name, &*value) {
                ("q", q) => shown.q = Some(search::accept(q.to_owned())?),
                ("archived", "all") => shown.archived = None,
                ("archived", value) => shown.archived = Some(flag("archived", value)?),
                ("pinned", value) => shown.pinned = Some(flag("pinned", value)?),
                ("folder", name) => shown.folder = Some(without_nul(name.to_owned())),
                ("deleted", value) => {
                    shown.deleted = flag("deleted", value)?;
                    shown.archived = None;
                }
                _ => {}
            }
        }
        Ok(shown)
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| Problem::bad_request("invalid_filter", format!("{name} is true or false")))
}

/// The threads, newest first
#[utoipa::path(get, path = "/api/threads", params(Shown, Asked), responses((status = 200, body = Page<ThreadView>)))]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    shown: Shown,
    asked: Asked,
) -> Result<Json<Page<ThreadView>>, Problem> {
    let before = asked.cursor(page::parse_time_cursor)?;
    let owner = user.scope.owner();
    let filter = Filter {
        words: shown.q.as_deref().map(search::words),
        archived: shown.archived,
        pinned: shown.pinned,
        folder: shown.folder.as_deref().map(|name| Some(name).filter(|name| !name.is_empty())),
        deleted_within: shown.deleted.then_some(limits::THREAD_UNDO),
    };
    let items = app
        .store()
        .scoped(&owner, async |tx| {
            let found = threads::list(tx, filter, before, asked.limit).await?;
            views(tx, found).await
        })
        .await?;
    let last = items.last().filter(|_| is_full(items.len(), asked.limit));
    let next = last.map(|last| page::time_cursor(last.updated_at, last.id));
    Ok(Json(Page { items, next }))
}

/// A folder is there as long as a thread is in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct FolderView {
    pub name: String,
    /// Those in it that are not archived.
    pub threads: i64,
}

impl From<Folder> for FolderView {
    fn from(folder: Folder) -> Self {
        Self { name: folder.name, threads: folder.threads }
    }
}

/// The folders in which there are threads, by name, 200 at most
#[utoipa::path(get, path = "/api/folders", responses((status = 200, body = Page<FolderView>)))]
pub(super) async fn folders(State(app): State<App>, user: UserScope) -> Result<Json<Page<FolderView>>, Problem> {
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| threads::folders(tx, limits::FOLDERS).await).await?;
    Ok(Json(Page { items: found.into_iter().map(FolderView::from).collect(), next: None }))
}

/// One thread
#[utoipa::path(
    get,
    path = "/api/threads/{id}",
    params(("id" = ThreadId, Path)),
    responses((status = 200, body = ThreadView))
)]
pub(super) async fn get(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
) -> Result<Json<ThreadView>, Problem> {
    let owner = user.scope.owner();
    let found = app
        .store()
        .scoped(&owner, async |tx| {
            let found = threads::load(tx, thread).await?;
            views(tx, vec![found]).await
        })
        .await?;
    one(found)
}

/// What to change; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ThreadPatch {
    /// `null` takes the title away; the assistant may give one again.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 200)]
    pub title: Option<Option<String>>,
    pub pinned: Option<bool>,
    pub archived: Option<bool>,
    /// The name of a folder, which is made if there is none; `null` takes the thread out of its folder.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 60)]
    pub folder: Option<Option<String>>,
    /// `false` keeps a temporary thread: it is one like others from now on. None becomes temporary.
    pub temporary: Option<bool>,
    /// The message that the active branch ends with from now on.
    pub head_id: Option<MessageId>,
}

/// A field that is there, also as `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Changes title, pin, archive, folder or active branch, or keeps a temporary thread
#[utoipa::path(
    patch,
    path = "/api/threads/{id}",
    params(("id" = ThreadId, Path)),
    request_body = ThreadPatch,
    responses((status = 200, body = ThreadView))
)]
pub(super) async fn change(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    request: Request,
) -> Result<Json<ThreadView>, Problem> {
    let patch: ThreadPatch = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let ThreadPatch { title, pinned, archived, folder, temporary, head_id } = patch;
    if temporary == Some(true) {
        let message = "a thread is temporary from its beginning, or not at all";
        return Err(Problem::bad_request("not_temporary", message));
    }
    let change = Change { title, pinned, archived, folder, head_id, deleted: None, kept: temporary.is_some() };
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    let changed = app.to_the_end("change", async move { engine.change_thread(&owner, thread, change).await }).await;
    view(&app, &user.scope.owner(), changed.ok_or_else(Problem::internal)??).await
}

/// Deletes a thread; it can be restored for thirty days
#[utoipa::path(
    delete,
    path = "/api/threads/{id}",
    params(("id" = ThreadId, Path)),
    responses((status = 204, description = "it is hidden, and what went on in it is cancelled"))
)]
pub(super) async fn delete(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
) -> Result<StatusCode, Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    let deleted = app.to_the_end("delete", async move { engine.delete_thread(&owner, thread).await }).await;
    deleted.ok_or_else(Problem::internal)??;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a deletion back
#[utoipa::path(
    post,
    path = "/api/threads/{id}/restore",
    params(("id" = ThreadId, Path)),
    responses((status = 200, body = ThreadView))
)]
pub(super) async fn restore(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    _: NoBody,
) -> Result<Json<ThreadView>, Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    let restored = app.to_the_end("restore", async move { engine.restore_thread(&owner, thread).await }).await;
    view(&app, &user.scope.owner(), restored.ok_or_else(Problem::internal)??).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForkBody {
    /// The last message of the new thread.
    pub message_id: MessageId,
}

/// Copies a branch into a new thread
#[utoipa::path(
    post,
    path = "/api/threads/{id}/fork",
    params(("id" = ThreadId, Path)),
    request_body = ForkBody,
    responses((status = 201, body = ThreadView))
)]
pub(super) async fn fork(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    request: Request,
) -> Result<(StatusCode, Json<ThreadView>), Problem> {
    let ForkBody { message_id } = body::json(request, limits::HTTP_BODY_BYTES).await?;
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    let forked = app.to_the_end("fork", async move { engine.fork_thread(&owner, thread, message_id).await }).await;
    let forked = view(&app, &user.scope.owner(), forked.ok_or_else(Problem::internal)??).await?;
    Ok((StatusCode::CREATED, forked))
}

/// Has a model write a summary of all but the newest questions, to be read in place of what is older
#[utoipa::path(
    post,
    path = "/api/threads/{id}/compact",
    params(("id" = ThreadId, Path)),
    responses((status = 200, body = ThreadView, description = "the messages themselves stay; the answer takes as long as the model"))
)]
pub(super) async fn compact(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    _: NoBody,
) -> Result<Json<ThreadView>, Problem> {
    let place = app.compactions().take(&user.scope.user).ok_or_else(|| {
        let detail = "too many threads are compacted at the moment; try again soon";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_compactions", detail)
    })?;
    let (engine, scope) = (app.engine().clone(), user.scope.clone());
    let compacted = app.to_the_end("compact", async move {
        let _place = place;
        engine.compact_thread(&scope, thread).await
    });
    let compacted = compacted.await;
    view(&app, &user.scope.owner(), compacted.ok_or_else(Problem::internal)??).await
}

/// What a model reads in place of a thread's older messages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryView {
    /// 16 KiB at most. It may quote what others wrote.
    pub text: String,
    /// The newest message that it stands for.
    pub message_id: MessageId,
    /// Who wrote it.
    pub model: String,
    pub created_at: DateTime<Utc>,
}

/// The summary of a thread
#[utoipa::path(
    get,
    path = "/api/threads/{id}/summary",
    params(("id" = ThreadId, Path)),
    responses((status = 200, body = SummaryView))
)]
pub(super) async fn summary(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
) -> Result<Json<SummaryView>, Problem> {
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| summaries::load(tx, thread).await).await?;
    let Summary { text, to, model, at, .. } = found.ok_or_else(Problem::not_found)?;
    Ok(Json(SummaryView { text, message_id: to, model, created_at: at }))
}

/// Takes the summary away: models read the messages themselves again
#[utoipa::path(
    delete,
    path = "/api/threads/{id}/summary",
    params(("id" = ThreadId, Path)),
    responses((status = 200, body = ThreadView))
)]
pub(super) async fn remove_summary(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
) -> Result<Json<ThreadView>, Problem> {
    let (engine, owner) = (app.engine().clone(), user.scope.owner());
    let changed = app.to_the_end("summary", async move { engine.remove_summary(&owner, thread).await }).await;
    view(&app, &user.scope.owner(), changed.ok_or_else(Problem::internal)??).await
}

pub(super) fn is_full(length: usize, limit: i64) -> bool {
    usize::try_from(limit).is_ok_and(|limit| length >= limit)
}

/// With what each of them began with and cost.
async fn views(tx: &mut Tx, threads: Vec<ThreadSummary>) -> Result<Vec<ThreadView>, StoreError> {
    let ids: Vec<ThreadId> = threads.iter().map(|thread| thread.id).collect();
    let mut costs = thread_costs::of_threads(tx, &ids).await?;
    let mut said = said::of_threads(tx, &ids).await?;
    Ok(threads
        .into_iter()
        .map(|thread| {
            let costs = costs.remove(&thread.id).unwrap_or_default();
            let said = said.remove(&thread.id);
            ThreadView::new(thread, said, costs)
        })
        .collect())
}

async fn view(app: &App, owner: &Owner, thread: ThreadSummary) -> Result<Json<ThreadView>, Problem> {
    one(app.store().scoped(owner, async |tx| views(tx, vec![thread]).await).await?)
}

fn one(views: Vec<ThreadView>) -> Result<Json<ThreadView>, Problem> {
    views.into_iter().next().map(Json).ok_or_else(Problem::internal)
}

impl ThreadView {
    fn new(thread: ThreadSummary, said: Option<String>, costs: ThreadCosts) -> Self {
        Self {
            id: thread.id,
            title: thread.title,
            said,
            head_id: thread.head_id,
            summary_to: thread.summary_to,
            last_seq: thread.last_seq,
            pinned: thread.pinned,
            archived: thread.archived,
            folder: thread.folder,
            temporary: thread.temporary,
            forked_from: thread.forked_from.map(|(thread_id, message_id)| OriginView { thread_id, message_id }),
            deleted_at: thread.deleted_at,
            total_input_tokens: thread.total_input_tokens,
            total_output_tokens: thread.total_output_tokens,
            costs: costs.costs,
            unpriced_steps: costs.unpriced_steps,
            context_tokens: costs.context_tokens,
            created_at: thread.created_at,
            updated_at: thread.updated_at,
        }
    }
}
