//! From settings to a server, and its end: stop accepting, drain, release runs, stop the database.

use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::clock::SystemClock;
use adjutant_core::limits;
use adjutant_core::model::LlmClient;
use adjutant_core::prompt;
use adjutant_core::run::state::RunLimits;
use adjutant_engine::engine::{Engine, Parts};
use adjutant_engine::supervisor::Supervisor;
use adjutant_llm::router::Router;
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use adjutant_store::listen::Replica;
use adjutant_store::store::Store;
use adjutant_store::vault::Vault;
use anyhow::{Context, Result};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::database::{self, Reached};
use super::embedded::Embedded;
use super::{directory, first_key, listening, profiles, vault};
use crate::app::App;
use crate::auth::keys::Keys;
use crate::config::Config;
use crate::config::model::Model;
use crate::http::server::{self, Ending};

/// For tasks that do not end when they are asked to.
const LAST: Duration = Duration::from_secs(10);
/// Between two looks whether runs have ended while draining.
const LOOK: Duration = Duration::from_millis(50);

/// A server that is ready to serve.
pub struct Ready {
    pub app: App,
    /// The first key, when it was made now: to be shown once.
    pub new_key: Option<SecretString>,
    /// The key file of the vault, when it was made now.
    pub new_key_file: Option<PathBuf>,
    embedded: Option<Embedded>,
    replica: Replica,
}

/// Opens the database and builds everything behind the doors.
pub async fn prepare(config: Config) -> Result<Ready> {
    let reached = database::reach(&config.data, &config.database).await?;
    match build(config, &reached).await {
        Ok(built) => Ok(Ready {
            app: built.app,
            new_key: built.new_key,
            new_key_file: built.new_key_file,
            embedded: reached.embedded,
            replica: built.replica,
        }),
        Err(error) => {
            let _ = reached.close().await;
            Err(error)
        }
    }
}

struct Built {
    app: App,
    new_key: Option<SecretString>,
    new_key_file: Option<PathBuf>,
    replica: Replica,
}

async fn build(config: Config, reached: &Reached) -> Result<Built> {
    let keys = vault::open(&config.data, &config.database, &config.vault)?;
    let store = reached.open().await?;
    warn_of_missing_keys(&store, &keys.vault).await?;
    let new_key = first_key::seed(&store, &config.owner).await?;
    profiles::seed(&store, &config.profiles).await?;
    let replica = Replica::join(&store).await.context("this replica could not join the others")?;
    let supervisor = Supervisor::new();
    for warning in &config.mcp.servers.warnings {
        tracing::warn!(%warning, "in the MCP configuration");
    }
    let options = Options {
        tasks: supervisor.tracker().clone(),
        stop: supervisor.stopping().clone(),
        child_env: config.mcp.child_env.clone(),
        asks: true,
        ..Options::default()
    };
    let directory = directory::directory(&store, &keys.vault, &config.mcp.servers);
    let bridges = Bridges::new(config.mcp.servers.clone(), Some(directory), options);
    let engine = Engine::new(Parts {
        store: store.clone(),
        llm: llm(&config.model).await?,
        tools: Arc::clone(&bridges) as _,
        clock: Arc::new(SystemClock),
        supervisor,
        replica: replica.number(),
        system_prompt: prompt::SYSTEM.to_owned(),
        vault: keys.vault,
        run_limits: RunLimits::default(),
    });
    let known = Keys::new(store);
    // Notices arrive since the replica joined, and no key was looked up before.
    known.listening();
    let app = App::new(engine, known, config, bridges);
    let engine = app.engine().clone();
    app.supervisor().spawn("recovery", async move { engine.keep_recovering().await });
    let engine = app.engine().clone();
    app.supervisor().spawn("purge", async move { engine.keep_purging().await });
    let engine = app.engine().clone();
    app.supervisor().spawn("leases", async move { engine.keep_leases().await });
    Ok(Built { app, new_key, new_key_file: keys.made, replica })
}

/// A lost key is no reason not to start: what needs it says so when it is used.
async fn warn_of_missing_keys(store: &Store, vault: &Vault) -> Result<()> {
    let missing = vault::missing_keys(store, vault).await?;
    if !missing.is_empty() {
        tracing::warn!(
            keys = missing.join(", "),
            "stored credentials are encrypted with keys that this server does not have, and cannot be used: give it \
             those keys in CREDENTIALS_ENCRYPTION_KEY or master.key"
        );
    }
    Ok(())
}

/// The router of models. Where none is configured a local one is looked for, now and whenever one is needed.
async fn llm(model: &Model) -> Result<Arc<dyn LlmClient>> {
    let router = Router::new(model.operator.clone())?;
    router.look_again().await;
    Ok(Arc::new(router))
}

impl Ready {
    /// Whether a model is configured, or one was found on this machine.
    pub fn has_model(&self) -> bool {
        self.app.engine().default_model().is_some()
    }

    /// Serves until `shutdown` resolves, then ends everything in order.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self { app, new_key: _, new_key_file: _, mut embedded, replica } = self;
        let listening = listening::keep_listening(replica, app.clone());
        let result = tokio::select! {
            () = serve_and_end(listener, app, shutdown) => Ok(()),
            // Holds the replica's lock until its runs are handed over: nobody takes it for dead before.
            () = listening => Ok(()),
            error = watch(&mut embedded) => Err(error),
        };
        if let Some(embedded) = embedded {
            let stopped = embedded.stop().await;
            result.and(stopped)
        } else {
            result
        }
    }
}

async fn watch(embedded: &mut Option<Embedded>) -> anyhow::Error {
    match embedded {
        Some(embedded) => embedded.watch().await,
        None => pending().await,
    }
}

async fn serve_and_end(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) {
    let ending = Ending::default();
    let accepting = server::serve(listener, app.clone(), ending.clone());
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    tracing::info!(runs.active = app.engine().active_runs(), "stopping");
    ending.gently.cancel();
    let idle = async {
        while app.engine().active_runs() > 0 {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(limits::DRAIN, idle).await;
    // Workers hand their runs over, sockets close, bridges end.
    app.supervisor().stopping().cancel();
    let ended = async {
        app.bridges().shutdown().await;
        app.supervisor().stop().await;
    };
    tokio::pin!(ended);
    if timeout(limits::DRAIN, &mut ended).await.is_err() {
        ending.now.cancel();
        if timeout(LAST, ended).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }
    if timeout(LAST, app.store().close()).await.is_err() {
        tracing::warn!("the database connections did not close in time");
    }
}
