//! `GET /api/runs/{id}/context`: what a run sent to the model, step by step, as it left.

use std::collections::HashMap;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_store::error::StoreError;
use adjutant_store::runs;
use adjutant_store::sent::{self, PieceDigest, SentStep};
use adjutant_store::tx::Tx;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use chrono::{DateTime, Utc};
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::page::Page;
use super::path::Id;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// One model call as it was sent. Keys are no part of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentView {
    /// As in the run's steps.
    pub number: i32,
    /// What was to answer, in order; empty: the operator's order. Which did is in the run's steps.
    pub models: Vec<String>,
    /// `maxOutputTokens` and `temperature`.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// After the budget and with the marks around foreign text: `{"role": …, "content": [parts]}`.
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<Box<RawValue>>,
    /// `{"name": …, "description": …, "inputSchema": …}`.
    #[schema(value_type = Vec<Object>)]
    pub tools: Box<RawValue>,
    pub sent_at: DateTime<Utc>,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// The `next` of an earlier page.
    pub after: Option<i32>,
}

impl<S: Sync> FromRequestParts<S> for After {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let given = url::form_urlencoded::parse(query).filter(|(name, _)| name == "after").last();
        let Some((_, text)) = given.filter(|(_, text)| !text.is_empty()) else { return Ok(Self { after: None }) };
        let wrong = |_| Problem::bad_request("invalid_cursor", "after is the `next` of an earlier page");
        Ok(Self { after: Some(text.parse().map_err(wrong)?) })
    }
}

/// What was sent to the model, step by step, as it left
///
/// Later changes of the profile or of the thread's branches change nothing here. A step is there once its model call ended.
#[utoipa::path(
    get,
    path = "/api/runs/{id}/context",
    params(("id" = RunId, Path), After),
    responses((status = 200, body = Page<SentView>))
)]
pub(super) async fn list(
    State(app): State<App>,
    user: UserScope,
    Id(run): Id<RunId>,
    After { after }: After,
) -> Result<Json<Page<SentView>>, Problem> {
    let page = app.store().scoped(&user.scope.owner(), async |tx| page(tx, run, after).await).await?;
    Ok(Json(page))
}

async fn page(tx: &mut Tx, run: RunId, after: Option<i32>) -> Result<Page<SentView>, StoreError> {
    let thread = runs::load(tx, run).await?.thread_id;
    let found = sent::of_run(tx, run, after, limits::SENT_STEPS + 1).await?;
    let mut known = HashMap::new();
    let mut items: Vec<SentView> = Vec::new();
    let mut bytes = 0;
    for step in found {
        let full = i64::try_from(items.len()).unwrap_or(i64::MAX) >= limits::SENT_STEPS;
        bytes += length(tx, thread, &step).await?;
        if !items.is_empty() && (full || bytes > limits::SENT_PAGE_BYTES) {
            let next = items.last().map(|last| last.number.to_string());
            return Ok(Page { items, next });
        }
        items.push(view(tx, thread, step, &mut known).await?);
    }
    Ok(Page { items, next: None })
}

async fn length(tx: &mut Tx, thread: ThreadId, step: &SentStep) -> Result<usize, StoreError> {
    let lengths = sent::lengths(tx, thread, &digests(step)).await?;
    Ok(digests(step).iter().filter_map(|digest| lengths.get(digest)).sum())
}

fn digests(step: &SentStep) -> Vec<PieceDigest> {
    step.messages.iter().copied().chain([step.tools]).collect()
}

async fn view(
    tx: &mut Tx,
    thread: ThreadId,
    step: SentStep,
    known: &mut HashMap<PieceDigest, Box<RawValue>>,
) -> Result<SentView, StoreError> {
    let missing: Vec<PieceDigest> = digests(&step).into_iter().filter(|digest| !known.contains_key(digest)).collect();
    for (digest, content) in sent::pieces(tx, thread, &missing).await? {
        known.insert(digest, RawValue::from_string(content).map_err(StoreError::bug)?);
    }
    let piece = |digest: &PieceDigest| {
        known.get(digest).cloned().ok_or_else(|| StoreError::bug("a piece of a sent step is not there"))
    };
    Ok(SentView {
        number: step.number,
        messages: step.messages.iter().map(piece).collect::<Result<_, _>>()?,
        tools: piece(&step.tools)?,
        models: step.models,
        parameters: step.parameters,
        sent_at: step.sent_at,
    })
}
