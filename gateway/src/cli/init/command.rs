//! The course of `adjutant init`: choose, list, try, write. Nothing is written before the model has answered.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::choice::{Choice, Kind};
use super::dialogue::{self, Left, Then};
use super::trial;
use crate::cli::{ask, terminal};
use crate::config::environment::{Environment, Faults};
use crate::config::{Config, file};

/// An Ollama that is there answers at once.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
const MOST_KEY_BYTES: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Ask nothing: take the options, and the settings there are
    #[arg(long)]
    yes: bool,
    /// Who serves the model
    #[arg(long, value_name = "NAME")]
    provider: Option<Kind>,
    /// Where, for `compatible` and `ollama`
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The model's name
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A file whose first line is the key, or `-` for standard input. A key is never an argument
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Write without asking the model anything
    #[arg(long)]
    untested: bool,
}

/// What came of it, where nothing was written.
const LEFT: u8 = 130;
const WRONG_USAGE: u8 = 2;

pub(in crate::cli) async fn run(arguments: &Arguments, environment: &Environment) -> Result<ExitCode> {
    if !environment.faults().is_empty() {
        return Err(Faults(environment.faults().to_vec()).into());
    }
    let path = environment.file().map(|file| file.path.clone());
    let path = path.context("there is no place for the settings: set ADJUTANT_DATA_DIR or HOME")?;
    if !arguments.yes && !ask::is_possible() {
        terminal::say(
            "adjutant: init asks questions, and there is no terminal to ask on; \
             use --yes with --provider, --model and --key-file FILE (or - for standard input)",
        );
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let given = arguments.key_file.as_deref().map(key_in).transpose()?;
    if !arguments.yes {
        terminal::say(
            "Which model answers? It is tried before anything is written. Enter keeps what is in [brackets].\n",
        );
    }
    loop {
        let choice = if arguments.yes {
            from_options(arguments, environment, given.clone())?
        } else {
            match by_asking(arguments, environment, given.clone()).await {
                Ok(choice) => choice,
                Err(Left) => return Ok(left()),
            }
        };
        if let Some(sentence) = overruled(&choice, environment) {
            terminal::say(&format!("adjutant: {sentence}"));
            return Ok(ExitCode::from(WRONG_USAGE));
        }
        if !arguments.untested {
            terminal::say(&format!("Asking {} for a word.", choice.model));
            match trial::ask(choice.settings()).await {
                Ok(sentence) => terminal::say(&format!("It works: {sentence}.")),
                Err(sentence) if arguments.yes => bail!("nothing was written: {sentence}"),
                Err(sentence) => {
                    terminal::say(&format!("It does not work: {sentence}."));
                    match dialogue::then() {
                        Ok(Then::Again) => continue,
                        Ok(Then::Write) => {}
                        Err(Left) => return Ok(left()),
                    }
                }
            }
        }
        write(&path, &choice, environment)?;
        return Ok(ExitCode::SUCCESS);
    }
}

fn left() -> ExitCode {
    terminal::say("\nNothing was written.");
    ExitCode::from(LEFT)
}

fn key_in(file: &Path) -> Result<SecretString> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MOST_KEY_BYTES).read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        let opened = std::fs::File::open(file).and_then(|file| file.take(MOST_KEY_BYTES).read_to_string(&mut text));
        opened.with_context(|| format!("{} cannot be read", file.display()))?;
    }
    let key = text.lines().next().unwrap_or_default().trim();
    if key.is_empty() {
        bail!("the key is empty");
    }
    Ok(key.into())
}

fn from_options(arguments: &Arguments, environment: &Environment, given: Option<SecretString>) -> Result<Choice> {
    let kind = arguments.provider.or_else(|| Kind::of(environment));
    let kind = kind.context("say who serves the model: --provider anthropic, openai, compatible or ollama")?;
    if !Kind::offered().contains(&kind) {
        bail!("there is no client for {} yet", kind.title());
    }
    let url = arguments.base_url.clone().or_else(|| kind.url_in(environment));
    let url = url.context("say where the server is: --base-url http://127.0.0.1:8000/v1")?;
    let key = given.or_else(|| kind.key_in(environment, &url));
    if kind.needs_key() && key.is_none() {
        let setting = kind.key_setting().unwrap_or_default();
        bail!("{} needs a key: --key-file FILE, - for standard input, or {setting}_FILE", kind.title());
    }
    let before = environment.get("LLM_MODEL").filter(|_| Kind::of(environment) == Some(kind)).map(str::to_owned);
    let model = arguments.model.clone().or(before);
    let model = model.ok_or_else(|| anyhow!("name the model that answers: --model NAME"))?;
    Ok(Choice { kind, url, key, model })
}

