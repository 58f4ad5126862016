//! `adjutant serve`: binds the port before anything is started, says the address and a new key, serves.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::terminal;
use crate::boot::serve;
use crate::config::Config;
use crate::config::environment::{Environment, SettingsFile};

pub(super) async fn run(environment: &Environment) -> Result<ExitCode> {
    let config = Config::read(environment)?;
    if let Some(warning) = environment.file().and_then(SettingsFile::warning) {
        terminal::say(&warning);
    }
    raise_open_files();
    let listener = bind(config.doors.listen).await?;
    let address = listener.local_addr()?;
    let ready = serve::prepare(config).await?;
    if let Some(key) = &ready.new_key {
        terminal::data(&shown_once(key));
    }
    if let Some(file) = &ready.new_key_file {
        terminal::data(&format!(
            "Made {}, the key that encrypts stored credentials. Keep a copy of it, apart from backups of the database.",
            file.display()
        ));
    }
    terminal::data(&format!("Adjutant listens on http://{address}"));
    if !ready.has_model() {
        terminal::say(adjutant_llm::advice());
    }
    let asked = CancellationToken::new();
    tokio::select! {
        served = ready.serve(listener, asked.cancelled()) => served?,
        ended = second_signal(&asked) => ended?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} of {} is in use: stop the program that has it, or set ADJUTANT_LISTEN to another address",
            address.port(),
            address.ip()
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("port {} needs more rights: set ADJUTANT_LISTEN to one from 1024 on", address.port())
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("{} is no address of this machine: correct ADJUTANT_LISTEN", address.ip())
        }
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

fn shown_once(key: &SecretString) -> String {
    let line = "=".repeat(92);
    format!(
        "{line}\nYour key, shown only this once:\n\n  {}\n\nSend it as X-API-Key. `adjutant key create` makes another.\n{line}",
        key.expose_secret()
    )
}

/// The first signal asks for an orderly end, the second ends at once: the kernel then tells the database.
async fn second_signal(asked: &CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked.is_cancelled() {
            terminal::say("adjutant: ended at once");
            #[expect(clippy::disallowed_methods, reason = "the end must not wait for anything")]
            std::process::exit(1);
        }
        asked.cancel();
    }
}

/// Every connection is a file; many systems begin with room for 1,024.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
