//! The environment as it was at the start, and the reader that collects what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;

use super::names;

/// A copy of the environment. Its values may be secrets, so `Debug` shows names alone.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// Names of ours whose value is not UTF-8.
    unreadable: Vec<String>,
}

impl Environment {
    /// What this process was started with.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) if names::is_known(&name) => environment.unreadable.push(name),
                Err(_) => {}
            }
        }
        environment
    }

    /// A value that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let values = entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, unreadable: Vec::new() }
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
        let mut reader = Self { environment, faults: Vec::new() };
        for name in &environment.unreadable {
            reader.fault(name, "is not UTF-8");
        }
        reader
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
        self.faults.push(Fault { name: name.to_owned(), message: message.into() });
    }

    pub(super) fn finish<T>(self, config: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(config) } else { Err(Faults(self.faults)) }
    }
}
