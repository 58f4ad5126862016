//! The page: files that are embedded in the binary, with the headers that keep it safe. It knows nothing of what it
//! shows: it speaks the documented protocols like every other client.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode, Uri};
use memory_serve::CacheControl;
use tower::ServiceExt as _;

const INDEX: &str = "/index.html";
/// Files below it have a hash of their content in their name.
const HASHED: &str = "/assets/";

/// Scripts are ours alone; nothing is loaded from elsewhere; no text becomes markup without the sanitizer.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types svelte-trusted-html dompurify adjutant-worker",
);

const FIXED: [(HeaderName, HeaderValue); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// The embedded files. Cheap to clone.
#[derive(Clone)]
pub struct Page(Router);

impl Page {
    pub fn embedded() -> Self {
        let files = memory_serve::load!()
            .index_file(None)
            .html_cache_control(CacheControl::NoCache)
            .cache_control(CacheControl::NoCache);
        Self(files.into_router())
    }

    /// The page, whatever its address.
    pub async fn show(&self, mut request: Request) -> Option<Response> {
        *request.uri_mut() = Uri::from_static(INDEX);
        self.file(request).await
    }

    /// The file of that path. `None`: there is none.
    pub async fn file(&self, request: Request) -> Option<Response> {
        let is_hashed = request.uri().path().starts_with(HASHED);
        let (parts, _) = request.into_parts();
        let Ok(mut response) = self.0.clone().oneshot(Request::from_parts(parts, Body::empty())).await;
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let headers = response.headers_mut();
        headers.extend(FIXED);
        if is_hashed {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        }
        Some(response)
    }
}
