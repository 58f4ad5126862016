//! Files that go with a message: read here, uploaded at once, named in the next message.

use std::io::Read as _;
use std::path::Path;

use super::rest::Rest;
use super::talk::Talk;

/// No server takes more, so no more is read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A file that the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) id: String,
    pub(super) name: String,
}

/// A file of this machine.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Local {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let name = path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned());
        let file = std::fs::File::open(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        // A pipe or a device may never end.
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            return Err(format!("{shown} is no file"));
        }
        Self::of(name, file).map_err(|error| format!("{shown} cannot be read: {error}"))
    }

    /// All of standard input; none if there is nothing.
    pub(super) fn standard_input() -> Result<Option<Self>, String> {
        let read = Self::of("stdin".to_owned(), std::io::stdin().lock());
        let local = read.map_err(|error| format!("standard input cannot be read: {error}"))?;
        Ok(Some(local).filter(|local| !local.bytes.is_empty()))
    }

    fn of(name: String, from: impl std::io::Read) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(std::io::Error::other(format!("it is larger than {} MiB", MOST_BYTES / 1024 / 1024)));
        }
        Ok(Self { name, bytes })
    }

    pub(super) async fn upload(self, rest: &Rest) -> Result<Attached, String> {
        let Self { name, bytes } = self;
        let id = rest.upload(&name, bytes).await.map_err(|sentence| format!("{name} is not sent: {sentence}"))?;
        Ok(Attached { id, name })
    }
}

impl Talk {
    pub(super) async fn attach(&mut self, path: &Path) -> Result<(), String> {
        let file = Local::read(path)?.upload(&self.rest).await?;
        self.files.push(file);
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        self.screen.note(&format!("goes with the next message: {}", names.join(", ")));
        Ok(())
    }
}
