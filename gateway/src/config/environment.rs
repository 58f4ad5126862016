//! The settings as they were at the start: those of the environment, of the files that it names for secrets, and of
//! `adjutant.toml`, in this order; and the reader that collects what is wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use super::data::{Data, absolute};
use super::file::{self, File};
use super::names;

/// Names the file of settings.
const CONFIG: &str = "ADJUTANT_CONFIG";

/// A copy of all settings. The values may be secrets, so `Debug` shows names alone.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// Which line of the file a value came from, for those that did.
    lines: BTreeMap<String, usize>,
    file: Option<SettingsFile>,
    /// What is wrong with names and files.
    faults: Vec<Fault>,
}

/// The file of settings, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFile {
    pub path: PathBuf,
    /// Who may read it; none if it is not there.
    pub mode: Option<u32>,
    pub holds_secrets: bool,
}

impl SettingsFile {
    /// What should be done about it.
    pub fn warning(&self) -> Option<String> {
        let mode = self.mode.filter(|mode| self.holds_secrets && mode & 0o077 != 0)?;
        let path = self.path.display();
        Some(format!("{path} holds secrets and others may read it (mode {mode:04o}): run chmod 600 {path}"))
    }
}

impl Environment {
    /// What this process was started with, and the files.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) if names::is_known(&name) => {
                    environment.faults.push(Fault { name, message: "is not UTF-8".to_owned() });
                }
                Err(_) => {}
            }
        }
        environment.with_files()
    }

    /// Adds what files say. What is set already stays.
    #[must_use]
    pub fn with_files(mut self) -> Self {
        self.read_secrets();
        let named = self.get(CONFIG).and_then(|path| absolute(path).ok());
        let Some(path) = named.clone().or_else(|| default_file(&self)) else { return self };
        let File { entries, faults, mode } = file::read(&path, named.is_some());
        self.faults.extend(faults);
        let holds_secrets = entries.keys().any(|name| names::SECRETS.contains(&name.as_str()));
        for (name, entry) in entries {
            // The folder of this very file, or the name of this very file.
            let circular = name == CONFIG || (name == "ADJUTANT_DATA_DIR" && named.is_none());
            if circular {
                let message = format!("decides which file is read, so it cannot be in {}", path.display());
                self.faults.push(Fault { name, message });
            } else if self.get(&name).is_none() {
                self.lines.insert(name.clone(), entry.line);
                self.values.insert(name, entry.value);
            }
        }
        self.file = Some(SettingsFile { path, mode, holds_secrets });
        self.read_secrets();
        self
    }

    /// Secrets that are in files of their own, as service managers and containers hand them over.
    fn read_secrets(&mut self) {
        for name in names::SECRETS {
            let in_file = format!("{name}{}", names::FILE);
            let Some(path) = self.get(&in_file).map(PathBuf::from) else { continue };
            if self.get(name).is_some() {
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    if let Some(line) = self.lines.get(&in_file).copied() {
                        self.lines.insert((*name).to_owned(), line);
                    }
                    self.values.insert((*name).to_owned(), text.trim().to_owned());
                }
                Err(error) => {
                    let message = format!("{} cannot be read: {error}", path.display());
                    self.values.remove(&in_file);
                    self.faults.push(Fault { name: in_file, message });
                }
            }
        }
    }

    /// The file of settings, if it is known where it should be.
    pub fn file(&self) -> Option<&SettingsFile> {
        self.file.as_ref()
    }

    /// What is wrong with the files and names themselves.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the value is that of the environment, which stands above the file.
    pub fn is_set_outside_file(&self, name: &str) -> bool {
        self.get(name).is_some() && !self.lines.contains_key(name)
    }

    /// These settings with others in front of them; an empty value takes one away.
    #[must_use]
    pub fn overlaid(&self, entries: &[(&str, Option<&str>)]) -> Self {
        let mut overlaid = self.clone();
        for (name, value) in entries {
            overlaid.lines.remove(*name);
            overlaid.values.insert((*name).to_owned(), value.unwrap_or_default().to_owned());
        }
        overlaid
    }

    fn place(&self, name: &str) -> Option<String> {
        let (line, file) = (self.lines.get(name)?, self.file.as_ref()?);
        Some(format!("{}, line {line}", file.path.display()))
    }

    /// A value that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn default_file(environment: &Environment) -> Option<PathBuf> {
    let data = Data::read(&mut Reader::new(environment));
    Some(data.dir.join(file::NAME)).filter(|path| path.is_absolute())
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let values = entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, ..Self::default() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// One thing that is wrong, in a sentence that says what to do. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting.
    pub name: String,
    pub message: String,
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not usable:")?;
        for fault in &self.0 {
            write!(f, "\n  {}: {}", fault.name, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Reads settings and remembers what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, faults: environment.faults.clone() }
    }

    /// Refuses names that look like ours and are not.
    pub(super) fn refuse_unknown(&mut self) {
        for name in self.environment.names().filter(|name| names::is_mistaken(name)) {
            let hint = names::nearest(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            self.fault(name, format!("there is no such setting{hint}"));
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name)
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// Reads a value with `parse`; what it refuses becomes a fault.
    pub(super) fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, error.to_string());
                None
            }
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let flag = |text: &str| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err("must be true or false"),
        };
        self.parsed(name, flag).unwrap_or(false)
    }

    /// Entries between commas, each read with `parse`.
    pub(super) fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut values = Vec::new();
        for entry in self.text(name).unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match parse(entry) {
                Ok(value) => values.push(value),
                Err(message) => self.fault(name, message),
            }
        }
        values
    }

    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        let mut message = message.into();
        if let Some(place) = self.environment.place(name) {
            message = format!("{message} ({place})");
        }
        self.faults.push(Fault { name: name.to_owned(), message });
    }

    pub(super) fn finish<T>(self, config: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(config) } else { Err(Faults(self.faults)) }
    }
}
