//! A server as a child process: started with a bare environment in a process group of its own,
//! read under a message limit, and ended by closing its input, SIGTERM, SIGKILL, in that order.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio as Pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::Base;
use crate::config::Stdio;
use crate::options::Options;

/// What a child writes to its error output, over its whole life, and in one log line.
const STDERR_BYTES: usize = 64 * 1024;
const STDERR_LINE: usize = 512;

/// The transport to one child. Dropping it ends the child.
pub(crate) struct StdioTransport {
    inner: AsyncRwTransport<RoleClient, Limited<ChildStdout>, ChildStdin>,
    gone: CancellationToken,
    _end: DropGuard,
}

/// What is known of the child while its transport is in use elsewhere.
pub(crate) struct Watched {
    /// Cancelled when nothing more will come from the child.
    pub(crate) gone: CancellationToken,
    exit: watch::Receiver<Option<String>>,
    oversize: Arc<AtomicBool>,
    message_bytes: usize,
}

impl Watched {
    /// Why the child is gone. Waits a moment for its exit status, which may come after its last
    /// output.
    pub(crate) async fn epitaph(&mut self) -> String {
        if self.oversize.load(Ordering::Acquire) {
            return format!("it sent a message larger than {} bytes", self.message_bytes);
        }
        let exited = timeout(Duration::from_secs(1), self.exit.wait_for(Option::is_some)).await;
        match exited {
            Ok(Ok(status)) => format!("its process ended ({})", status.as_deref().unwrap_or("no status")),
            _ => "its process closed the connection".to_owned(),
        }
    }
}

pub(crate) fn start(server: &str, config: &Stdio, base: &Base) -> Result<(StdioTransport, Watched), String> {
    let options = &base.options;
    let mut child = spawn(config, options).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "its command (or its working directory) was not found".to_owned(),
        io::ErrorKind::PermissionDenied => "its command may not be run".to_owned(),
        kind => format!("its command could not be started ({kind})"),
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("its command could not be started (no pipes)".to_owned());
    };
    let (gone, end) = (CancellationToken::new(), CancellationToken::new());
    let oversize = Arc::new(AtomicBool::new(false));
    let (exit, exited) = watch::channel(None);
    base.spawn(drain(server.to_owned(), stderr));
    base.spawn(keep(child, end.clone(), gone.clone(), exit, options.limits.kill_grace));
    let message_bytes = options.limits.message_bytes;
    let limited = Limited { inner: stdout, line: 0, limit: message_bytes, oversize: Arc::clone(&oversize) };
    // rmcp's own limit drops a long line and leaves its caller waiting; ours ends the session.
    let inner = AsyncRwTransport::new_client(limited, stdin).with_max_line_length(message_bytes.saturating_add(1));
    let transport = StdioTransport { inner, gone: gone.clone(), _end: end.drop_guard() };
    Ok((transport, Watched { gone, exit: exited, oversize, message_bytes }))
}

fn spawn(config: &Stdio, options: &Options) -> io::Result<Child> {
    let mut command = Command::new(&config.command);
    command.args(&config.args).env_clear();
    command.envs(options.child_env.iter().map(|(name, value)| (name, value)));
    command.envs(config.env.iter().map(|(name, value)| (name, value.expose_secret())));
    if let Some(cwd) = &config.cwd {
        command.current_dir(cwd);
    }
    command.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
    // The group reaches what a wrapper such as npx started; the drop reaches a lost runtime.
    command.process_group(0).kill_on_drop(true).spawn()
}

/// Owns the child: waits for its end, or brings it about once the transport is dropped.
async fn keep(
    mut child: Child,
    end: CancellationToken,
    gone: CancellationToken,
    exit: watch::Sender<Option<String>>,
    grace: Duration,
) {
    // Known only before the child is waited for.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            // The group may be gone already.
            let _ = kill_process_group(group, signal);
        }
    };
    let status = tokio::select! {
        status = child.wait() => status,
        () = end.cancelled() => finish(&mut child, grace, signal).await,
    };
    gone.cancel();
    // Whatever it started and left behind.
    signal(Signal::KILL);
    let status = status.map_or_else(|error| error.kind().to_string(), |status| status.to_string());
    exit.send_replace(Some(status));
}

/// The child's input is closed by now: that is the first and most polite request to end.
async fn finish(child: &mut Child, grace: Duration, signal: impl Fn(Signal)) -> io::Result<ExitStatus> {
    for next in [Signal::TERM, Signal::KILL] {
        if let Ok(status) = timeout(grace, child.wait()).await {
            return status;
        }
        signal(next);
    }
    child.wait().await
}

/// Reads the error output to its end, so that the child never blocks on it, and logs its beginning.
async fn drain(server: String, mut stderr: ChildStderr) {
    let mut buffer = vec![0; 4 * 1024];
    let mut logged = 0;
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        if logged >= STDERR_BYTES {
            continue;
        }
        logged += length;
        for line in String::from_utf8_lossy(&buffer[..length]).lines() {
            let line: String = line.chars().take(STDERR_LINE).collect();
            tracing::debug!(mcp.server = server, "{}", line.escape_debug());
        }
    }
}

impl Transport<RoleClient> for StdioTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await;
        if message.is_none() {
            self.gone.cancel();
        }
        message
    }

    /// Nothing: the drop that follows closes the child's input. Closing it here would wait for a
    /// send that a child with a full input never takes.
    async fn close(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Ends the stream when a line grows beyond the limit, so that it is never buffered whole.
struct Limited<R> {
    inner: R,
    line: usize,
    limit: usize,
    oversize: Arc<AtomicBool>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Limited<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.oversize.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if polled.is_ready() {
            let mut lines = buf.filled()[before..].split(|&byte| byte == b'\n');
            let mut line = self.line + lines.next().map_or(0, <[u8]>::len);
            let mut longest = line;
            for next in lines {
                line = next.len();
                longest = longest.max(line);
            }
            self.line = line;
            if longest > self.limit {
                self.oversize.store(true, Ordering::Release);
                buf.set_filled(before);
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(input: &[u8], limit: usize) -> (String, bool) {
        // Three bytes at a time, so that lines cross reads.
        let (mut sender, inner) = tokio::io::duplex(3);
        let mut limited = Limited { inner, line: 0, limit, oversize: Arc::default() };
        let mut out = String::new();
        let send = async move {
            let _ = sender.write_all(input).await;
        };
        let ((), read) = tokio::join!(send, async {
            let read = limited.read_to_string(&mut out).await;
            let over = limited.oversize.load(Ordering::Acquire);
            drop(limited);
            read.map(|_| over)
        });
        (out, read.unwrap())
    }

    #[tokio::test]
    async fn only_a_line_over_the_limit_ends_the_stream() {
        assert_eq!(read(b"12345\n12345\n\n1", 5).await, ("12345\n12345\n\n1".to_owned(), false));
        assert!(read(b"12\n123456\n1", 5).await.1);
        assert_eq!(read(b"123456", 5).await, ("123".to_owned(), true));
    }
}
