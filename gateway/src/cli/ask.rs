//! Questions on a terminal: one line each, and secrets that must not be seen. Talk goes to stderr.

use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _, Read as _, Write as _, stderr, stdin};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACES: [u8; 2] = [8, 127];
/// Longer than any key.
const LONGEST_SECRET: usize = 16 * 1024;

/// Whether somebody is there to answer.
pub(super) fn is_possible() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// What was typed, without spaces around it; none if the terminal was closed.
pub(super) fn line(question: &str) -> io::Result<Option<String>> {
    stderr().write_all(question.as_bytes())?;
    let mut line = String::new();
    match stdin().lock().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Some(String::new())),
        Err(error) => Err(error),
    }
}

/// A secret, typed or pasted without being shown. Ctrl-C is [`ErrorKind::Interrupted`]: the terminal is as it was then.
pub(super) fn secret(question: &str) -> io::Result<SecretString> {
    // Before the question, or what is typed at once would be seen, or lost.
    let before = Hidden::begin()?;
    stderr().write_all(question.as_bytes())?;
    let read = read_secret();
    drop(before);
    stderr().write_all(b"\n")?;
    read
}

/// The terminal shows nothing until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let shown = tcgetattr(stdin())?;
        let mut hidden = shown.clone();
        // Ctrl-C must not end the program before the terminal shows again what is typed.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

fn read_secret() -> io::Result<SecretString> {
    let mut typed: Vec<u8> = Vec::new();
    let mut byte = [0];
    let mut input = stdin().lock();
    while input.read(&mut byte)? == 1 {
        match byte[0] {
            b'\n' | b'\r' | CTRL_D => break,
            CTRL_C => return Err(ErrorKind::Interrupted.into()),
            gone if BACKSPACES.contains(&gone) => drop(typed.pop()),
            _ if typed.len() == LONGEST_SECRET => return Err(io::Error::other("it is too long")),
            other => typed.push(other),
        }
    }
    let text = String::from_utf8(typed).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(text.trim().to_owned().into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_a_terminal_nobody_is_asked() {
        use std::io::IsTerminal as _;
        assert_eq!(super::is_possible(), std::io::stdin().is_terminal() && std::io::stderr().is_terminal());
    }
}
