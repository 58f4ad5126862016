//! HTTP answers that are no stream, connections that fail, and when a call is tried again.

use std::time::Duration;

use adjutant_core::limits;
use adjutant_core::model::{ModelError, ModelErrorKind};
use tokio::net::TcpListener;

use crate::fake::{Fake, Step, plain, says};
use crate::support::{alone, client, impatient, settings, tell};

const OVERLOADED: &str = r#"{"error":{"message":"overloaded","type":"server_error"}}"#;

#[tokio::test]
async fn a_failing_provider_is_asked_as_often_as_the_limit_says() {
    for (status, kind) in [(500, ModelErrorKind::Unavailable), (429, ModelErrorKind::RateLimited)] {
        for body in [OVERLOADED, "<html>bad gateway</html>", ""] {
            let fake = Fake::start(vec![plain(status, "", body)]).await;
            assert_eq!(tell(&client(&fake), "hello").await.kind(), kind);
            assert_eq!(fake.count(), usize::try_from(limits::MODEL_TRIES).unwrap());
        }
    }
}

#[tokio::test]
async fn a_provider_that_recovers_gives_its_answer() {
    let busy = plain(429, "retry-after-ms: 5\r\n", "");
    let fake = Fake::start(vec![busy, plain(503, "", OVERLOADED), vec![Step::Close], says("hi")]).await;
    assert_eq!(tell(&client(&fake), "hello").await.answer().text, "hi");
    assert_eq!(fake.count(), 4);
    let bodies: Vec<_> = fake.asked().into_iter().map(|asked| asked.body).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_wait_longer_than_the_limit_is_not_waited_for_but_told() {
    let fake = Fake::start(vec![plain(429, "retry-after: 61\r\n", "")]).await;
    let error = tell(&client(&fake), "hello").await.end.unwrap_err();
    let expected = ModelError {
        kind: ModelErrorKind::RateLimited,
        message: "the model provider limits how often it may be asked: try again later".to_owned(),
        retry_after: Some(Duration::from_secs(61)),
        passed_over: vec![],
    };
    assert_eq!((error, fake.count()), (expected, 1));
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let reason = r#"{"error":{"message":"This model's maximum context length is 8192 tokens"}}"#;
    let cases = [
        (400, reason, ModelErrorKind::Refused, "maximum context length is 8192 tokens"),
        (400, "<html>", ModelErrorKind::Refused, "refuses the request (HTTP 400)"),
        (404, "{}", ModelErrorKind::Refused, "LLM_MODEL"),
        (401, "{}", ModelErrorKind::Unauthorized, "OPENAI_API_KEY"),
        (403, "", ModelErrorKind::Unauthorized, "HTTP 403"),
    ];
    for (status, body, kind, words) in cases {
        let fake = Fake::start(vec![plain(status, "retry-after: 0\r\n", body)]).await;
        let error = tell(&client(&fake), "hello").await.end.unwrap_err();
        assert_eq!((error.kind, error.retry_after, fake.count()), (kind, None, 1));
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[tokio::test]
async fn a_spent_quota_is_not_asked_again() {
    let body = r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let fake = Fake::start(vec![plain(429, "", body)]).await;
    assert_eq!(tell(&client(&fake), "hello").await.kind(), ModelErrorKind::RateLimited);
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let canary = Fake::start(vec![says("gotcha")]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: http://{}/v1/chat/completions\r\n", canary.address);
        let fake = Fake::start(vec![plain(status, &location, "")]).await;
        assert_eq!(tell(&client(&fake), "hello").await.kind(), ModelErrorKind::Refused);
    }
    assert_eq!(canary.count(), 0);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = alone(settings(&format!("http://{address}/v1")));
    let error = tell(&client, "hello").await.end.unwrap_err();
    let expected = ModelError {
        kind: ModelErrorKind::Unavailable,
        message: "the model provider cannot be reached".to_owned(),
        retry_after: None,
        passed_over: vec![],
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_tried_again() {
    for end in [Step::Close, Step::Reset] {
        let fake = Fake::start(vec![vec![end]]).await;
        assert_eq!(tell(&impatient(&fake, 3), "hello").await.kind(), ModelErrorKind::Unavailable);
        assert_eq!(fake.count(), 3);
    }
}
