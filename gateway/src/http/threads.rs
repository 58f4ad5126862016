//! Threads and their messages, newest first by page.

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::{Message, Part, Role};
use adjutant_store::threads::ThreadSummary;
use adjutant_store::{messages, threads};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, Asked, Page};
use super::path::Id;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadView {
    pub id: ThreadId,
    pub title: Option<String>,
    /// The message that the active branch ends with.
    pub head_id: Option<MessageId>,
    /// The number of the newest event.
    pub last_seq: i64,
    pub total_input_tokens: i64,
    pub total_output_tokens: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    pub id: MessageId,
    pub client_message_id: Option<String>,
    pub thread_id: ThreadId,
    pub parent_id: Option<MessageId>,
    pub run_id: Option<RunId>,
    pub role: Role,
    pub content: Vec<Part>,
    pub seq: i64,
    /// The model's stream was cut or cancelled: the text is what had arrived.
    pub partial: bool,
    pub created_at: DateTime<Utc>,
}

/// The threads, newest first
#[utoipa::path(get, path = "/api/threads", params(Asked), responses((status = 200, body = Page<ThreadView>)))]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    asked: Asked,
) -> Result<Json<Page<ThreadView>>, Problem> {
    let before = asked.cursor(page::parse_time_cursor)?;
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| threads::list(tx, before, asked.limit).await).await?;
    let last = found.last().filter(|_| is_full(found.len(), asked.limit));
    let next = last.map(|last| page::time_cursor(last.updated_at, last.id));
    Ok(Json(Page { items: found.into_iter().map(ThreadView::from).collect(), next }))
}

/// The newest messages of all branches, oldest first; `next` leads to older ones
#[utoipa::path(
    get,
    path = "/api/threads/{id}/messages",
    params(("id" = ThreadId, Path), Asked),
    responses((status = 200, body = Page<MessageView>))
)]
pub(super) async fn list_messages(
    State(app): State<App>,
    user: UserScope,
    Id(thread): Id<ThreadId>,
    asked: Asked,
) -> Result<Json<Page<MessageView>>, Problem> {
    let before = asked.cursor(page::parse_number_cursor)?;
    let owner = user.scope.owner();
    let found = app
        .store()
        .scoped(&owner, async |tx| {
            threads::last_seq(tx, thread).await?;
            messages::page(tx, thread, before, asked.limit).await
        })
        .await?;
    let oldest = found.first().filter(|_| is_full(found.len(), asked.limit));
    let next = oldest.map(|oldest| page::number_cursor(oldest.seq, oldest.id));
    Ok(Json(Page { items: found.into_iter().map(MessageView::from).collect(), next }))
}

fn is_full(length: usize, limit: i64) -> bool {
    usize::try_from(limit).is_ok_and(|limit| length >= limit)
}

impl From<ThreadSummary> for ThreadView {
    fn from(thread: ThreadSummary) -> Self {
        Self {
            id: thread.id,
            title: thread.title,
            head_id: thread.head_id,
            last_seq: thread.last_seq,
            total_input_tokens: thread.total_input_tokens,
            total_output_tokens: thread.total_output_tokens,
            created_at: thread.created_at,
            updated_at: thread.updated_at,
        }
    }
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            client_message_id: message.client_message_id,
            thread_id: message.thread_id,
            parent_id: message.parent_id,
            run_id: message.run_id,
            role: message.role,
            content: message.parts,
            seq: message.seq,
            partial: message.partial,
            created_at: message.created_at,
        }
    }
}
