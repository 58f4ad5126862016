//! The runs of all threads, as a page of the day shows them.

use adjutant_core::cost::Cost;
use adjutant_core::ids::{RunId, ThreadId};
use adjutant_store::run_list::{self, RunItem as Item};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::page::{self, Asked, Page};
use super::runs::{self, ErrorView};
use super::threads::is_full;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A run in a list
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunItem {
    pub id: RunId,
    pub thread_id: ThreadId,
    pub thread_title: Option<String>,
    pub state: &'static str,
    pub agent: String,
    pub origin: String,
    pub model: Option<String>,
    /// The beginning of what was asked, 200 characters at most.
    pub said: Option<String>,
    pub error: Option<ErrorView>,
    /// Calls of tools of which nobody knows whether they happened.
    pub unknown_calls: i64,
    /// What its model calls cost, one entry per currency.
    pub costs: Vec<Cost>,
    /// Model calls whose price nobody told: they are not in `costs`.
    pub unpriced_steps: i64,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<Item> for RunItem {
    fn from(item: Item) -> Self {
        Self {
            id: item.id,
            thread_id: item.thread_id,
            thread_title: item.thread_title,
            state: item.status.as_str(),
            agent: item.agent,
            origin: item.origin,
            model: item.model,
            said: item.said,
            error: runs::error(item.error),
            unknown_calls: item.unknown_calls,
            costs: item.costs,
            unpriced_steps: item.unpriced_steps,
            created_at: item.created_at,
            started_at: item.started_at,
            finished_at: item.finished_at,
        }
    }
}

/// Which runs a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// Only those that began then or later; without it all.
    pub since: Option<DateTime<Utc>>,
}

impl<S: Sync> FromRequestParts<S> for Since {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let given = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "since");
        let Some((_, text)) = given else { return Ok(Self { since: None }) };
        Ok(Self { since: Some(page::time("since", &text)?) })
    }
}

/// The runs of all threads, newest first
#[utoipa::path(get, path = "/api/runs", params(Since, Asked), responses((status = 200, body = Page<RunItem>)))]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    Since { since }: Since,
    asked: Asked,
) -> Result<Json<Page<RunItem>>, Problem> {
    let before: Option<RunId> = asked.cursor(|text| text.parse().ok())?;
    let owner = user.scope.owner();
    let found = app.store().scoped(&owner, async |tx| run_list::page(tx, since, before, asked.limit).await).await?;
    let next = found.last().filter(|_| is_full(found.len(), asked.limit)).map(|last| last.id.to_string());
    Ok(Json(Page { items: found.into_iter().map(RunItem::from).collect(), next }))
}
