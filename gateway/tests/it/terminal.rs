//! A terminal to run commands on: what is typed, and what is shown.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::ws_support::PATIENCE;

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    columns: u16,
    rows: u16,
    keyboard: File,
    screen: mpsc::UnboundedReceiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// How much of it was waited for.
    seen: usize,
    child: Child,
}

impl Terminal {
    pub(crate) fn open(command: &mut Command) -> Self {
        Self::sized(command, 80, 24)
    }

    pub(crate) fn sized(command: &mut Command, columns: u16, rows: u16) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let far = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let far = File::from(far);
        tcsetwinsize(&far, size(columns, rows)).unwrap();
        command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
        let child = command.spawn().unwrap();
        // The command keeps its ends of the terminal open otherwise.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(near);
        let mut reading = keyboard.try_clone().unwrap();
        let (sender, screen) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { columns, rows, keyboard, screen, bytes: Vec::new(), seen: 0, child }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this stands behind what was waited for before.
    pub(crate) async fn until(&mut self, text: &str) {
        loop {
            let fresh = &self.bytes[self.seen..];
            if let Some(at) = fresh.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.seen += at + text.len();
                return;
            }
            self.more(text).await;
        }
    }

    /// Waits until one of these stands behind what was waited for before.
    pub(crate) async fn until_any(&mut self, texts: &[&str]) {
        loop {
            let fresh = &self.bytes[self.seen..];
            let at = |text: &&str| fresh.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(end) = texts.iter().filter_map(|text| Some(at(text)? + text.len())).min() {
                self.seen += end;
                return;
            }
            self.more(texts[0]).await;
        }
    }

    /// Waits until a row of the screen, as a person sees it, is this.
    pub(crate) async fn until_row(&mut self, row: &str) {
        while !self.seen().iter().any(|seen| seen == row) {
            self.more(row).await;
        }
    }

    /// Waits until the whole screen is this.
    pub(crate) async fn until_seen(&mut self, rows: &[&str]) {
        while self.seen() != rows {
            self.more(&rows.join(" / ")).await;
        }
    }

    async fn more(&mut self, awaited: &str) {
        match tokio::time::timeout(PATIENCE, self.screen.recv()).await {
            Ok(Some(more)) => self.bytes.extend(more),
            Ok(None) | Err(_) => panic!("{awaited:?} is not shown: {}\n{:#?}", self.shown(), self.seen()),
        }
    }

    /// The rows that a person sees, without empty ones at the end.
    pub(crate) fn seen(&self) -> Vec<String> {
        let mut rows: Vec<String> =
            self.emulated().screen().rows(0, self.columns).map(|row| row.trim_end().to_owned()).collect();
        while rows.last().is_some_and(String::is_empty) {
            rows.pop();
        }
        rows
    }

    /// Row and column of the cursor.
    pub(crate) fn place(&self) -> (u16, u16) {
        self.emulated().screen().cursor_position()
    }

    fn emulated(&self) -> vt100::Parser {
        let size = |size| NonZeroU16::new(size).unwrap();
        let mut parser = vt100::Parser::new(size(self.rows), size(self.columns), 0);
        parser.process(&self.bytes);
        parser
    }

    /// The window gets another size; the command hears of it as of a real one.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        (self.columns, self.rows) = (columns, rows);
        tcsetwinsize(&self.keyboard, size(columns, rows)).unwrap();
        self.signal(Signal::WINCH);
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) async fn end(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
