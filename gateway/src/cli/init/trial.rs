//! Whether what was chosen works: the provider's list of models, and one small real request.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use adjutant_core::message::{Part, Role};
use adjutant_core::model::{LlmClient as _, ModelAccess, ModelEvent, ModelRequest, PromptMessage, Purpose};
use adjutant_llm::offers;
use adjutant_llm::router::{Operator, Router};
use adjutant_llm::settings::Settings;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::cli::plain::line;

/// A model on one's own machine may have to be loaded first.
const PATIENCE: Duration = Duration::from_secs(90);
const LISTED_WITHIN: Duration = Duration::from_secs(15);
/// Enough for models that think before they answer.
const MOST_TOKENS: u32 = 1024;
const SHOWN: usize = 60;

/// The models that the provider lists, or why it lists none.
pub(super) async fn models(settings: &Settings) -> Result<Vec<String>, String> {
    match timeout(LISTED_WITHIN, offers::models(settings)).await {
        Ok(Ok(models)) => Ok(models),
        Ok(Err(error)) => Err(line(&error.to_string(), 400)),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}

/// What the model answered, as a sentence, or why it did not.
pub(super) async fn ask(settings: Settings) -> Result<String, String> {
    let begun = Instant::now();
    let model = line(&settings.model, SHOWN);
    let client = Router::new(Operator::alone(settings)).map_err(|error| error.to_string())?;
    let prompt = |role, text: &str| PromptMessage { role, parts: vec![Part::text(text)] };
    let request = ModelRequest {
        models: Vec::new(),
        purpose: Purpose::Answer,
        access: ModelAccess::operator(),
        messages: vec![
            prompt(Role::System, "You are being tested. Answer with one short word."),
            prompt(Role::User, "Say: ready"),
        ],
        files: HashMap::new(),
        tools: Vec::new(),
        max_output_tokens: MOST_TOKENS,
        temperature: None,
    };
    let mut stream = client.stream(request);
    let answered = async {
        while let Some(event) = stream.next().await {
            if let ModelEvent::Finished(answer) = event? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    };
    let answer = match timeout(PATIENCE, answered).await {
        Ok(Ok(Some(answer))) => answer,
        Ok(Ok(None)) => return Err("the answer broke off before its end".to_owned()),
        Ok(Err::<_, adjutant_core::model::ModelError>(error)) => return Err(line(&error.to_string(), 400)),
        Err(_) => return Err(format!("{model} did not answer within {} s", PATIENCE.as_secs())),
    };
    let seconds = begun.elapsed().as_secs_f64();
    Ok(match line(&answer.text, SHOWN) {
        said if said.is_empty() => format!("{model} answered in {seconds:.1} s"),
        said => format!("{model} answered \"{said}\" in {seconds:.1} s"),
    })
}
