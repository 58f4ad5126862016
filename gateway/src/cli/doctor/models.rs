//! The language models: whether each that the operator named is there, and of which day the prices are.

use std::time::Duration;

use adjutant_core::model::Purpose;
use adjutant_llm::offers::{self, Offered};
use adjutant_llm::router::Router;
use tokio::time::timeout;

use super::{Check, State, check};
use crate::config::Config;

const AREA: &str = "model";
const SMALL: &str = "small model";
const ANSWER: Duration = Duration::from_secs(20);

pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let router = match Router::new(config.model.operator.clone()) {
        Ok(router) => router,
        Err(error) => return vec![check(AREA, "model", State::Failed, error.to_string())],
    };
    let Ok(told) = timeout(ANSWER, router.check()).await else {
        return vec![check(AREA, "model", State::Failed, "a provider did not answer in time".to_owned())];
    };
    let mut checks: Vec<Check> = told.iter().map(of_model).collect();
    if let Some(found) = router.found() {
        let detail = format!("nothing is configured; {found} of the Ollama on this machine answers");
        checks.push(check(AREA, "model", State::Ok, detail));
    }
    if checks.is_empty() {
        checks.push(check(AREA, "model", State::Warning, adjutant_llm::advice().to_owned()));
    }
    if config.model.operator.small_model.is_none() {
        let detail = "none: threads have the titles that people give them; LLM_SMALL_MODEL names one";
        checks.push(check(AREA, SMALL, State::Ok, detail.to_owned()));
    }
    let models = &config.model.operator.models;
    if models.len() > 1 {
        checks.push(check(AREA, "order", State::Ok, format!("asked one after the other: {}", models.join(", "))));
    }
    checks.extend(router.prices().describe().into_iter().map(|line| check(AREA, "prices", State::Ok, line)));
    checks
}

fn of_model(told: &offers::Check) -> Check {
    let (name, setting) = match told.purpose {
        Purpose::Answer => (told.provider, "LLM_MODEL or LLM_FALLBACK"),
        Purpose::Small => (SMALL, "LLM_SMALL_MODEL"),
    };
    let sentence = told.sentence();
    let (state, detail) = match &told.said {
        Ok(Offered::Absent { .. }) => (State::Warning, format!("{sentence}: name one of those in {setting}")),
        Ok(Offered::Listed | Offered::Untold | Offered::Unasked) => (State::Ok, sentence),
        Err(_) => (State::Failed, sentence),
    };
    check(AREA, name, state, detail)
}
