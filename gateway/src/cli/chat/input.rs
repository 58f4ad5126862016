//! What the person types, and the file that holds a key.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _, stderr, stdin};
use std::path::Path;
use std::thread;

use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use tokio::sync::mpsc;

const CHUNK: usize = 4096;
/// The terminal marks what is pasted, so that its line breaks are told from Enter.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const MARK_NO_PASTES: &[u8] = b"\x1b[?2004l";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A whole line, or all of a pipe.
    Line(String),
    /// As the keys come.
    Bytes(Vec<u8>),
}

/// Lines from a terminal; from a pipe the whole of it is one message. Closed at the end of the input.
///
/// A thread of its own, because a read from a terminal cannot be taken back: it must not keep the runtime from ending.
pub(super) fn messages() -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        if stdin().is_terminal() {
            for line in stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(Typed::Line(line)).is_err() {
                    return;
                }
            }
        } else {
            let mut whole = Vec::new();
            if stdin().lock().read_to_end(&mut whole).is_ok() {
                let _ = sender.blocking_send(Typed::Line(String::from_utf8_lossy(&whole).into_owned()));
            }
        }
    });
    receiver
}

/// Keys from a terminal, which must be [`Raw`].
pub(super) fn keys() -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        let mut bytes = [0; CHUNK];
        while let Ok(count @ 1..) = stdin().lock().read(&mut bytes) {
            if sender.blocking_send(Typed::Bytes(bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One message, known already.
pub(super) fn one(message: &str) -> mpsc::Receiver<Typed> {
    let (sender, receiver) = mpsc::channel(1);
    // There is room for it.
    let _ = sender.try_send(Typed::Line(message.to_owned()));
    receiver
}

/// The terminal hands over each key and shows none, until this is dropped. Ctrl-C and Ctrl-Z stay signals.
pub(super) struct Raw {
    before: Termios,
    raw: Termios,
}

impl Raw {
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN);
        // Enter and a line break are told apart here.
        raw.input_modes.remove(InputModes::ICRNL);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let this = Self { before, raw };
        this.again()?;
        Ok(this)
    }

    /// After the terminal was somebody else's for a while.
    pub(super) fn again(&self) -> io::Result<()> {
        // What was typed before is not lost.
        tcsetattr(stdin(), OptionalActions::Now, &self.raw)?;
        stderr().write_all(MARK_PASTES)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = stderr().write_all(MARK_NO_PASTES);
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// The first line of a file that holds a key.
pub(super) fn key_in(file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned().into())
}
