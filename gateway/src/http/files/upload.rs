//! Reading an upload, once and within its bounds: a form with one file, or the bare bytes.

use std::time::Duration;

use adjutant_core::limits;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use multer::{Constraints, Multipart, SizeLimit};

use super::name;
use crate::problem::Problem;

/// What a form may have around its file.
const FORM_BYTES: usize = 64 * 1024;

pub(super) struct Upload {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Reads the file of a request, for at most [`limits::FILE_READ`].
pub(super) async fn read(request: Request) -> Result<Upload, Problem> {
    within(limits::FILE_READ, async {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match multer::parse_boundary(kind) {
            Ok(boundary) => form(request, boundary).await,
            Err(_) => bare(request).await,
        }
    })
    .await
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done,
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the file did not arrive in time")),
    }
}

fn too_large() -> Problem {
    let detail = format!("a file has at most {} bytes", limits::FILE_BYTES);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", detail)
}

async fn form(request: Request, boundary: String) -> Result<Upload, Problem> {
    let sizes = SizeLimit::new()
        .whole_stream((limits::FILE_BYTES + FORM_BYTES) as u64)
        .for_field("file", limits::FILE_BYTES as u64);
    let stream = request.into_body().into_data_stream();
    let mut form = Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(sizes));
    while let Some(mut field) = form.next_field().await.map_err(|error| broken(&error))? {
        if field.name() != Some("file") {
            continue;
        }
        let name = name::accept(field.file_name().unwrap_or_default());
        let mut content = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
            content.extend_from_slice(&chunk);
        }
        return Ok(Upload { name, content });
    }
    Err(Problem::bad_request("file_missing", "the form has no field named file"))
}

fn broken(error: &multer::Error) -> Problem {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => too_large(),
        _ => Problem::bad_request("invalid_form", "the form cannot be read as multipart/form-data"),
    }
}

async fn bare(request: Request) -> Result<Upload, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let claimed = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "name");
    let name = name::accept(&claimed.map(|(_, value)| value.into_owned()).unwrap_or_default());
    let mut body = Limited::new(request.into_body(), limits::FILE_BYTES);
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return too_large();
            }
            Problem::bad_request("body_incomplete", "the body ended before it was complete")
        })?;
        let chunk: Bytes = frame.into_data().unwrap_or_default();
        content.extend_from_slice(&chunk);
    }
    Ok(Upload { name, content })
}
