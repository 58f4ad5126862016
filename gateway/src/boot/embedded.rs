//! The embedded database server: started, watched, started again when it dies, stopped last.

use std::future::pending;
use std::time::Duration;

use adjutant_postgres::{Connection, Launcher, Options, Server, StopMode};
use anyhow::{Context, Result};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::config::data::Data;
use crate::config::database::Database;

/// The hidden subcommand that becomes the server.
pub const LAUNCH: &str = "internal-postgres";

/// Between two looks at the server when nothing hints at its end.
const LOOK: Duration = Duration::from_secs(5);
/// Restarts in a row before this process gives up; one that lasted a while begins a new row.
const RESTARTS: u32 = 5;
const LASTED: Duration = Duration::from_mins(1);

/// Where it lives and how it is started; `None` for a server of the operator's own.
pub fn options(data: &Data, database: &Database) -> Result<Option<Options>> {
    let Database::Embedded { install } = database else { return Ok(None) };
    let program = std::env::current_exe().context("the path of this program cannot be found")?;
    Ok(Some(Options {
        data_dir: data.postgres_dir(),
        cache_dir: data.cache_dir.clone(),
        install: install.clone(),
        settings: Vec::new(),
        launcher: Launcher { program, args: vec![LAUNCH.into()] },
        durable: true,
    }))
}

/// URLs of application and admin.
pub struct Urls {
    pub app: SecretString,
    pub admin: SecretString,
}

/// The application's password follows from the superuser's, so that there is one secret to keep.
pub fn urls(connection: &Connection) -> Result<Urls> {
    let superuser = connection.superuser_password();
    let app = hex::encode(Sha256::digest(format!("adjutant_app\0{superuser}")));
    Ok(Urls {
        app: url(connection, "adjutant_app", &app, "assistant_system")?,
        admin: url(connection, connection.superuser(), superuser, "postgres")?,
    })
}

fn url(connection: &Connection, user: &str, password: &str, database: &str) -> Result<SecretString> {
    let mut url = Url::parse(&format!("postgres://localhost:{}/{database}", connection.port()))?;
    let fits = url.set_username(user).and_then(|()| url.set_password(Some(password)));
    fits.map_err(|()| anyhow::anyhow!("the database's password cannot be written into a URL"))?;
    let socket = connection.socket_dir().to_str().context("the path of the database's socket is not UTF-8")?;
    url.query_pairs_mut().append_pair("host", socket);
    Ok(String::from(url).into())
}

/// The server of this process.
pub struct Embedded {
    options: Options,
    server: Option<Server>,
}

impl Embedded {
    pub async fn start(options: Options) -> Result<Self> {
        let server = Some(start(options.clone()).await?);
        Ok(Self { options, server })
    }

    pub fn connection(&self) -> Option<&Connection> {
        self.server.as_ref().map(Server::connection)
    }

    /// Starts the server again whenever it dies; everything else reconnects by itself. Returns only
    /// when that is of no use any more.
    pub async fn watch(&mut self) -> anyhow::Error {
        let Ok(mut children) = signal(SignalKind::child()) else { return pending().await };
        let mut restarts = 0;
        let mut since = Instant::now();
        loop {
            tokio::select! {
                _ = children.recv() => {}
                () = sleep(LOOK) => {}
            }
            let Some(status) = self.server.as_mut().and_then(Server::try_exited) else { continue };
            restarts = if since.elapsed() > LASTED { 1 } else { restarts + 1 };
            if restarts > RESTARTS {
                return anyhow::anyhow!("the embedded database ended {restarts} times in a row, last with {status}");
            }
            tracing::error!(%status, "the embedded database ended; it is started again");
            // The old one holds the lock on the data directory.
            self.server = None;
            match start(self.options.clone()).await {
                Ok(server) => self.server = Some(server),
                Err(error) => return error.context("the embedded database ended and cannot be started again"),
            }
            tracing::info!("the embedded database is back");
            since = Instant::now();
        }
    }

    pub async fn stop(self) -> Result<()> {
        let Some(server) = self.server else { return Ok(()) };
        tokio::task::spawn_blocking(move || server.stop(StopMode::Fast)).await?.context("the database was not stopped")
    }
}

async fn start(options: Options) -> Result<Server> {
    Ok(tokio::task::spawn_blocking(move || Server::start(&options)).await??)
}
