//! From a configured server to a live session: the greeting in either generation of the protocol, and the
//! first listing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adjutant_core::scope::Owner;
use futures::FutureExt;
use rmcp::RoleClient;
use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::base::Base;
use crate::calls::Calls;
use crate::config::{Lifecycle, Server, Transport};
use crate::egress::check_url;
use crate::failure::{Initialize, Refusal, handshake as handshake_refusal};
use crate::handler::Handler;
use crate::http::transport as http_transport;
use crate::session::{Live, Session};
use crate::stdio::{Watched, start};

/// A server and what was learned about it, shared by all owners' bridges to it.
pub(crate) struct Known {
    pub(crate) config: Server,
    /// It took `initialize` and not the stateless greeting: the next connection asks that at once.
    /// Otherwise each one would wait out the library's 10 s for a server that ignores what it does
    /// not know.
    initialize_first: AtomicBool,
}

impl Known {
    pub(crate) fn new(config: Server) -> Self {
        Self { config, initialize_first: AtomicBool::new(false) }
    }
}

/// Connects and lists the tools.
pub(crate) async fn open(known: &Known, owner: &Owner, base: &Arc<Base>) -> Result<Live, String> {
    let limits = &base.options.limits;
    let attempt = Attempt { known, base, changed: Arc::default(), calls: Arc::default() };
    let (running, child) = attempt.connect().await.map_err(|refusal| refusal.reason)?;
    // The list is kept here; a copy in the library would answer for a server that is dead.
    running.set_response_cache_config(ClientCacheConfig::disabled()).await;
    let gone = child.as_ref().map_or_else(CancellationToken::new, |child| child.gone.clone());
    let session = Session::new(running.peer().clone(), &known.config, base, gone, attempt.changed, attempt.calls);
    let cancel = running.cancellation_token();
    let ended = async move {
        let _ = running.waiting().await;
    };
    let ended = ended.boxed().fuse();
    let mut live = Live { session: Arc::new(session), ended, cancel, child };
    if let Err(failure) = live.session.refresh(limits).await {
        let reason = match &mut live.child {
            Some(child) if child.gone.is_cancelled() => child.epitaph().await,
            _ => failure.reason,
        };
        live.close(limits.kill_grace).await;
        return Err(reason);
    }
    tracing::info!(
        mcp.server = known.config.name,
        user.id = %owner.user,
        mcp.tools = live.session.tools().entries.len(),
        mcp.protocol = live.session.protocol(),
        "connected to an MCP server"
    );
    Ok(live)
}

type Running = RunningService<RoleClient, Handler>;

struct Attempt<'a> {
    known: &'a Known,
    base: &'a Base,
    changed: Arc<Notify>,
    calls: Arc<Calls>,
}

impl Attempt<'_> {
    /// `Auto` with two corrections. A server that takes offence at the stateless greeting (ends,
    /// answers nonsense, answers too late) gets `initialize` on a fresh connection; and what worked
    /// is remembered, so that nobody waits for the probe twice.
    async fn connect(&self) -> Result<(Running, Option<Watched>), Refusal> {
        let first = &self.known.initialize_first;
        let mode = match self.known.config.lifecycle {
            Lifecycle::Auto if first.load(Ordering::Relaxed) => Lifecycle::Initialize,
            configured => configured,
        };
        let connected = match self.greet(mode).await {
            Err(refusal) if mode == Lifecycle::Auto && refusal.initialize == Initialize::Now => {
                self.greet(Lifecycle::Initialize).await
            }
            other => other,
        };
        // A failed attempt forgets, so that a server that was replaced by a newer one is found out.
        let initialize = match &connected {
            Ok((running, _)) => running.peer_info().is_some_and(|info| info.protocol_version.has_initialize()),
            Err(refusal) => mode == Lifecycle::Auto && refusal.initialize == Initialize::NextTime,
        };
        first.store(initialize, Ordering::Relaxed);
        connected
    }

    async fn greet(&self, mode: Lifecycle) -> Result<(Running, Option<Watched>), Refusal> {
        match &self.known.config.transport {
            Transport::Stdio(config) => {
                let name = &self.known.config.name;
                let (transport, mut child) = start(name, config, self.base).map_err(Refusal::new)?;
                let greeted = self.handshake(self.handler().serve_with_lifecycle(transport, lifecycle(mode))).await;
                match greeted {
                    Ok(running) => Ok((running, Some(child))),
                    Err(refusal) if child.gone.is_cancelled() => {
                        let reason = format!("{} while being greeted", child.epitaph().await);
                        Err(Refusal { reason, ..refusal })
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Transport::Http(config) => {
                check_url(&config.url, config.network).map_err(Refusal::new)?;
                let door = self.base.door(config.network);
                let door = door.ok_or_else(|| Refusal::new("HTTPS could not be set up on this machine"))?;
                let transport = http_transport(door, config, &self.base.options.limits);
                let greeted = self.handshake(self.handler().serve_with_lifecycle(transport, lifecycle(mode))).await;
                greeted.map(|running| (running, None))
            }
        }
    }

    async fn handshake(
        &self,
        greeting: impl Future<Output = Result<Running, ClientInitializeError>>,
    ) -> Result<Running, Refusal> {
        let limit = self.base.options.limits.connect;
        match timeout(limit, Box::pin(greeting)).await {
            Ok(Ok(running)) => Ok(running),
            Ok(Err(error)) => Err(handshake_refusal(&error)),
            Err(_) => {
                let reason = format!("it did not answer the greeting within {limit:?}");
                Err(Refusal { reason, initialize: Initialize::NextTime })
            }
        }
    }

    fn handler(&self) -> Handler {
        let asks = self.base.options.asks;
        Handler { changed: Arc::clone(&self.changed), calls: Arc::clone(&self.calls), asks }
    }
}

fn lifecycle(mode: Lifecycle) -> ClientLifecycleMode {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    match mode {
        Lifecycle::Initialize => ClientLifecycleMode::Initialize,
        Lifecycle::Stateless => ClientLifecycleMode::Discover { preferred_versions },
        Lifecycle::Auto => ClientLifecycleMode::Auto {
            preferred_versions,
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        },
    }
}
