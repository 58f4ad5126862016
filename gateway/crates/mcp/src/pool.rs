//! The tool source: all bridges by (user, profile, server). Two owners never share a session.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::scope::{Owner, Scope};
use adjutant_core::tool::{ServerTrouble, ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::base::Base;
use crate::bridge::{Bridge, is_accepted};
use crate::config::{Server, Servers, Transport};
use crate::content::{PromptEntry, PromptLine, ResourceEntry, ResourcePart};
use crate::directory::{Definition, Directory, Headers, OwnServer, Pin, Snapshot};
use crate::handshake::{Known, open};
use crate::options::Options;
use crate::reading;
use crate::session::Session;
use crate::tools::{Entry, Tools};

pub struct Bridges {
    base: Arc<Base>,
    /// The operator's servers.
    known: Vec<Arc<Known>>,
    disabled: Vec<String>,
    directory: Option<Directory>,
    /// The bridges of everybody who came by. Unused ones hold no task and no connection.
    owners: Mutex<HashMap<Owner, Vec<Kept>>>,
}

#[derive(Clone)]
struct Kept {
    bridge: Arc<Bridge>,
    made: Made,
}

/// What a bridge was made from; another value needs another connection.
#[derive(Clone, PartialEq, Eq)]
enum Made {
    /// A server of the operator, with headers that the owner's credentials fill.
    Operators(Headers),
    Own(OwnServer),
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

/// What a first visit to a server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub protocol: Option<String>,
    pub tools: Vec<String>,
    pub resources: bool,
    pub prompts: bool,
    pub millis: u64,
    /// What was left out. One safe sentence.
    pub trouble: Option<String>,
}

/// A tool as its server offers it now, and whether its owner's runs may use it.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferedTool {
    pub spec: adjutant_core::tool::ToolSpec,
    pub definition: Definition,
    pub accepted: bool,
}

impl Bridges {
    /// Connects to nothing yet. Without a directory there are no servers of users, and definitions are not kept.
    pub fn new(servers: Servers, directory: Option<Directory>, options: Options) -> Arc<Self> {
        Arc::new(Self {
            base: Arc::new(Base::new(options)),
            known: servers.enabled.into_iter().map(|server| Arc::new(Known::new(server))).collect(),
            disabled: servers.disabled,
            directory,
            owners: Mutex::default(),
        })
    }

    /// Whether the operator's configuration has a server of this name, switched off ones included.
    pub fn is_operators(&self, name: &str) -> bool {
        self.known.iter().any(|known| known.config.name == name) || self.disabled.iter().any(|other| other == name)
    }

