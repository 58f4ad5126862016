//! The tool source: all bridges by (user, server). Two users never share a session.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::scope::{Scope, UserId};
use adjutant_core::tool::{ServerTrouble, ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::base::Base;
use crate::bridge::Bridge;
use crate::config::Servers;
use crate::options::Options;
use crate::session::Known;

pub struct Bridges {
    base: Arc<Base>,
    known: Vec<Arc<Known>>,
    disabled: Vec<String>,
    /// One bridge per server for everybody who came by, in the order of `known`. Unused ones hold
    /// no task and no connection.
    users: Mutex<HashMap<UserId, Arc<[Arc<Bridge>]>>>,
}

/// What `doctor` prints of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    pub server: String,
    pub state: ServerState,
    pub tools: usize,
    /// How long the answer took.
    pub millis: u64,
    /// What is wrong, or what was left out. One safe sentence.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    Connected,
    Failed,
    Disabled,
}

impl Bridges {
    /// Connects to nothing yet.
    pub fn new(servers: Servers, options: Options) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::new(Base::new(options)),
            known: servers.enabled.into_iter().map(|server| Arc::new(Known::new(server))).collect(),
            disabled: servers.disabled,
            users: Mutex::default(),
        })
    }

    /// Starts connecting in the background, so that the first run finds the tools ready.
    pub fn warm(&self, scope: &Scope) {
        for bridge in self.of(&scope.user).iter() {
            bridge.wake();
        }
    }

    /// Connects to every server and says how that went.
    pub async fn check(&self, scope: &Scope) -> Vec<ServerReport> {
        let limits = &self.base.options.limits;
        // The stateless greeting, then `initialize`, then the listing.
        let limit = limits.connect * 2 + limits.list;
        let bridges = self.of(&scope.user);
        let connected = bridges.iter().map(|bridge| async move {
            let began = Instant::now();
            let session = bridge.connected(limit).await;
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let server = bridge.server().to_owned();
            match session {
                Ok(session) => {
                    let tools = session.tools();
                    let reason = tools.trouble.clone();
                    ServerReport { server, state: ServerState::Connected, tools: tools.specs.len(), millis, reason }
                }
                Err(reason) => {
                    ServerReport { server, state: ServerState::Failed, tools: 0, millis, reason: Some(reason) }
                }
            }
        });
        let mut reports = join_all(connected).await;
        reports.extend(self.disabled.iter().map(|server| ServerReport {
            server: server.clone(),
            state: ServerState::Disabled,
            tools: 0,
            millis: 0,
            reason: None,
        }));
        reports
    }

    /// Ends all sessions and child processes and waits for them.
    pub async fn shutdown(&self) {
        self.base.finish().await;
    }

    fn of(&self, user: &UserId) -> Arc<[Arc<Bridge>]> {
        let bridge =
            |known: &Arc<Known>| Arc::new(Bridge::new(Arc::clone(known), user.clone(), Arc::clone(&self.base)));
        let mut users = self.users.lock();
        let bridges = users.entry(user.clone()).or_insert_with(|| self.known.iter().map(bridge).collect());
        Arc::clone(bridges)
    }

    async fn catalogue(&self, scope: &Scope) -> ToolCatalogue {
        let bridges = self.of(&scope.user);
        join_all(bridges.iter().map(Bridge::settle)).await;
        let mut catalogue = ToolCatalogue::default();
        for bridge in bridges.iter() {
            let trouble = match bridge.session() {
                Ok(session) => {
                    let tools = session.tools();
                    catalogue.tools.extend(tools.specs.iter().cloned());
                    tools.trouble.clone()
                }
                Err(reason) => Some(reason),
            };
            let server = bridge.server().to_owned();
            catalogue.troubles.extend(trouble.map(|reason| ServerTrouble { server, reason }));
        }
        catalogue.tools.sort_by(|a, b| a.name.cmp(&b.name));
        // Two servers' names can only meet through the hash of a long one; the first one stays.
        catalogue.tools.dedup_by(|a, b| a.name == b.name);
        catalogue
    }

    async fn invoke(&self, scope: &Scope, request: ToolRequest) -> Result<ToolReply, ToolError> {
        let bridges = self.of(&scope.user);
        let Some(bridge) = bridges.iter().find(|bridge| bridge.server() == request.server) else {
            return Err(ToolError::Unavailable(format!("there is no MCP server {:?}", request.server)));
        };
        let Value::Object(arguments) = &request.arguments else {
            return Err(ToolError::Refused("the arguments of a tool must be an object".to_owned()));
        };
        bridge.call(&request, arguments.clone()).await
    }
}

impl ToolSource for Bridges {
    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, ToolCatalogue> {
        self.catalogue(scope).boxed()
    }

    fn call<'a>(&'a self, scope: &'a Scope, request: ToolRequest) -> BoxFuture<'a, Result<ToolReply, ToolError>> {
        self.invoke(scope, request).boxed()
    }
}
