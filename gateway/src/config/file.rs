//! `adjutant.toml`: settings under the names that the environment has for them. Read whole, with the line of each, and
//! changed in place, so that comments and order stay. Knows nothing of what a setting means.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::environment::Fault;
use super::names;

/// The file in the data directory.
pub const NAME: &str = "adjutant.toml";
const MOST_BYTES: u64 = 256 * 1024;
const PRIVATE: u32 = 0o600;

/// A file as it was read.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) faults: Vec<Fault>,
    /// Who may read it, if it is there.
    pub(super) mode: Option<u32>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: String,
    pub(super) line: usize,
}

/// A file that is not there is an empty one, unless it `must_exist`.
pub(super) fn read(path: &Path, must_exist: bool) -> File {
    match contents(path) {
        Ok((text, mode)) => parse(path, &text, mode),
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => File::default(),
        Err(error) => {
            let fault = Fault { name: path.display().to_string(), message: format!("cannot be read: {error}") };
            File { faults: vec![fault], ..File::default() }
        }
    }
}

fn contents(path: &Path) -> std::io::Result<(String, u32)> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = String::new();
    if file.take(MOST_BYTES + 1).read_to_string(&mut text)? as u64 > MOST_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", MOST_BYTES / 1024)));
    }
    Ok((text, mode))
}

fn parse(path: &Path, text: &str, mode: u32) -> File {
    let mut file = File { mode: Some(mode), ..File::default() };
    let at = |offset: usize| format!(" ({}, line {})", path.display(), line_of(text, offset));
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            // Its own words only: the text around the place may hold a secret.
            let place = at(error.span().map_or(0, |span| span.start));
            let message = format!("is not TOML: {}{place}", error.message());
            file.faults.push(Fault { name: path.display().to_string(), message });
            return file;
        }
    };
    for (name, value) in table.get_ref() {
        let key = name.get_ref().as_ref();
        let place = at(name.span().start);
        let mut fault = |message: String| file.faults.push(Fault { name: key.to_owned(), message: message + &place });
        if !names::is_known(key) {
            let hint = names::nearest(key).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            fault(format!("there is no such setting{hint}"));
        } else if let Some(value) = value_of(value.get_ref()) {
            let line = line_of(text, name.span().start);
            file.entries.insert(key.to_owned(), Entry { value, line });
        } else {
            fault("must be text in quotes, a number, true or false, or a list of texts".to_owned());
        }
    }
    file
}

