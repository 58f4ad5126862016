//! The page's door: who may load it, what protects it, and what is never taken for a page.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use crate::server::{KEY, TestServer, answer};

#[tokio::test]
async fn every_address_of_the_page_answers_with_the_page_and_its_policy() {
    let server = TestServer::start().await;
    let mut bodies = Vec::new();
    for path in
        ["/", "/chat", "/chat/0197a3f0-0000-7000-8000-000000000000", "/needs-you", "/settings/models", "/?later"]
    {
        let answer = server.request("GET", path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers();
        assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{path}");
        assert_eq!(headers[CACHE_CONTROL], "no-cache", "{path}");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for rule in
            ["default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")] {
            assert_eq!(headers[name], value, "{path}");
        }
        bodies.push(answer.text().await.unwrap());
    }
    assert!(bodies[0].contains("<!doctype html>"), "{}", bodies[0]);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn what_is_no_page_is_not_answered_with_one() {
    let server = TestServer::start().await;
    for path in [
        "/api",
        "/api/nothing",
        "/v1/nothing",
        "/readyz/x",
        "/assets/nothing.js",
        "/nothing.html",
        "/.env",
        "/../Cargo.toml",
    ] {
        let answer = server.get(path, KEY).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let posted = server.request("POST", "/chat").bearer_auth(KEY).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let head = server.request("HEAD", "/").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
}

/// What a browser asks for that goes to an address.
const NAVIGATES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test]
async fn whoever_goes_to_an_address_without_anything_is_shown_the_page_which_says_so() {
    let server = TestServer::start().await;
    let page = server.request("GET", "/").send().await.unwrap();
    let tag = page.headers()["etag"].clone();
    let page = page.text().await.unwrap();
    let asks = |path: &str, accept: &str| server.request("GET", path).header("accept", accept);
    for path in ["/nowhere", "/nowhere/below?it=1", "/nothing.html", "/assets/nothing.js", "/apis", "/wsx"] {
        // Also a browser that has seen it there before.
        let shown = asks(path, NAVIGATES).header("if-none-match", &tag).send().await.unwrap();
        assert_eq!(shown.status(), StatusCode::NOT_FOUND, "{path}");
        let headers = shown.headers();
        assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{path}");
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("default-src 'none'"), "{path}");
        assert!(headers.get_all("vary").iter().any(|value| value == "accept"), "{path}");
        assert_eq!(shown.text().await.unwrap(), page, "{path}");
        for accept in ["*/*", "application/json", "image/png,image/*;q=0.8", "text/htmlx", ""] {
            answer(asks(path, accept)).await.is_problem(404, "not_found", &format!("{path} {accept}"));
        }
    }
    for path in ["/api", "/api/", "/api/nowhere", "/ws/nowhere", "/mcp", "/mcp/x", "/readyz/x"] {
        answer(asks(path, NAVIGATES)).await.is_problem(404, "not_found", path);
    }
    let of_openai = answer(asks("/v1/nowhere", NAVIGATES)).await;
    assert_eq!((of_openai.status, &of_openai.body["error"]["code"]), (404, &"not_found".into()));
    let posted = server.request("POST", "/nowhere").header("accept", NAVIGATES).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let head = server.request("HEAD", "/nowhere").header("accept", NAVIGATES).send().await.unwrap();
    assert_eq!((head.status(), head.bytes().await.unwrap().len()), (StatusCode::NOT_FOUND, 0));
}
