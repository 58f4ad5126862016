//! `GET /api/me/export`: all that belongs to the user, as far as the key opens it, one JSON object a line. It is read page by
//! page as the client takes it, so neither a large account nor a slow client fills the memory, and no transaction waits for
//! the network. So it is no picture of one moment: what changes meanwhile may be told as it was or as it is.

use std::future::Future;
use std::pin::Pin;

use adjutant_core::limits;
use adjutant_core::profile::PERSONAL;
use adjutant_core::scope::{Owner, ProfileName};
use adjutant_store::devices;
use adjutant_store::error::StoreError;
use adjutant_store::export::{self, After, Kind, Line};
use adjutant_store::keys::{self, OwnKey};
use adjutant_store::profiles;
use adjutant_store::users;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::devices::{DeviceView, reach};
use super::keys::KeyView;
use super::sessions::NO_STORE;
use crate::app::{App, Place};
use crate::auth::extract::UserScope;
use crate::problem::Problem;

/// A multiple of three, so that the base64 of the pieces is that of the whole.
const PIECE: i32 = 3 * 256 * 1024;

/// All that belongs to you, as a file
///
/// One JSON object a line, each with its `type`; of all profiles that the key opens, with the content of files in base64, and without
/// any secret. The last line is of the type `end`; without it, the export is not whole.
#[utoipa::path(
    get,
    path = "/api/me/export",
    responses((status = 200, description = "the lines", content_type = "application/x-ndjson", body = String))
)]
pub(super) async fn get(State(app): State<App>, user: UserScope) -> Result<Response, Problem> {
    let place = app.exports().take(&user.scope.user).ok_or_else(|| {
        let detail = "too many exports are read at the moment; try again soon";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_exports", detail)
    })?;
    let named = format!("attachment; filename=\"adjutant-{}.ndjson\"", user.scope.user);
    let disposition = HeaderValue::from_str(&named).map_err(|_| Problem::internal())?;
    // What cannot be read at all has a status of its own.
    let (head, owners) = account(&app, &user).await?;
    let export = Export {
        ended: Box::pin(app.keys().until_ended(&user.identity)),
        app,
        owners,
        step: Step::Head(head),
        told: 0,
        _place: place,
    };
    let pieces = stream::try_unfold(export, |mut export| async move {
        let piece = export.next().await.inspect_err(|error| tracing::info!(%error, "an export was cut"))?;
        Ok::<_, Cut>(piece.map(|piece| (piece, export)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CONTENT_DISPOSITION, disposition);
    headers.insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("its key was revoked")]
    Revoked,
    #[error("the server stops")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Export {
    app: App,
    owners: Vec<Owner>,
    step: Step,
    /// Lines so far.
    told: u64,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Among those that are read at once.
    _place: Place,
}

/// What comes next.
enum Step {
    Head(Vec<String>),
    Rows {
        owner: usize,
        kind: usize,
        after: After,
    },
    /// The content of the file that the last line began, and the rows after it.
    File {
        owner: usize,
        kind: usize,
        line: Line,
        from: i32,
    },
    Over,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        let stopping = self.app.supervisor().stopping().clone();
        let mut ended = std::mem::replace(&mut self.ended, Box::pin(std::future::pending()));
        let found = tokio::select! {
            biased;
            () = &mut ended => Err(Cut::Revoked),
            () = stopping.cancelled() => Err(Cut::Stopping),
            found = self.advance() => found.map_err(Cut::from),
        };
        self.ended = ended;
        found
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            match std::mem::replace(&mut self.step, Step::Over) {
                Step::Head(lines) => {
                    self.step = Step::Rows { owner: 0, kind: 0, after: After::default() };
                    return Ok(Some(self.lines(lines)));
                }
                Step::Rows { owner, kind, after } => {
                    if let Some(piece) = self.rows(owner, kind, after).await? {
                        return Ok(Some(piece));
                    }
                }
                Step::File { owner, kind, line, from } => return Ok(Some(self.file(owner, kind, line, from).await?)),
                Step::Over => return Ok(None),
            }
        }
    }

    /// The next page, if there is one in this place.
    async fn rows(&mut self, owner: usize, kind: usize, after: After) -> Result<Option<Bytes>, StoreError> {
        let Some(whose) = self.owners.get(owner) else {
            let told = self.told;
            return Ok(Some(self.lines(vec![line(&json!({"type": "end", "lines": told}))])));
        };
        let Some(which) = Kind::ALL.get(kind).copied() else {
            self.step = Step::Rows { owner: owner + 1, kind: 0, after: After::default() };
            return Ok(None);
        };
        let limit = if which == Kind::File { 1 } else { limits::EXPORT_PAGE };
        let store = self.app.store();
        let page = store.scoped(whose, async |tx| export::page(tx, which, &after, limit).await).await?;
        let Some(last) = page.last() else {
            self.step = Step::Rows { owner, kind: kind + 1, after: After::default() };
            return Ok(None);
        };
        if which == Kind::File {
            let begun = format!("{},\"content\":\"", last.text.strip_suffix('}').unwrap_or_default());
            self.step = Step::File { owner, kind, line: last.clone(), from: 0 };
            return Ok(Some(begun.into()));
        }
        self.step = Step::Rows { owner, kind, after: last.at.clone() };
        Ok(Some(self.lines(page.into_iter().map(|line| line.text).collect())))
    }

    async fn file(&mut self, owner: usize, kind: usize, line: Line, from: i32) -> Result<Bytes, StoreError> {
        let whose = self.owners.get(owner).ok_or(StoreError::NotFound)?;
        let id = line.id();
        let piece = self.app.store().scoped(whose, async |tx| export::file_piece(tx, id, from, PIECE).await).await?;
        match piece {
            Some(piece) if !piece.is_empty() => {
                self.step = Step::File { owner, kind, line, from: from.saturating_add(PIECE) };
                Ok(STANDARD.encode(piece).into())
            }
            whole_or_gone => {
                self.told += 1;
                self.step = Step::Rows { owner, kind, after: line.at };
                // Deleted while it was read: its line says so.
                let end = if whole_or_gone.is_some() { "\"}\n" } else { "\",\"isCut\":true}\n" };
                Ok(end.into())
            }
        }
    }

    fn lines(&mut self, lines: Vec<String>) -> Bytes {
        self.told += lines.len() as u64;
        lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect::<String>().into()
    }
}

