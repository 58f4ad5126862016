//! Who is asked, with whose key, and who is asked instead.

use adjutant_core::limits;
use adjutant_core::model::{LlmClient, ModelAccess, ModelErrorKind, ModelRequest, PaidBy, ProviderKey, Purpose};
use adjutant_llm::prices::Prices;
use adjutant_llm::router::{Operator, Router};
use adjutant_llm::settings::{Provider, Settings};
use serde_json::json;

use crate::fake::{Fake, Step, event, finish, plain, says, send, stream_head, text};
use crate::support::{KEY, SHORT, alone, ask, read, settings, tell};

/// An operator with an OpenAI and an Ollama, each on a fake of its own.
fn two(first: &Fake, second: &Fake) -> Operator {
    let openai = Settings { tries: 1, ..settings(&first.base_url()) };
    let ollama = Settings {
        provider: Provider::Ollama,
        model: "little".to_owned(),
        base_url: format!("http://{}", second.address),
        ..openai.clone()
    };
    Operator {
        providers: vec![openai.clone(), ollama],
        models: vec!["openai/big".to_owned(), "ollama/little".to_owned()],
        small_model: Some("ollama/tiny".to_owned()),
        ..Operator::alone(openai)
    }
}

fn ollama_says(words: &str) -> Vec<Step> {
    let line = json!({"model": "little", "message": {"content": words}, "done": true, "done_reason": "stop"});
    vec![stream_head(), send(format!("{line}\n")), Step::Close]
}

fn key(fake: &Fake, secret: &str) -> ProviderKey {
    ProviderKey {
        provider: "openai".to_owned(),
        api_key: secret.into(),
        preferred_model: Some("own".to_owned()),
        origin: format!("http://{}", fake.address),
    }
}

#[tokio::test]
async fn what_fails_before_a_word_is_passed_over_and_told() {
    let hang = || vec![vec![Step::Hang]];
    let cases = [
        (vec![plain(429, "retry-after: 30\r\n", "{}")], "model_rate_limited"),
        (vec![plain(503, "", "{}")], "model_unavailable"),
        (vec![plain(529, "", "{}")], "model_unavailable"),
        (vec![vec![Step::Close]], "model_unavailable"),
        (vec![vec![stream_head(), Step::Close]], "model_truncated"),
        (hang(), "model_timed_out"),
    ];
    for (reply, code) in cases {
        let (first, second) = (Fake::start(reply).await, Fake::start(vec![ollama_says("here")]).await);
        let mut operator = two(&first, &second);
        operator.providers[0].timeouts.first_byte = SHORT;
        let router = Router::new(operator).unwrap();
        let answer = tell(&router, "hello").await.answer();
        assert_eq!(
            (answer.text.as_str(), answer.model.as_str(), answer.provider.as_str()),
            ("here", "little", "ollama")
        );
        let passed: Vec<_> = answer.passed_over.iter().map(|one| (one.model.as_str(), one.code.as_str())).collect();
        assert_eq!(passed, [("openai/big", code)]);
        assert_eq!(answer.paid_by, PaidBy::Operator);
    }
}

#[tokio::test]
async fn a_refused_key_or_request_and_an_answer_that_began_are_not_passed_over() {
    let begun = vec![stream_head(), event(&text("half")), Step::Close];
    let cases = [
        (plain(401, "", "{}"), ModelErrorKind::Unauthorized, ""),
        (plain(400, "", "{}"), ModelErrorKind::Refused, ""),
        (plain(404, "", "{}"), ModelErrorKind::Refused, ""),
        (begun, ModelErrorKind::Truncated, "half"),
    ];
    for (reply, kind, relayed) in cases {
        let (first, second) = (Fake::start(vec![reply]).await, Fake::start(vec![ollama_says("no")]).await);
        let told = tell(&Router::new(two(&first, &second)).unwrap(), "hello").await;
        assert_eq!((told.kind(), told.relayed.as_str(), second.count()), (kind, relayed, 0));
    }
}

