//! One live connection: the handshake, the list of tools, calls. Knows nothing of reconnecting.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adjutant_core::scope::UserId;
use adjutant_core::tool::ToolReply;
use futures::FutureExt;
use futures::future::{BoxFuture, Fuse, FusedFuture, pending};
use parking_lot::RwLock;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, JsonObject,
    PaginatedRequestParams, ProtocolVersion, SubscriptionFilter,
};
use rmcp::service::{
    ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, ClientServiceExt, NotificationContext,
    RunningService, RunningServiceCancellationToken,
};
use rmcp::{ClientHandler, Peer, RoleClient};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::base::Base;
use crate::config::{Lifecycle, Server, Transport};
use crate::failure::{CallFailure, Initialize, Refusal, call as call_failure, handshake as handshake_refusal};
use crate::http::transport as http_transport;
use crate::options::Limits;
use crate::reply;
use crate::stdio::{Watched, start};
use crate::tools::Tools;

/// Pages of one listing; a server that goes on for ever is cut here.
const PAGES: usize = 64;

/// A server and what was learned about it, shared by all users' bridges to it.
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

/// Why the tools could not be read.
pub(crate) struct ListFailure {
    pub(crate) reason: String,
    /// There was no answer at all.
    pub(crate) silent: bool,
}

pub(crate) struct Session {
    peer: Peer<RoleClient>,
    server: String,
    /// Cancelled when the connection is known to be of no more use.
    pub(crate) gone: CancellationToken,
    /// The server says that its tools changed, or somebody doubts that it is well.
    pub(crate) changed: Arc<Notify>,
    tools: RwLock<Arc<Tools>>,
}

/// A session and what its keeper needs: how to end it and how to learn that it has ended.
pub(crate) struct Live {
    pub(crate) session: Arc<Session>,
    ended: Fuse<BoxFuture<'static, ()>>,
    cancel: RunningServiceCancellationToken,
    child: Option<Watched>,
}

/// Connects and lists the tools.
pub(crate) async fn open(known: &Known, user: &UserId, base: &Base) -> Result<Live, String> {
    let limits = &base.options.limits;
    let attempt = Attempt { known, base, changed: Arc::default() };
    let (running, child) = attempt.connect().await.map_err(|refusal| refusal.reason)?;
    // The list is kept here; a copy in the library would answer for a server that is dead.
    running.set_response_cache_config(ClientCacheConfig::disabled()).await;
    let gone = child.as_ref().map_or_else(CancellationToken::new, |child| child.gone.clone());
    let session = Arc::new(Session {
        peer: running.peer().clone(),
        server: known.config.name.clone(),
        gone,
        changed: attempt.changed,
        tools: RwLock::default(),
    });
    let cancel = running.cancellation_token();
    let ended = async move {
        let _ = running.waiting().await;
    };
    let ended = ended.boxed().fuse();
    let mut live = Live { session, ended, cancel, child };
    if let Err(failure) = live.session.refresh(limits).await {
        let reason = match &mut live.child {
            Some(child) if child.gone.is_cancelled() => child.epitaph().await,
            _ => failure.reason,
        };
        live.close(limits.kill_grace).await;
        return Err(reason);
    }
    let protocol = live.session.peer.peer_info().map(|info| info.protocol_version.to_string());
    tracing::info!(
        mcp.server = known.config.name,
        user.id = %user,
        mcp.tools = live.session.tools().specs.len(),
        mcp.protocol = protocol,
        "connected to an MCP server"
    );
    Ok(live)
}

type Running = RunningService<RoleClient, Handler>;

struct Attempt<'a> {
    known: &'a Known,
    base: &'a Base,
    changed: Arc<Notify>,
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
                let door =
                    self.base.door.as_ref().ok_or_else(|| Refusal::new("HTTPS could not be set up on this machine"))?;
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
        Handler { changed: Arc::clone(&self.changed) }
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

/// What a server may ask of us: nothing but a ping. Elicitation, sampling and roots are not offered.
pub(crate) struct Handler {
    changed: Arc<Notify>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let adjutant = Implementation::new("adjutant", env!("CARGO_PKG_VERSION"));
        let mut info = ClientConfig::new(ClientCapabilities::default(), adjutant);
        // The library would announce the newest version, which knows no `initialize`, inside one.
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

impl Session {
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_cancelled() || self.peer.is_transport_closed()
    }