/// The lines about the user, and whose rows follow them.
async fn account(app: &App, user: &UserScope) -> Result<(Vec<String>, Vec<Owner>), Problem> {
    let (by, reach) = (user.identity.key_id.as_str(), reach(user));
    let (about, mut names, devices) = app
        .store()
        .scoped(&user.scope.owner(), async |tx| {
            Ok((users::myself(tx).await?, profiles::names(tx).await?, devices::list(tx, &reach).await?))
        })
        .await?;
    let mut lines = vec![line(&json!({
        "type": "user",
        "user": user.scope.user,
        "displayName": about.display_name,
        "operatorLlm": about.allow_operator_llm,
    }))];
    lines.extend(all_keys(app, user).await?.into_iter().map(|key| typed("key", &KeyView::new(key, by))));
    let current = user.identity.device.as_deref();
    lines.extend(devices.into_iter().map(|device| typed("device", &DeviceView::new(device, current))));
    names.retain(|entry| user.identity.profile.as_ref().is_none_or(|own| entry.name == *own));
    let mut profiles: Vec<ProfileName> = names.into_iter().map(|entry| entry.name).collect();
    // What a key opens is there, also without a row that says more of it.
    let implied = user.identity.profile.clone().or_else(|| ProfileName::parse(PERSONAL).ok());
    profiles.extend(implied.filter(|name| !profiles.contains(name)));
    let owners = profiles.into_iter().map(|profile| Owner { user: user.scope.user.clone(), profile }).collect();
    Ok((lines, owners))
}

async fn all_keys(app: &App, user: &UserScope) -> Result<Vec<OwnKey>, Problem> {
    let (owner, by) = (user.scope.owner(), user.identity.key_id.as_str());
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page =
            app.store().scoped(&owner, async |tx| keys::own(tx, by, before.as_ref(), limits::PAGE).await).await?;
        before = page.last().map(|key| (key.created_at, key.key_id.clone()));
        all.extend(page);
        if before.is_none() {
            return Ok(all);
        }
    }
}

fn typed(kind: &str, what: &impl Serialize) -> String {
    let mut value = json!({"type": kind});
    if let (Some(line), Ok(serde_json::Value::Object(fields))) = (value.as_object_mut(), serde_json::to_value(what)) {
        line.extend(fields);
    }
    line(&value)
}

fn line(value: &serde_json::Value) -> String {
    value.to_string()
}