    /// The names of the operator's servers that are switched on.
    pub fn operator_servers(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|known| known.config.name.as_str())
    }

    /// Starts connecting in the background, so that the first run finds the tools ready.
    pub async fn warm(&self, scope: &Scope) {
        if let Ok((bridges, _)) = self.of(&scope.owner()).await {
            for kept in bridges {
                kept.bridge.wake();
            }
        }
    }

    /// Connects to every server of the operator and says how that went.
    pub async fn check(&self, scope: &Scope) -> Vec<ServerReport> {
        let limits = &self.base.options.limits;
        // The stateless greeting, then `initialize`, then the listing.
        let limit = limits.connect * 2 + limits.list;
        let bridges = self.keep(&scope.owner(), &Snapshot::default());
        let connected = bridges.iter().map(|kept| async move {
            let bridge = &kept.bridge;
            let began = Instant::now();
            let session = bridge.connected(limit).await;
            let millis = millis(began);
            let server = bridge.server().to_owned();
            match session {
                Ok(session) => {
                    let tools = session.tools();
                    let reason = tools.trouble.clone();
                    ServerReport { server, state: ServerState::Connected, tools: tools.entries.len(), millis, reason }
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

    /// Visits a server of a user once, apart from all bridges, and keeps nothing. `None`: no such server.
    pub async fn visit(&self, owner: &Owner, server: &str) -> Option<Result<Found, String>> {
        let snapshot = match self.directory.as_ref()?.look(owner).await {
            Ok(snapshot) => snapshot,
            Err(reason) => return Some(Err(reason)),
        };
        if let Some(trouble) = snapshot.troubles.into_iter().find(|trouble| trouble.server == server) {
            return Some(Err(trouble.reason));
        }
        let own = snapshot.servers.into_iter().find(|own| own.name == server)?;
        Some(self.visit_now(owner, &own).await)
    }

    async fn visit_now(&self, owner: &Owner, server: &OwnServer) -> Result<Found, String> {
        let limits = &self.base.options.limits;
        let known = Known::new(server.server());
        let began = Instant::now();
        let visit = async {
            let live = Box::pin(open(&known, owner, &self.base)).await?;
            let (session, tools) = (&live.session, live.session.tools());
            let found = Found {
                protocol: session.protocol(),
                tools: tools.entries.iter().map(|entry| entry.spec.tool.clone()).collect(),
                resources: session.has_resources(),
                prompts: session.has_prompts(),
                millis: millis(began),
                trouble: tools.trouble.clone(),
            };
            live.close(limits.kill_grace).await;
            Ok(found)
        };
        let limit = limits.connect + limits.list;
        timeout(limit, visit).await.unwrap_or_else(|_| Err(format!("it did not answer within {limit:?}")))
    }

    /// Drops the bridges of an owner whose servers or credentials changed, and leaves the others as they are.
    pub async fn refresh(&self, owner: &Owner) {
        // A bridge that was never made needs no look.
        let known = self.owners.lock().contains_key(owner);
        if known && let Err(reason) = self.of(owner).await {
            tracing::warn!(user.id = %owner.user, reason, "the servers of a user could not be looked at");
        }
    }

    /// Owners who have bridges here.
    pub fn owners(&self) -> Vec<Owner> {
        self.owners.lock().keys().cloned().collect()
    }

    /// The tools of one server as it offers them now, also those that wait for their owner. `None`: no such server.
    pub async fn tools(&self, owner: &Owner, server: &str) -> Option<Result<Vec<OfferedTool>, String>> {
        let (session, snapshot) = match self.session(owner, server).await? {
            Ok(found) => found,
            Err(reason) => return Some(Err(reason)),
        };
        let tools = session.tools();
        let pins = match self.settled_pins(owner, server, &tools, &snapshot).await {
            Ok(pins) => pins,
            Err(reason) => return Some(Err(reason)),
        };
        let offered = |entry: &Entry| OfferedTool {
            spec: entry.spec.clone(),
            definition: entry.definition.clone(),
            accepted: is_accepted(pins.as_ref(), entry),
        };
        Some(Ok(tools.entries.iter().map(offered).collect()))
    }

    pub async fn resources(&self, owner: &Owner, server: &str) -> Option<Result<Vec<ResourceEntry>, String>> {
        let limits = &self.base.options.limits;
        Some(match self.session(owner, server).await? {
            Ok((session, _)) => session.resources(limits).await,
            Err(reason) => Err(reason),
        })
    }

    pub async fn read_resource(
        &self,
        owner: &Owner,
        server: &str,
        uri: &str,
    ) -> Option<Result<Vec<ResourcePart>, String>> {
        let limits = &self.base.options.limits;
        Some(match self.session(owner, server).await? {
            Ok((session, _)) => session.read_resource(uri, limits).await,
            Err(reason) => Err(reason),
        })
    }

    pub async fn prompts(&self, owner: &Owner, server: &str) -> Option<Result<Vec<PromptEntry>, String>> {
        let limits = &self.base.options.limits;
        Some(match self.session(owner, server).await? {
            Ok((session, _)) => session.prompts(limits).await,
            Err(reason) => Err(reason),
        })
    }

    pub async fn get_prompt(
        &self,
        owner: &Owner,
        server: &str,
        name: &str,
        arguments: serde_json::Map<String, Value>,
    ) -> Option<Result<Vec<PromptLine>, String>> {
        let limits = &self.base.options.limits;
        Some(match self.session(owner, server).await? {
            Ok((session, _)) => session.get_prompt(name, arguments, limits).await,
            Err(reason) => Err(reason),
        })
    }

    /// Ends all sessions and child processes and waits for them.
    pub async fn shutdown(&self) {
        self.base.finish().await;
    }

    async fn session(&self, owner: &Owner, server: &str) -> Option<Result<(Arc<Session>, Snapshot), String>> {
        let (bridges, snapshot) = match self.of(owner).await {
            Ok(found) => found,
            Err(reason) => return Some(Err(reason)),
        };
        let kept = bridges.into_iter().find(|kept| kept.bridge.server() == server)?;
        let limits = &self.base.options.limits;
        Some(kept.bridge.connected(limits.connect).await.map(|session| (session, snapshot)))
    }

    /// The bridges of an owner as the directory says they are now.
    async fn of(&self, owner: &Owner) -> Result<(Vec<Kept>, Snapshot), String> {
        let snapshot = match &self.directory {
            Some(directory) => directory.look(owner).await?,
            None => Snapshot::default(),
        };
        Ok((self.keep(owner, &snapshot), snapshot))
    }

    /// Keeps the bridges that are as their servers are now, makes those that are missing, and ends the others.
    fn keep(&self, owner: &Owner, snapshot: &Snapshot) -> Vec<Kept> {
        let mut owners = self.owners.lock();
        let page = owners.entry(owner.clone()).or_default();
        let mut before = std::mem::take(page);
        let mut keep = |known: &dyn Fn() -> Arc<Known>, name: &str, made: Made| {
            let same = before.iter().position(|kept| kept.bridge.server() == name && kept.made == made);
            page.push(match same {
                Some(same) => before.swap_remove(same),
                None => {
                    let bridge = Bridge::new(known(), owner.clone(), Arc::clone(&self.base));
                    Kept { bridge: Arc::new(bridge), made }
                }
            });
        };
        for known in &self.known {
            let name = known.config.name.as_str();
            // A credential that must not be used: nothing else may take its place.
            if snapshot.troubles.iter().any(|trouble| trouble.server == name) {
                continue;
            }
            match snapshot.headers.get(name) {
                None => keep(&|| Arc::clone(known), name, Made::Operators(Headers::new())),
                Some(headers) => {
                    keep(
                        &|| Arc::new(Known::new(with_headers(&known.config, headers))),
                        name,
                        Made::Operators(headers.clone()),
                    );
                }
            }
        }
        for own in snapshot.servers.iter().filter(|own| own.enabled) {
            // An operator's server that came later hides a user's of the same name.
            if !self.is_operators(&own.name) {
                keep(&|| Arc::new(Known::new(own.server())), &own.name, Made::Own(own.clone()));
            }
        }
        for gone in before {
            gone.bridge.retire();
        }
        page.clone()
    }

    /// What the owner knows of a server's tools, after everything that is new about them was recorded.
    async fn settled_pins(
        &self,
        owner: &Owner,
        server: &str,
        tools: &Tools,
        snapshot: &Snapshot,
    ) -> Result<Option<HashMap<String, Pin>>, String> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let pins = snapshot.pins.get(server);
        let is_news = |entry: &&Entry| {
            let pin = pins.and_then(|pins| pins.get(&entry.spec.tool));
            pin.is_none_or(|pin| pin.seen != entry.definition.hash)
        };
        let news: Vec<Definition> =
            tools.entries.iter().filter(is_news).map(|entry| entry.definition.clone()).collect();
        if news.is_empty() {
            return Ok(Some(pins.cloned().unwrap_or_default()));
        }
        directory.record(owner, server, news).await.map(Some)
    }

    async fn catalogue(&self, scope: &Scope) -> ToolCatalogue {
        let owner = scope.owner();
        let mut catalogue = ToolCatalogue::default();
        let (bridges, snapshot) = match self.of(&owner).await {
            Ok(found) => found,
            Err(reason) => {
                let every = self.operator_servers().map(|server| trouble(server, reason.clone()));
                catalogue.troubles.extend(every);
                return catalogue;
            }
        };
        join_all(bridges.iter().map(|kept| kept.bridge.settle())).await;
        catalogue.troubles.extend(snapshot.troubles.iter().cloned());
        for kept in &bridges {
            let server = kept.bridge.server();
            let session = match kept.bridge.session() {
                Ok(session) => session,
                Err(reason) => {
                    catalogue.troubles.push(trouble(server, reason));
                    continue;
                }
            };
            let tools = session.tools();
            if session.offers_resources() {
                let reading = reading::spec(server, session.added_by());
                let taken = tools.entries.iter().any(|entry| entry.spec.name == reading.name);
                catalogue.tools.extend((!taken).then_some(reading));
            }
            catalogue.troubles.extend(tools.trouble.clone().map(|reason| trouble(server, reason)));
            match self.settled_pins(&owner, server, &tools, &snapshot).await {
                Ok(pins) => {
                    let (accepted, waiting): (Vec<_>, Vec<_>) =
                        tools.entries.iter().partition(|entry| is_accepted(pins.as_ref(), entry));
                    catalogue.tools.extend(accepted.into_iter().map(|entry| entry.spec.clone()));
                    catalogue.troubles.extend(quarantine(&waiting).map(|reason| trouble(server, reason)));
                }
                Err(reason) => catalogue.troubles.push(trouble(server, reason)),
            }
        }
        catalogue.tools.sort_by(|a, b| a.name.cmp(&b.name));
        // Two servers' names can only meet through the hash of a long one; the first one stays.
        catalogue.tools.dedup_by(|a, b| a.name == b.name);
        catalogue
    }

    async fn invoke(&self, scope: &Scope, request: ToolRequest) -> Result<ToolReply, ToolError> {
        let (bridges, snapshot) = self.of(&scope.owner()).await.map_err(ToolError::Unavailable)?;
        let Some(kept) = bridges.iter().find(|kept| kept.bridge.server() == request.server) else {
            return Err(ToolError::Unavailable(format!("there is no MCP server {:?}", request.server)));
        };
        let Value::Object(arguments) = &request.arguments else {
            return Err(ToolError::Refused("the arguments of a tool must be an object".to_owned()));
        };
        let none = HashMap::new();
        let pins = self.directory.as_ref().map(|_| snapshot.pins.get(&request.server).unwrap_or(&none));
        kept.bridge.call(&request, arguments.clone(), pins).await
    }
}

/// A server of the operator as one owner sees it: their own headers win.
fn with_headers(server: &Server, headers: &Headers) -> Server {
    let mut server = server.clone();
    if let Transport::Http(http) = &mut server.transport {
        http.headers.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    server
}

fn trouble(server: &str, reason: String) -> ServerTrouble {
    ServerTrouble { server: server.to_owned(), reason }
}

/// Names in a sentence.
const NAMED: usize = 5;

fn quarantine(waiting: &[&Entry]) -> Option<String> {
    let named: Vec<&str> = waiting.iter().take(NAMED).map(|entry| entry.spec.name.as_str()).collect();
    let more = if waiting.len() > NAMED { ", …" } else { "" };
    let tools = if waiting.len() == 1 { "1 tool is".to_owned() } else { format!("{} tools are", waiting.len()) };
    let named = named.join(", ");
    (!waiting.is_empty()).then(|| {
        format!("{tools} new or changed and not offered until their owner accepts the definition: {named}{more}")
    })
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl ToolSource for Bridges {
    fn list<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, ToolCatalogue> {
        self.catalogue(scope).boxed()
    }

    fn call<'a>(&'a self, scope: &'a Scope, request: ToolRequest) -> BoxFuture<'a, Result<ToolReply, ToolError>> {
        self.invoke(scope, request).boxed()
    }
}
