//! Building a client, checking its provider, and the client of a server without a model.

use adjutant_core::model::{LlmClient, ModelErrorKind, Purpose};
use adjutant_llm::offers::Offered;
use adjutant_llm::router::{Operator, Router};
use adjutant_llm::settings::{Provider, Settings, SetupError};

use crate::fake::{Fake, Step, plain, send};
use crate::support::{ask, client, impatient, read, settings};

fn refused(change: impl FnOnce(&mut Settings)) -> Option<SetupError> {
    let mut settings = settings("https://api.openai.com/v1");
    change(&mut settings);
    adjutant_llm::client(settings).err()
}

#[test]
fn settings_that_cannot_work_are_refused() {
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|settings| settings.base_url = "api.openai.com".to_owned()), Some(SetupError::BaseUrl));
    assert_eq!(refused(|settings| settings.base_url = "http://k@x/v1".to_owned()), Some(SetupError::BaseUrlParts));
    assert_eq!(refused(|settings| settings.model = " ".to_owned()), Some(SetupError::Model));
    assert_eq!(refused(|settings| settings.api_key = Some("a\nb".into())), Some(SetupError::ApiKey));
    assert_eq!(refused(|settings| settings.proxy = Some("not a proxy".into())), Some(SetupError::Proxy));
    assert_eq!((Provider::parse("openai"), Provider::parse("OpenAI")), (Some(Provider::OpenAi), None));
    assert_eq!(
        (Provider::parse("anthropic"), Provider::parse("ollama")),
        (Some(Provider::Anthropic), Some(Provider::Ollama))
    );
}

#[tokio::test]
async fn without_a_model_every_call_says_how_to_set_one_up() {
    let template = settings("http://127.0.0.1:1");
    let nothing = Operator { providers: vec![], default_provider: None, models: vec![], ..Operator::alone(template) };
    let router = Router::new(nothing).unwrap();
    assert_eq!(router.default_model(), None);
    let error = read(router.stream(ask("hello"))).await.end.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::NotConfigured);
    for setting in ["LLM_PROVIDER", "LLM_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "Ollama"] {
        assert!(error.message.contains(setting), "{}", error.message);
    }
}

#[tokio::test]
async fn a_check_tells_whether_the_model_is_offered() {
    let cases = [
        (200, r#"{"data":[{"id":"a"},{"id":"scripted"}]}"#, "the model provider answers and offers scripted"),
        (
            200,
            r#"{"data":[{"id":"a"},{}]}"#,
            "the model provider answers, but scripted is not among the 2 models it lists",
        ),
        (404, "nothing here", "the model provider answers but does not list its models, so scripted is not checked"),
    ];
    for (status, body, sentence) in cases {
        let fake = Fake::start(vec![plain(status, "", body)]).await;
        let told = client(&fake).check().await;
        assert_eq!(
            told.iter().map(|check| (check.provider, check.sentence())).collect::<Vec<_>>(),
            [("openai", sentence.to_owned())]
        );
        assert_eq!(fake.asked().remove(0).line, "GET /v1/models HTTP/1.1");
    }
}

#[tokio::test]
async fn a_check_that_fails_says_why() {
    let endless = send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    let cases = [
        (plain(401, "", ""), ModelErrorKind::Unauthorized),
        (plain(500, "", ""), ModelErrorKind::Unavailable),
        (plain(302, "location: http://127.0.0.1:1/\r\n", ""), ModelErrorKind::Refused),
        (plain(200, "", "<html>"), ModelErrorKind::Garbled),
        (plain(200, "", "{}"), ModelErrorKind::Garbled),
        (vec![endless, Step::Flood(vec![b' '; 64 * 1024])], ModelErrorKind::Garbled),
        (vec![Step::Close], ModelErrorKind::Unavailable),
    ];
    for (reply, kind) in cases {
        let fake = Fake::start(vec![reply]).await;
        assert_eq!(client(&fake).check().await.remove(0).said.unwrap_err().kind, kind);
    }
    let fake = Fake::start(vec![vec![Step::Hang]]).await;
    assert_eq!(impatient(&fake, 1).check().await.remove(0).said.unwrap_err().kind, ModelErrorKind::TimedOut);
}

#[tokio::test]
async fn a_check_looks_for_each_model_that_the_operator_named() {
    let models = r#"{"data":[{"id":"scripted"},{"id":"next"}]}"#;
    let fake = Fake::start(vec![plain(200, "", models)]).await;
    let operator = Operator {
        models: vec!["openai/scripted".to_owned(), "openai/gone".to_owned()],
        small_model: Some("openai/next".to_owned()),
        ..Operator::alone(settings(&fake.base_url()))
    };
    let told = Router::new(operator).unwrap().check().await;
    let told: Vec<_> =
        told.into_iter().map(|check| (check.model.unwrap(), check.purpose, check.said.unwrap())).collect();
    let expected = [
        ("scripted".to_owned(), Purpose::Answer, Offered::Listed),
        ("gone".to_owned(), Purpose::Answer, Offered::Absent { of: 2 }),
        ("next".to_owned(), Purpose::Small, Offered::Listed),
    ];
    assert_eq!(told, expected);
    assert_eq!(fake.asked().len(), 1, "one list is enough");
}
