//! Ending a server: politely, then less so.
#![expect(clippy::disallowed_methods, reason = "std offers no wait for a child with a time limit, so this polls")]

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::server::Server;

/// How long a fast stop may take to write its last checkpoint before it is cut short. The data survives both.
const PATIENCE: Duration = Duration::from_secs(30);
const LAST_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends sessions, writes a checkpoint.
    Fast,
    /// No checkpoint: the next start replays the log.
    Immediate,
}

pub(crate) fn stop(server: &mut Server, mode: StopMode) -> Result<(), Error> {
    if server.try_exited().is_some() {
        return Ok(());
    }
    let ended = match mode {
        StopMode::Fast => end(&mut server.child, Signal::INT, PATIENCE)?,
        StopMode::Immediate => false,
    };
    if !ended && !end(&mut server.child, Signal::QUIT, LAST_PATIENCE)? {
        server.child.kill().and_then(|()| server.child.wait()).map_err(Error::io("stop", "postgres"))?;
    }
    server.try_exited();
    Ok(())
}

/// Sends the signal and waits; `false` when the child outlives the time. The child is not reaped before, so
/// its number cannot belong to anybody else.
fn end(child: &mut Child, signal: Signal, patience: Duration) -> Result<bool, Error> {
    let deadline = Instant::now() + patience;
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
    loop {
        if child.try_wait().map_err(Error::io("wait for", "postgres"))?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
