//! What a trial of the choice came to, as `init` says it.

use adjutant_llm::settings::Settings;
use adjutant_llm::trial;

use crate::cli::plain::line;

const SHOWN: usize = 60;
const REASON: usize = 400;

/// The models that the provider lists, or why it lists none.
pub(super) async fn models(settings: &Settings) -> Result<Vec<String>, String> {
    trial::models(settings).await.map_err(|error| line(&error.to_string(), REASON))
}

/// What the model answered, as a sentence, or why it did not.
pub(super) async fn ask(settings: Settings) -> Result<String, String> {
    let model = line(&settings.model, SHOWN);
    let word = trial::ask(settings).await.map_err(|error| line(&error.to_string(), REASON))?;
    let seconds = word.took.as_secs_f64();
    Ok(match line(&word.text, SHOWN) {
        said if said.is_empty() => format!("{model} answered in {seconds:.1} s"),
        said => format!("{model} answered \"{said}\" in {seconds:.1} s"),
    })
}
