//! Full-text search over one's messages.

use std::collections::HashMap;

use adjutant_core::ids::{MessageId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Role, without_nul};
use adjutant_store::search::{HIT_BEGINS, HIT_ENDS, Hit, Wanted, Words};
use adjutant_store::{said, search};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::page::{self, Asked, Page};
use super::threads::is_full;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A message that was found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HitView {
    pub thread_id: ThreadId,
    pub message_id: MessageId,
    pub thread_title: Option<String>,
    /// The beginning of the person's first message on the thread's active branch, 200 characters at most.
    pub said: Option<String>,
    /// Of the thread.
    pub archived: bool,
    pub role: Role,
    pub created_at: DateTime<Utc>,
    /// Some of its text, in pieces: plain text, no markup.
    pub snippet: Vec<PieceView>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PieceView {
    pub text: String,
    /// It is what was searched for.
    pub hit: bool,
}

/// What is searched for, and where.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Words, all of which must be there; `"a phrase"`, `or`, `-not`. The last word may be the beginning of one.
    #[param(min_length = 1, max_length = 400)]
    q: String,
    /// `user` or `assistant`: only what that side said.
    #[param(value_type = Option<String>)]
    role: Option<Role>,
    /// Only what was said then or later.
    since: Option<DateTime<Utc>>,
    /// Only what was said earlier.
    until: Option<DateTime<Utc>>,
    /// Only in that thread.
    thread: Option<ThreadId>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let wrong = |detail: &'static str| Problem::bad_request("invalid_filter", detail);
        let mut query = Self { q: String::new(), role: None, since: None, until: None, thread: None };
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match (&*name, &*value) {
                ("q", q) => q.clone_into(&mut query.q),
                ("role", "user") => query.role = Some(Role::User),
                ("role", "assistant") => query.role = Some(Role::Assistant),
                ("role", _) => return Err(wrong("role is user or assistant")),
                ("since", time) => query.since = Some(page::time("since", time)?),
                ("until", time) => query.until = Some(page::time("until", time)?),
                ("thread", id) => query.thread = Some(id.parse().map_err(|_| wrong("thread is the id of a thread"))?),
                _ => {}
            }
        }
        query.q = accept(query.q)?;
        Ok(query)
    }
}

/// What somebody searches for, within its bounds.
pub(super) fn accept(q: String) -> Result<String, Problem> {
    let q = without_nul(q);
    if q.trim().is_empty() {
        return Err(Problem::bad_request("query_empty", "q is what to search for"));
    }
    if q.chars().count() > limits::SEARCH_CHARS {
        let detail = format!("q is longer than {} characters", limits::SEARCH_CHARS);
        return Err(Problem::bad_request("query_too_long", detail));
    }
    Ok(q)
}

pub(super) fn words(q: &str) -> Words<'_> {
    Words { text: q, last_is_prefix: ends_in_a_word(q) }
}

/// Searches one's messages, newest first
#[utoipa::path(get, path = "/api/search", params(Query, Asked), responses((status = 200, body = Page<HitView>)))]
pub(super) async fn search(
    State(app): State<App>,
    user: UserScope,
    query: Query,
    asked: Asked,
) -> Result<Json<Page<HitView>>, Problem> {
    let before = asked.cursor(page::parse_time_cursor)?;
    let Query { q, role, since, until, thread } = &query;
    let (role, since, until, thread) = (*role, *since, *until, *thread);
    let wanted = Wanted { words: words(q), role, since, until, thread, before, limit: asked.limit };
    let owner = user.scope.owner();
    let (found, said) = app
        .store()
        .scoped(&owner, async |tx| {
            let found = search::messages(tx, &wanted).await?;
            let threads: Vec<ThreadId> = found.iter().map(|hit| hit.thread_id).collect();
            let said = said::of_threads(tx, &threads).await?;
            Ok((found, said))
        })
        .await?;
    let last = found.last().filter(|_| is_full(found.len(), asked.limit));
    let next = last.map(|last| page::time_cursor(last.created_at, last.message_id));
    Ok(Json(Page { items: found.into_iter().map(|hit| view(hit, &said)).collect(), next }))
}

/// Whether the person may still be writing the last word: it is neither finished nor excluded.
fn ends_in_a_word(q: &str) -> bool {
    let last = q.rsplit(char::is_whitespace).next().unwrap_or_default();
    last.ends_with(char::is_alphanumeric) && !last.starts_with('-') && q.matches('"').count().is_multiple_of(2)
}

fn view(hit: Hit, said: &HashMap<ThreadId, String>) -> HitView {
    HitView {
        said: said.get(&hit.thread_id).cloned(),
        thread_id: hit.thread_id,
        message_id: hit.message_id,
        thread_title: hit.thread_title,
        archived: hit.archived,
        role: hit.role,
        created_at: hit.created_at,
        snippet: pieces(&hit.snippet),
    }
}

fn pieces(snippet: &str) -> Vec<PieceView> {
    let mut pieces = Vec::new();
    let mut push = |text: &str, hit| {
        if !text.is_empty() {
            pieces.push(PieceView { text: text.to_owned(), hit });
        }
    };
    let mut rest = snippet;
    while let Some((plain, after)) = rest.split_once(HIT_BEGINS) {
        push(plain, false);
        let (hit, after) = after.split_once(HIT_ENDS).unwrap_or((after, ""));
        push(hit, true);
        rest = after;
    }
    push(rest, false);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_falls_into_pieces() {
        let piece = |text: &str, hit| PieceView { text: text.to_owned(), hit };
        assert_eq!(
            pieces("buy \u{2}milk\u{3} & <b>"),
            [piece("buy ", false), piece("milk", true), piece(" & <b>", false)]
        );
        assert_eq!(pieces("\u{2}cut"), [piece("cut", true)]);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn the_last_word_may_be_the_beginning_of_one_only_while_it_is_written() {
        for (q, prefix) in [
            ("mil", true),
            ("buy mil", true),
            ("buy ", false),
            ("-mil", false),
            ("\"buy mil", false),
            ("\"buy\" mil", true),
            ("m)", false),
            ("日本", true),
        ] {
            assert_eq!(ends_in_a_word(q), prefix, "{q}");
        }
    }
}
