//! The questions, in order. What an option has answered is not asked.

use std::io::{self, ErrorKind};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::choice::Kind;
use crate::cli::plain::line;
use crate::cli::{ask, terminal};
use crate::config::environment::Environment;

/// How many models are shown at once.
const SHOWN: usize = 20;
const NAME_SHOWN: usize = 80;

/// The person left, or the terminal is gone.
#[derive(Debug)]
pub(super) struct Left;

impl From<io::Error> for Left {
    fn from(error: io::Error) -> Self {
        if error.kind() != ErrorKind::Interrupted {
            terminal::say(&format!("adjutant: nothing can be read from the terminal: {error}"));
        }
        Self
    }
}

fn answer(question: &str) -> Result<String, Left> {
    ask::line(question)?.ok_or(Left)
}

/// `found` is how many models the Ollama of this machine has.
pub(super) fn kind(environment: &Environment, found: Option<usize>) -> Result<Kind, Left> {
    let offered = Kind::offered();
    let before = Kind::of(environment).or(found.map(|_| Kind::Ollama));
    let mut question = "Who serves the model?\n".to_owned();
    for (number, kind) in (1..).zip(&offered) {
        let note = match (kind, found) {
            (Kind::Ollama, Some(1)) => " on this machine (found, with 1 model)".to_owned(),
            (Kind::Ollama, Some(count)) => format!(" on this machine (found, with {count} models)"),
            _ => String::new(),
        };
        question = format!("{question}  {number}  {}{note}\n", kind.title());
    }
    let hint = before.map_or_else(String::new, |before| format!(" [{}]", before.name()));
    question = format!("{question}Number or name{hint}: ");
    loop {
        let typed = answer(&question)?;
        let number = typed.parse::<usize>().ok().and_then(|number| offered.get(number.checked_sub(1)?)).copied();
        let named = offered.iter().copied().find(|kind| kind.name() == typed.to_lowercase());
        match number.or(named).or(before.filter(|_| typed.is_empty())) {
            Some(kind) => return Ok(kind),
            None => terminal::say("Please type one of the numbers."),
        }
    }
}

pub(super) fn url(kind: Kind, before: Option<&str>) -> Result<String, Left> {
    let hint = before.map_or_else(String::new, |before| format!(" [{before}]"));
    let example = if kind == Kind::Ollama { "http://127.0.0.1:11434" } else { "http://127.0.0.1:8000/v1" };
    loop {
        let typed = answer(&format!("Its address, such as {example}{hint}: "))?;
        let typed = if typed.is_empty() { before.unwrap_or_default().to_owned() } else { typed };
        match Url::parse(&typed) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Ok(typed),
            _ => terminal::say("That is no address: it begins with http:// or https:// and names a host."),
        }
    }
}

pub(super) fn key(kind: Kind, before: Option<SecretString>) -> Result<Option<SecretString>, Left> {
    let hint = match (&before, kind.needs_key()) {
        (Some(_), _) => "; Enter keeps the one there is",
        (None, false) => "; Enter for none",
        (None, true) => "",
    };
    loop {
        let typed = ask::secret(&format!("Key (not shown{hint}): "))?;
        if !typed.expose_secret().is_empty() {
            return Ok(Some(typed));
        }
        if before.is_some() || !kind.needs_key() {
            return Ok(before);
        }
        terminal::say(&format!("{} answers nobody without a key.", kind.title()));
    }
}

/// Among what the provider lists, by number, name or a part of it; or any other name.
pub(super) fn model(listed: &[String], before: Option<&str>) -> Result<String, Left> {
    let everything: Vec<&str> = listed.iter().map(String::as_str).collect();
    let before = before.or(if let [only] = everything[..] { Some(only) } else { None });
    let mut offered = everything.clone();
    show(&offered);
    loop {
        let hint = before.map_or_else(String::new, |before| format!(" [{}]", line(before, NAME_SHOWN)));
        let how = if listed.is_empty() { "Name of the model" } else { "Model, by number or name" };
        let typed = answer(&format!("{how}{hint}: "))?;
        if typed.is_empty() {
            match before {
                Some(before) => return Ok(before.to_owned()),
                None => continue,
            }
        }
        let number = typed.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(model) = number.and_then(|index| offered.get(index)) {
            return Ok((*model).to_owned());
        }
        if listed.is_empty() || everything.contains(&typed.as_str()) {
            return Ok(typed);
        }
        let alike: Vec<&str> = everything.iter().copied().filter(|model| model.contains(&typed)).collect();
        if alike.is_empty() {
            let sure =
                answer(&format!("{} is not among them. Use it all the same? [y/N]: ", line(&typed, NAME_SHOWN)))?;
            if sure.eq_ignore_ascii_case("y") {
                return Ok(typed);
            }
        } else {
            offered = alike;
        }
        show(&offered);
    }
}

fn show(models: &[&str]) {
    for (number, model) in (1..).zip(models.iter().take(SHOWN)) {
        terminal::say(&format!("  {number:>2}  {}", line(model, NAME_SHOWN)));
    }
    if models.len() > SHOWN {
        terminal::say(&format!("  and {} more: type a part of a name to see those", models.len() - SHOWN));
    }
}

/// After a trial that failed.
pub(super) enum Then {
    Again,
    Write,
}

pub(super) fn then() -> Result<Then, Left> {
    loop {
        match answer("a = answer again, w = write it all the same, Enter = leave: ")?.to_lowercase().as_str() {
            "a" => return Ok(Then::Again),
            "w" => return Ok(Then::Write),
            "" => return Err(Left),
            _ => {}
        }
    }
}