    pub(crate) fn tools(&self) -> Arc<Tools> {
        Arc::clone(&self.tools.read())
    }

    /// Reads the list of tools again. On failure the old list stays.
    pub(crate) async fn refresh(&self, limits: &Limits) -> Result<(), ListFailure> {
        let listed = timeout(limits.list, self.list(limits)).await.map_err(|_| ListFailure {
            reason: format!("it did not list its tools within {:?}", limits.list),
            silent: true,
        })?;
        let tools = listed.map_err(|reason| ListFailure { reason, silent: false })?;
        *self.tools.write() = Arc::new(Tools::accept(&self.server, tools, limits));
        Ok(())
    }

    async fn list(&self, limits: &Limits) -> Result<Vec<rmcp::model::Tool>, String> {
        let mut tools = Vec::new();
        if self.peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(tools);
        }
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let listed = self.peer.list_tools(Some(page)).await.map_err(|error| match call_failure(error) {
                CallFailure::NotSent(reason) | CallFailure::Unavailable(reason) | CallFailure::Lost(reason) => reason,
                CallFailure::Refused(_) | CallFailure::Answered(_) => "it refused to list its tools".to_owned(),
            })?;
            tools.extend(listed.tools);
            cursor = listed.next_cursor;
            // A few more than are kept, so that what is left out can be counted.
            if cursor.is_none() || tools.len() > limits.tools.saturating_mul(2) {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. Dropping the future, also at the time limit, tells the server to cancel.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        limit: Duration,
        result_bytes: usize,
    ) -> Result<ToolReply, CallFailure> {
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let answer = timeout(limit, Box::pin(self.peer.call_tool_once(request))).await.map_err(|_| {
            // Is it only this call, or the whole server?
            self.changed.notify_one();
            CallFailure::Lost(format!("no answer within {limit:?}"))
        })?;
        match answer {
            Ok(CallToolResponse::Complete(result)) => Ok(reply::from_result(&result, result_bytes)),
            Ok(CallToolResponse::InputRequired(_)) => {
                Ok(reply::from_error("the tool asks for more input, which is not supported here", result_bytes))
            }
            Ok(_) => Err(CallFailure::Lost("it went on in the background, which is not supported here".to_owned())),
            Err(error) => match call_failure(error) {
                CallFailure::Answered(text) => Ok(reply::from_error(&text, result_bytes)),
                failure => Err(failure),
            },
        }
    }
}

impl Live {
    /// Waits for the end of the connection and says why it ended.
    pub(crate) async fn end(&mut self) -> String {
        let gone = self.session.gone.clone();
        tokio::select! {
            () = &mut self.ended => {}
            () = gone.cancelled() => {}
        }
        self.session.gone.cancel();
        match &mut self.child {
            Some(child) => child.epitaph().await,
            None => "the connection was lost".to_owned(),
        }
    }

    /// Ends the session in order. What does not end in time goes on by itself and ends with a kill.
    pub(crate) async fn close(mut self, grace: Duration) {
        self.session.gone.cancel();
        self.cancel.cancel();
        if !self.ended.is_terminated() && timeout(grace, &mut self.ended).await.is_err() {
            tracing::debug!(mcp.server = self.session.server, "an MCP session did not end in time");
        }
    }
}

/// Follows the changes of a stateless server, which tells them only to those who ask. Never ends.
pub(crate) async fn follow(session: Arc<Session>, pause: Duration) -> Infallible {
    let asks = session.peer.peer_info().is_some_and(|info| {
        let tells = info.capabilities.tools.as_ref().and_then(|tools| tools.list_changed);
        !info.protocol_version.has_initialize() && tells == Some(true)
    });
    if !asks {
        return pending().await;
    }
    loop {
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        if let Ok(mut changes) = session.peer.listen(filter).await {
            // Also for what changed between the listing and now.
            session.changed.notify_one();
            while let Ok(Some(_)) = changes.next().await {
                session.changed.notify_one();
            }
        }
        tokio::time::sleep(pause).await;
    }
}
