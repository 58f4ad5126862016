//! The routes of files. A file belongs to its user and profile; its content never runs in a browser.

use adjutant_core::ids::FileId;
use adjutant_core::limits;
use adjutant_store::error::StoreError;
use adjutant_store::files;
use adjutant_store::files::{FileInfo, NewFile};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{kind, name, upload};
use crate::app::App;
use crate::auth::extract::{LinkedScope, UserScope};
use crate::http::path::Id;
use crate::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileView {
    pub id: FileId,
    pub name: String,
    /// Found in the content.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    pub created_at: DateTime<Utc>,
}

/// Uploads a file: a form with the field `file`, or the bare bytes with `?name=`
#[utoipa::path(
    post,
    path = "/api/files",
    params(("name" = Option<String>, Query, description = "of bare bytes")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = FileView))
)]
pub(in crate::http) async fn upload(
    State(app): State<App>,
    user: UserScope,
    request: Request,
) -> Result<(StatusCode, Json<FileView>), Problem> {
    let _place = upload::place(app.uploads()).await?;
    let upload::Upload { name, content } = upload::read(request).await?;
    if content.is_empty() {
        return Err(empty());
    }
    let Some(media_type) = kind::of(&content) else { return Err(unsupported()) };
    let sha256 = Sha256::digest(&content);
    let new = NewFile { id: FileId::new(), name: &name, media_type, sha256: &sha256, content: &content };
    let owner = user.scope.owner();
    let stored = app
        .store()
        .scoped(&owner, async |tx| files::insert(tx, &new, limits::USER_FILE_BYTES).await)
        .await
        .map_err(full)?;
    Ok((StatusCode::CREATED, Json(view(stored))))
}

pub(super) fn empty() -> Problem {
    Problem::bad_request("file_empty", "the file is empty")
}

pub(super) fn unsupported() -> Problem {
    let detail = "this kind of file is not taken: send an image (PNG, JPEG, GIF, WebP), a PDF or text in UTF-8";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_file_type", detail)
}

pub(super) fn full(error: StoreError) -> Problem {
    match error {
        StoreError::Invalid(what) if what == files::QUOTA => {
            let detail = format!("your files may have {} bytes together: delete some first", limits::USER_FILE_BYTES);
            Problem::new(StatusCode::CONFLICT, "file_quota", detail)
        }
        other => other.into(),
    }
}

/// What is known of a file
#[utoipa::path(
    get,
    path = "/api/files/{id}",
    params(("id" = FileId, Path)),
    responses((status = 200, body = FileView))
)]
pub(in crate::http) async fn get(
    State(app): State<App>,
    user: UserScope,
    Id(file): Id<FileId>,
) -> Result<Json<FileView>, Problem> {
    let owner = user.scope.owner();
    Ok(Json(view(app.store().scoped(&owner, async |tx| files::load(tx, file).await).await?)))
}

/// The content of a file
#[utoipa::path(
    get,
    path = "/api/files/{id}/content",
    params(
        ("id" = FileId, Path),
        ("profile" = Option<String>, Query, description = "stands for `X-Profile`, which no link can send")
    ),
    responses((status = 200, description = "its bytes", content_type = "*/*"))
)]
pub(in crate::http) async fn content(
    State(app): State<App>,
    LinkedScope(user): LinkedScope,
    Id(file): Id<FileId>,
) -> Result<Response, Problem> {
    let owner = user.scope.owner();
    let (info, bytes) = app
        .store()
        .scoped(&owner, async |tx| Ok((files::load(tx, file).await?, files::content(tx, file).await?)))
        .await?;
    let part = info.part();
    let how = if part.is_image() { "inline" } else { "attachment" };
    // Also a page that somebody attached is only text here.
    let kind = if part.is_text() { "text/plain; charset=utf-8" } else { &info.media_type };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Problem::internal());
    headers.insert(CONTENT_TYPE, value(kind)?);
    headers.insert(CONTENT_DISPOSITION, value(&name::disposition(how, &info.name))?);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// Removes a file that no message names
#[utoipa::path(
    delete,
    path = "/api/files/{id}",
    params(("id" = FileId, Path)),
    responses((status = 204, description = "it is gone"))
)]
pub(in crate::http) async fn delete(
    State(app): State<App>,
    user: UserScope,
    Id(file): Id<FileId>,
) -> Result<StatusCode, Problem> {
    let owner = user.scope.owner();
    app.store().scoped(&owner, async |tx| files::delete(tx, file).await).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            let detail = "a message names this file: it goes when that message's thread is deleted";
            Problem::new(StatusCode::CONFLICT, "file_in_use", detail)
        }
        other => other.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(file: FileInfo) -> FileView {
    FileView {
        id: file.id,
        name: file.name,
        media_type: file.media_type,
        size: file.size,
        sha256: hex::encode(file.sha256),
        created_at: file.created_at,
    }
}
