//! What can be chosen, and which settings it comes to.

use adjutant_llm::settings::{Provider, Settings};
use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};

use crate::config::environment::Environment;

/// Who serves the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Anthropic,
    Openai,
    /// Any other server that speaks OpenAI chat completions
    Compatible,
    Ollama,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Anthropic, Self::Openai, Self::Compatible, Self::Ollama];

    /// As `--provider` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            _ => self.provider(),
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Anthropic => "Anthropic",
            Self::Openai => "OpenAI",
            Self::Compatible => "another server that speaks OpenAI chat completions",
            Self::Ollama => "Ollama",
        }
    }

    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai | Self::Compatible => "openai",
            Self::Ollama => "ollama",
        }
    }

    /// Those that this build has a client for.
    pub(super) fn offered() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kind| Provider::parse(kind.provider()).is_some()).collect()
    }

    pub(super) fn url_setting(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Openai | Self::Compatible => "OPENAI_BASE_URL",
            Self::Ollama => "OLLAMA_BASE_URL",
        }
    }

    pub(super) fn key_setting(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Openai | Self::Compatible => Some("OPENAI_API_KEY"),
            Self::Ollama => None,
        }
    }

    /// Where it is, unless somebody says otherwise.
    pub(super) fn usual_url(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Openai => Some("https://api.openai.com/v1"),
            Self::Compatible => None,
            Self::Ollama => Some("http://127.0.0.1:11434"),
        }
    }

    pub(super) fn needs_key(self) -> bool {
        matches!(self, Self::Anthropic | Self::Openai)
    }

    /// What the settings choose now.
    pub(super) fn of(environment: &Environment) -> Option<Self> {
        match environment.get("LLM_PROVIDER")? {
            "anthropic" => Some(Self::Anthropic),
            "ollama" => Some(Self::Ollama),
            "openai" => match environment.get("OPENAI_BASE_URL") {
                Some(url) if !is_same(url, "https://api.openai.com/v1") => Some(Self::Compatible),
                _ => Some(Self::Openai),
            },
            _ => None,
        }
    }

    /// The address that the settings have for it now.
    pub(super) fn url_in(self, environment: &Environment) -> Option<String> {
        let set = environment.get(self.url_setting()).map(str::to_owned);
        match self {
            // The setting of both: only a foreign address is the other server's.
            Self::Compatible => set.filter(|url| !is_same(url, "https://api.openai.com/v1")),
            Self::Openai => self.usual_url().map(str::to_owned),
            _ => set.or_else(|| self.usual_url().map(str::to_owned)),
        }
    }

    /// The key that the settings have now, if it was given for this very address: it goes nowhere else.
    pub(super) fn key_in(self, environment: &Environment, url: &str) -> Option<SecretString> {
        let key = environment.get(self.key_setting()?)?;
        let now = environment.get(self.url_setting()).or(Self::usual_of(self.provider()))?;
        is_same(now, url).then(|| key.into())
    }

    fn usual_of(provider: &str) -> Option<&'static str> {
        Self::ALL.into_iter().find(|kind| kind.provider() == provider)?.usual_url()
    }
}

fn is_same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// A complete answer.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) key: Option<SecretString>,
    pub(super) model: String,
}

impl Choice {
    /// To ask for the models and to try one.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::openai(&self.url, &self.model, self.key.clone());
        settings.provider = Provider::parse(self.kind.provider()).unwrap_or(settings.provider);
        settings
    }

    /// What the file must say. A setting that would only repeat the default is taken out.
    pub(super) fn changes(&self) -> Vec<(&'static str, Option<String>)> {
        let url = Some(self.url.clone()).filter(|url| self.kind.usual_url().is_none_or(|usual| !is_same(usual, url)));
        let mut changes = vec![
            ("LLM_PROVIDER", Some(self.kind.provider().to_owned())),
            ("LLM_MODEL", Some(self.model.clone())),
            (self.kind.url_setting(), url),
        ];
        if let Some(name) = self.kind.key_setting() {
            changes.push((name, self.key.as_ref().map(|key| key.expose_secret().to_owned())));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[(&str, &str)]) -> Environment {
        entries.iter().copied().collect()
    }

    #[test]
    fn a_key_is_offered_again_only_for_the_address_it_was_given_for() {
        let own = "https://api.openai.com/v1";
        let elsewhere = environment(&[("OPENAI_BASE_URL", "http://box:1/v1/"), ("OPENAI_API_KEY", "k")]);
        assert!(Kind::Openai.key_in(&elsewhere, own).is_none());
        assert!(Kind::Compatible.key_in(&elsewhere, "http://box:1/v1").is_some());
        assert!(Kind::Compatible.key_in(&elsewhere, "http://box:2/v1").is_none());
        let usual = environment(&[("OPENAI_API_KEY", "k")]);
        assert!(Kind::Openai.key_in(&usual, own).is_some());
        assert!(Kind::Compatible.key_in(&usual, "http://box:1/v1").is_none());
    }

    #[test]
    fn what_was_chosen_before_is_known_again() {
        for (entries, kind) in [
            (&[("LLM_PROVIDER", "openai")][..], Some(Kind::Openai)),
            (&[("LLM_PROVIDER", "openai"), ("OPENAI_BASE_URL", "https://api.openai.com/v1/")], Some(Kind::Openai)),
            (&[("LLM_PROVIDER", "openai"), ("OPENAI_BASE_URL", "http://box/v1")], Some(Kind::Compatible)),
            (&[("LLM_PROVIDER", "anthropic")], Some(Kind::Anthropic)),
            (&[("LLM_PROVIDER", "ollama")], Some(Kind::Ollama)),
            (&[], None),
        ] {
            assert_eq!(Kind::of(&environment(entries)), kind, "{entries:?}");
        }
    }

    #[test]
    fn the_usual_address_is_not_written_and_an_old_one_is_taken_out() {
        let choice = |kind: Kind, url: &str| {
            let choice = Choice { kind, url: url.to_owned(), key: Some("k".into()), model: "m".to_owned() };
            choice.changes().into_iter().find(|(name, _)| *name == kind.url_setting()).unwrap().1
        };
        assert_eq!(choice(Kind::Openai, "https://api.openai.com/v1"), None);
        assert_eq!(choice(Kind::Compatible, "http://box/v1").as_deref(), Some("http://box/v1"));
        assert_eq!(choice(Kind::Ollama, "http://127.0.0.1:11434/"), None);
    }
}