#[tokio::test]
async fn where_all_fail_the_last_reason_is_told_and_the_others_are_named() {
    let (first, second) = (Fake::start(vec![plain(503, "", "")]).await, Fake::start(vec![plain(429, "", "")]).await);
    let error = tell(&Router::new(two(&first, &second)).unwrap(), "hello").await.end.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::RateLimited);
    assert_eq!(error.passed_over.len(), 1);
    assert_eq!(error.passed_over[0].model, "openai/big");
}

#[tokio::test]
async fn a_model_that_keeps_failing_rests_and_is_not_asked() {
    let (first, second) = (Fake::start(vec![plain(503, "", "")]).await, Fake::start(vec![ollama_says("here")]).await);
    let router = Router::new(two(&first, &second)).unwrap();
    for _ in 0..limits::MODEL_FAILURES + 3 {
        assert_eq!(tell(&router, "hello").await.answer().text, "here");
    }
    assert_eq!(first.count(), limits::MODEL_FAILURES as usize);
    let answer = tell(&router, "hello").await.answer();
    assert_eq!(answer.passed_over[0].code, "resting");
}

#[tokio::test]
async fn the_only_model_is_asked_even_while_it_rests_and_comes_back_at_once() {
    let failing = std::iter::repeat_n(plain(503, "", ""), limits::MODEL_FAILURES as usize);
    let fake = Fake::start(failing.chain([says("back")]).collect()).await;
    let router = alone(Settings { tries: 1, ..settings(&fake.base_url()) });
    for _ in 0..limits::MODEL_FAILURES {
        assert_eq!(tell(&router, "hello").await.kind(), ModelErrorKind::Unavailable);
    }
    assert_eq!(tell(&router, "hello").await.answer().text, "back");
}

#[tokio::test]
async fn small_work_goes_to_the_small_model() {
    let (first, second) = (Fake::start(vec![says("no")]).await, Fake::start(vec![ollama_says("title")]).await);
    let router = Router::new(two(&first, &second)).unwrap();
    let request = ModelRequest { purpose: Purpose::Small, ..ask("name it") };
    assert_eq!(read(router.stream(request)).await.answer().text, "title");
    assert_eq!(second.asked().remove(0).body["model"], "tiny");
    assert_eq!(first.count(), 0);
}

#[tokio::test]
async fn a_users_key_pays_and_goes_only_where_it_was_stored_for() {
    let (operators, users) = (Fake::start(vec![says("no")]).await, Fake::start(vec![says("paid")]).await);
    // The operator's own setting names that address, so it may be a private one.
    let mut operator = Operator::alone(settings(&users.base_url()));
    operator
        .providers
        .push(Settings { provider: Provider::Ollama, ..settings(&format!("http://{}", operators.address)) });
    let router = Router::new(operator).unwrap();
    let access = ModelAccess { keys: vec![key(&users, "sk-users-own-key")], operator: true };
    let answer = read(router.stream(ModelRequest { access, ..ask("hello") })).await.answer();
    assert_eq!((answer.text.as_str(), answer.paid_by), ("paid", PaidBy::User));
    let asked = users.asked().remove(0);
    assert_eq!(
        (asked.headers["authorization"].as_str(), &asked.body["model"]),
        ("Bearer sk-users-own-key", &json!("own"))
    );
    assert_eq!(operators.count(), 0);
}

#[tokio::test]
async fn a_key_for_another_address_is_sent_nowhere() {
    let (operators, elsewhere) = (Fake::start(vec![says("no")]).await, Fake::start(vec![says("no")]).await);
    let router = alone(settings(&operators.base_url()));
    for operator in [false, true] {
        let access = ModelAccess { keys: vec![key(&elsewhere, "sk-own")], operator };
        let error = read(router.stream(ModelRequest { access, ..ask("hello") })).await.end.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::NoKey);
    }
    assert_eq!((operators.count(), elsewhere.count()), (0, 0));
}

