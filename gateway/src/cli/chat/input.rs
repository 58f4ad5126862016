//! What the person types, line by line, and the file that holds a key.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stdin};
use std::path::Path;
use std::thread;

use secrecy::SecretString;
use tokio::sync::mpsc;

/// Lines from a terminal; from a pipe the whole of it is one message. Closed at the end of the input.
///
/// A thread of its own, because a read from a terminal cannot be taken back: it must not keep the runtime from ending.
pub(super) fn messages() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    thread::spawn(move || {
        if stdin().is_terminal() {
            for line in stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        } else {
            let mut whole = Vec::new();
            if stdin().lock().read_to_end(&mut whole).is_ok() {
                let _ = sender.blocking_send(String::from_utf8_lossy(&whole).into_owned());
            }
        }
    });
    receiver
}

/// One message, known already.
pub(super) fn one(message: &str) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    // There is room for it.
    let _ = sender.try_send(message.to_owned());
    receiver
}

/// The first line of a file that holds a key.
pub(super) fn key_in(file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned().into())
}