fn value_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(|value| value.get_ref().as_str()).collect();
            Some(texts?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Sets these names in the file, removes those without a value, and leaves all else as it is. The file is replaced as a
/// whole, and nobody else may read it.
pub fn change(path: &Path, changes: &[(&str, Option<&str>)]) -> std::io::Result<()> {
    let text = match contents(path) {
        Ok((text, _)) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let changed = edited(&text, changes)
        .ok_or_else(|| std::io::Error::other("it is not TOML, so it cannot be changed: correct or remove it"))?;
    // Where a link leads is replaced, not the link.
    replace(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), &changed)
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = PathBuf::from(format!("{}.{}.new", path.display(), std::process::id()));
    let written = (|| {
        let _ = std::fs::remove_file(&beside);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// None if the text is not TOML.
fn edited(text: &str, changes: &[(&str, Option<&str>)]) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut cuts: Vec<(Range<usize>, String)> = Vec::new();
    let mut added = String::new();
    for (name, value) in changes {
        let found = table.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == *name);
        match (found, value) {
            (Some((_, old)), Some(value)) => cuts.push((old.span(), quoted(value))),
            (Some((key, old)), None) => cuts.push((whole_lines(text, key.span().start..old.span().end), String::new())),
            (None, Some(value)) => added.extend([name, " = ", quoted(value).as_str(), "\n"]),
            (None, None) => {}
        }
    }
    // Before the first table, or the names would be the table's.
    let tables = table.get_ref().values().filter(|value| value.get_ref().is_table());
    let end = tables.map(|value| whole_lines(text, value.span()).start).min().unwrap_or(text.len());
    if !added.is_empty() {
        if !text[..end].is_empty() && !text[..end].ends_with('\n') {
            added.insert(0, '\n');
        }
        cuts.push((end..end, added));
    }
    // From the back, so that what is in front stays where it is.
    cuts.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    let mut text = text.to_owned();
    for (range, new) in cuts {
        text.replace_range(range, &new);
    }
    Some(text)
}

fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[range.end..].find('\n').map_or(text.len(), |newline| range.end + newline + 1);
    start..end
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                quoted.push_str("\\u00");
                quoted.push_str(&hex::encode([u8::try_from(c).unwrap_or_default()]));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> File {
        parse(Path::new("adjutant.toml"), text, PRIVATE)
    }

    fn values(file: &File) -> Vec<(&str, &str, usize)> {
        file.entries.iter().map(|(name, entry)| (name.as_str(), entry.value.as_str(), entry.line)).collect()
    }

    #[test]
    fn every_kind_of_value_is_read_as_the_environment_would_hold_it() {
        let file = parsed(
            "# mine\nADJUTANT_LISTEN = \"127.0.0.1:1\"\nADJUTANT_BEHIND_PROXY = true\n\n\
             ADJUTANT_ALLOWED_HOSTS = [\"a.example.org\", \"b.example.org\"]\nLLM_MODEL = 5\n",
        );
        assert!(file.faults.is_empty());
        let expected = [
            ("ADJUTANT_ALLOWED_HOSTS", "a.example.org,b.example.org", 5),
            ("ADJUTANT_BEHIND_PROXY", "true", 3),
            ("ADJUTANT_LISTEN", "127.0.0.1:1", 2),
            ("LLM_MODEL", "5", 6),
        ];
        assert_eq!(values(&file), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_no_secret_is_shown() {
        let file = parsed("\nLLM_MODELL = \"m\"\nllm_model = \"m\"\n[LLM_PROVIDER]\nx = 1\n");
        let faults: Vec<String> =
            file.faults.iter().map(|fault| format!("{}: {}", fault.name, fault.message)).collect();
        let mut expected = [
            "LLM_MODELL: there is no such setting; did you mean LLM_MODEL? (adjutant.toml, line 2)",
            "llm_model: there is no such setting; did you mean LLM_MODEL? (adjutant.toml, line 3)",
            "LLM_PROVIDER: must be text in quotes, a number, true or false, or a list of texts (adjutant.toml, line 4)",
        ];
        expected.sort_unstable();
        let mut faults: Vec<&str> = faults.iter().map(String::as_str).collect();
        faults.sort_unstable();
        assert_eq!(faults, expected);

        let file = parsed("LLM_MODEL = \"m\"\nOPENAI_API_KEY = sk-hunter2\n");
        let fault = &file.faults[0];
        assert!(fault.message.contains("line 2") && !fault.message.contains("hunter2"), "{fault:?}");
    }

    #[test]
    fn a_change_leaves_everything_else_as_it_is() {
        let text =
            "# mine\nLLM_MODEL = 'old' # the model\nOPENAI_BASE_URL = \"http://x\" # gone\n\nADJUTANT_LOG = \"info\"";
        let changes = [("LLM_MODEL", Some("new")), ("OPENAI_BASE_URL", None), ("LLM_PROVIDER", Some("openai"))];
        let changed = "# mine\nLLM_MODEL = \"new\" # the model\n\nADJUTANT_LOG = \"info\"\nLLM_PROVIDER = \"openai\"\n";
        assert_eq!(edited(text, &changes).unwrap(), changed);
        assert_eq!(edited(changed, &[]).unwrap(), changed);
        assert_eq!(edited("= broken", &changes), None);
    }

    #[test]
    fn whatever_is_written_is_read_again() {
        for value in ["", "plain", "\"quoted\" \\ back", "line\nbreak\ttab\u{1}\u{7f}", "Grüße 🐈", "'''", "[a]"] {
            let text = edited("", &[("LLM_MODEL", Some(value))]).unwrap();
            assert_eq!(values(&parsed(&text)), [("LLM_MODEL", value, 1)], "{text}");
        }
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_private() {
        let folder = std::env::temp_dir().join(format!("adjutant-file-{}", std::process::id()));
        let path = folder.join("deep").join(NAME);
        change(&path, &[("LLM_MODEL", Some("one"))]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        change(&path, &[("LLM_MODEL", Some("two"))]).unwrap();
        let file = read(&path, true);
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        let _ = std::fs::remove_dir_all(&folder);
        assert_eq!((values(&file), file.mode, left), (vec![("LLM_MODEL", "two", 1)], Some(PRIVATE), 1));
        assert!(read(&path, false).faults.is_empty());
        assert_eq!(read(&path, true).faults.len(), 1);
    }
}
