//! Reading an upload, once and within its bounds: a form with one file, or the bare bytes.

use std::time::Duration;

use adjutant_core::limits;
use axum::extract::Request;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use multer::{Constraints, Multipart, SizeLimit};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::name;
use crate::problem::Problem;

/// What a form may have around its file.
const FORM_BYTES: usize = 64 * 1024;

pub(super) struct Upload {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// A place among the uploads that are read at once, when there is one within [`limits::FILE_UPLOAD_WAIT`].
pub(super) async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    match tokio::time::timeout(limits::FILE_UPLOAD_WAIT, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => {
            let detail = "too many files are uploaded at the moment; try again soon";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_uploads", detail))
        }
    }
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

pub(super) fn too_large() -> Problem {
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::time::Instant;

    use super::*;

    fn never(kind: Option<&str>) -> Request {
        let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"--b\r\n"))]);
        let mut request = Request::new(Body::from_stream(futures::StreamExt::chain(begun, futures::stream::pending())));
        if let Some(kind) = kind {
            request.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_does_not_come_is_given_up() {
        for kind in [None, Some("multipart/form-data; boundary=b")] {
            let begun = Instant::now();
            let problem = read(never(kind)).await.err().unwrap();
            assert_eq!((problem.status.as_u16(), problem.code), (408, "body_timeout"), "{kind:?}");
            assert_eq!(begun.elapsed().as_secs(), limits::FILE_READ.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_without_a_place_is_refused_in_time() {
        let places = Semaphore::new(limits::FILE_UPLOADS);
        let mut taken = Vec::new();
        for _ in 0..limits::FILE_UPLOADS {
            taken.push(place(&places).await.unwrap());
        }
        let begun = Instant::now();
        let problem = place(&places).await.err().unwrap();
        assert_eq!((problem.status.as_u16(), problem.code), (429, "too_many_uploads"));
        assert_eq!(begun.elapsed().as_secs(), limits::FILE_UPLOAD_WAIT.as_secs());
        taken.pop();
        assert!(place(&places).await.is_ok());
    }
}
