//! A terminal to run commands on: what is typed, and what is shown.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::ws_support::PATIENCE;

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    keyboard: File,
    screen: mpsc::UnboundedReceiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// How much of it was waited for.
    seen: usize,
    child: Child,
}

impl Terminal {
    pub(crate) fn open(command: &mut Command) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let far = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let far = File::from(far);
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
        Self { keyboard, screen, bytes: Vec::new(), seen: 0, child }
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
            match tokio::time::timeout(PATIENCE, self.screen.recv()).await {
                Ok(Some(more)) => self.bytes.extend(more),
                Ok(None) | Err(_) => panic!("{text:?} is not shown: {}", self.shown()),
            }
        }
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    }

    pub(crate) async fn end(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}