/// SAFETY 12: whatever becomes of a user's key, the operator's is not used in its place.
#[tokio::test]
async fn a_hundred_ways_to_lose_a_key_make_no_call_with_the_operators() {
    let users = Fake::start(vec![plain(401, "", "{}")]).await;
    let router = alone(settings(&users.base_url()));
    let secrets = ["", " ", "\n", "sk-expired", "sk\nsplit", "ключ", "sk-\u{0}"];
    let origins = [
        "",
        "nonsense",
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1:1",
        "x",
    ];
    let providers = ["openai", "OpenAI", "azure", ""];
    let mut ways = 0;
    for (index, secret) in secrets.into_iter().enumerate() {
        for origin in origins.into_iter().chain([users.base_url().as_str()]) {
            for provider in providers {
                let lost = ProviderKey {
                    provider: provider.to_owned(),
                    api_key: secret.into(),
                    preferred_model: (index % 2 == 0).then(|| "own".to_owned()),
                    // A key for the provider's own address would leave this machine.
                    origin: if origin.is_empty() { "http://127.0.0.1:1".to_owned() } else { origin.to_owned() },
                };
                let access = ModelAccess { keys: vec![lost], operator: true };
                assert!(read(router.stream(ModelRequest { access, ..ask("hello") })).await.end.is_err());
                ways += 1;
            }
        }
    }
    let nothing = ModelRequest { access: ModelAccess::default(), ..ask("hello") };
    assert_eq!(read(router.stream(nothing)).await.kind(), ModelErrorKind::NoKey);
    assert!(ways >= 100, "{ways}");
    let operators: Vec<_> = users
        .asked()
        .into_iter()
        .filter(|asked| asked.headers.get("authorization").is_some_and(|value| value.contains(KEY)))
        .collect();
    assert_eq!(operators.len(), 0);
}

#[tokio::test]
async fn what_an_answer_cost_is_told_where_the_price_is_known() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 10}});
    let events = vec![stream_head(), event(&text("hi")), event(&finish("stop")), event(&usage), Step::Close];
    let fake = Fake::start(vec![events]).await;
    let unknown = tell(&alone(settings(&fake.base_url())), "hello").await.answer();
    assert_eq!(unknown.cost, None);
    let list = format!(
        "[[provider]]\nname = 'openai'\norigins = ['http://{}']\ncurrency = 'EUR'\ndate = '2026-11-25'\nsource = 'here'\n\
         [[provider.model]]\nname = 'm-1'\ninput = '2'\noutput = '10'\n",
        fake.address
    );
    let mut operator = Operator::alone(settings(&fake.base_url()));
    operator.prices = Prices::parse(&list).unwrap();
    let known = tell(&Router::new(operator).unwrap(), "hello").await.answer();
    assert_eq!(known.cost.map(|cost| (cost.micros, cost.currency.to_string())), Some((2_100, "EUR".to_owned())));
}

#[tokio::test]
async fn an_ollama_that_nobody_configured_is_found_when_it_is_needed() {
    let tags = r#"{"models":[{"name":"nomic-embed-text","modified_at":"2026-11-02T00:00:00Z"},{"name":"qwen3:8b","modified_at":"2026-11-01T00:00:00Z"}]}"#;
    let fake = Fake::start(vec![plain(200, "", tags), ollama_says("found")]).await;
    let template = Settings::new(Provider::Ollama, "http://127.0.0.1:11434", "unknown", None);
    let operator = Operator {
        providers: vec![],
        default_provider: None,
        models: vec![],
        local_ollama: Some(format!("http://{}", fake.address)),
        ..Operator::alone(template)
    };
    let router = Router::new(operator).unwrap();
    assert_eq!(router.default_model(), None);
    let refused = router.plan(&[], Purpose::Answer, &ModelAccess::operator()).unwrap_err();
    assert_eq!(refused.kind, ModelErrorKind::NotConfigured);
    assert_eq!(tell(&router, "hello").await.answer().text, "found");
    assert_eq!(router.default_model(), Some("qwen3:8b"));
    assert_eq!(fake.asked()[1].body["model"], "qwen3:8b");
    let planned = router.plan(&[], Purpose::Answer, &ModelAccess::operator()).unwrap();
    assert_eq!(planned, ["ollama/qwen3:8b"]);
    let without = router.plan(&[], Purpose::Answer, &ModelAccess::default()).unwrap_err();
    assert_eq!(without.kind, ModelErrorKind::NoKey);
}