async fn by_asking(
    arguments: &Arguments,
    environment: &Environment,
    given: Option<SecretString>,
) -> Result<Choice, Left> {
    let found = local_ollama(environment).await;
    let kind = match arguments.provider {
        Some(kind) => kind,
        None => dialogue::kind(environment, found.as_ref().map(Vec::len))?,
    };
    let before = kind.url_in(environment);
    let url = match (&arguments.base_url, kind) {
        (Some(url), _) => url.clone(),
        (None, Kind::Compatible) => dialogue::url(kind, before.as_deref())?,
        (None, Kind::Ollama) if found.is_none() => dialogue::url(kind, before.as_deref())?,
        (None, _) => before.unwrap_or_default(),
    };
    let key = match (kind.key_setting(), given) {
        (None, _) => None,
        (Some(_), Some(given)) => Some(given),
        (Some(setting), None) => {
            let before = kind.key_in(environment, &url);
            if before.is_some() && environment.is_set_outside_file(setting) {
                terminal::say(&format!("The key is that of {setting} in the environment."));
                before
            } else {
                dialogue::key(kind, before)?
            }
        }
    };
    let mut choice = Choice { kind, url, key, model: "none".to_owned() };
    choice.model = match &arguments.model {
        Some(model) => model.clone(),
        None => {
            let listed = trial::models(&choice.settings()).await.unwrap_or_else(|sentence| {
                terminal::say(&format!("Its models cannot be listed: {sentence}."));
                Vec::new()
            });
            let before = environment.get("LLM_MODEL").filter(|_| Kind::of(environment) == Some(kind));
            dialogue::model(&listed, before)?
        }
    };
    Ok(choice)
}

/// The models of the Ollama that answers where the settings, or nobody, say it is.
async fn local_ollama(environment: &Environment) -> Option<Vec<String>> {
    Kind::offered().contains(&Kind::Ollama).then_some(())?;
    let url = Kind::Ollama.url_in(environment)?;
    let choice = Choice { kind: Kind::Ollama, url, key: None, model: "none".to_owned() };
    let models = timeout(FOUND_WITHIN, trial::models(&choice.settings())).await.ok()?.ok()?;
    Some(models)
}

/// The environment stands above the file: what it says otherwise would make the file's words void.
fn overruled(choice: &Choice, environment: &Environment) -> Option<String> {
    let otherwise = |name: &str, value: &Option<String>| {
        environment.is_set_outside_file(name) && environment.get(name) != value.as_deref().map(str::trim)
    };
    let names: Vec<&str> =
        choice.changes().iter().filter(|(name, value)| otherwise(name, value)).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(" and ");
        format!("{names} in the environment would overrule what was chosen: unset it, or choose the same. Nothing was written")
    })
}

fn write(path: &Path, choice: &Choice, environment: &Environment) -> Result<()> {
    let changes = choice.changes();
    // What the environment says already need not be said twice; a key least of all.
    let said: Vec<(&str, Option<&str>)> = changes
        .iter()
        .filter(|(name, _)| !environment.is_set_outside_file(name))
        .map(|(name, value)| (*name, value.as_deref()))
        .collect();
    file::change(path, &said).with_context(|| format!("{} cannot be written", path.display()))?;
    terminal::say("Written; only you can read it:");
    terminal::data(&path.display().to_string());
    if choice.url.starts_with("http://") && choice.key.as_ref().is_some_and(|key| !key.expose_secret().is_empty()) {
        terminal::say("The key travels to this address in the clear: https:// would keep it secret.");
    }
    match Config::read(&environment.overlaid(&said)) {
        Ok(config) => terminal::say(&format!(
            "Next: `adjutant serve` (start it again if it runs), then `adjutant chat`, or http://{} in a program of yours. \
             `adjutant doctor` checks everything.",
            config.doors.listen
        )),
        Err(faults) => terminal::say(&format!("Before the server can start, {faults}")),
    }
    Ok(())
}
