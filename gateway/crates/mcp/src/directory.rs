//! What a bridge is told about an owner: their own servers, and the definitions of tools that they know. The
//! caller brings it at boot; this crate knows no table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::scope::Owner;
use adjutant_core::tool::{AddedBy, ServerTrouble};
use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::config::{Http, Lifecycle, RESERVED, Server, Transport};
use crate::egress::Network;

/// SHA-256 of a tool's canonical definition.
pub type Hash = [u8; 32];

/// A tool as its server defines it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub tool: String,
    pub hash: Hash,
    /// Canonical JSON, cut where it is very long.
    pub text: String,
}

/// What an owner knows of a tool's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    pub accepted: Option<Hash>,
    pub seen: Hash,
}

/// By the server's name, then by the tool's.
pub type Pins = HashMap<String, HashMap<String, Pin>>;

/// Marked sensitive, so that no `Debug` shows them.
pub type Headers = HashMap<HeaderName, HeaderValue>;

/// A server that a user added. Equal values need no new connection.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnServer {
    pub name: String,
    pub url: Url,
    /// One that is switched off can only be visited.
    pub enabled: bool,
    pub lifecycle: Lifecycle,
    pub timeout: Option<Duration>,
    pub headers: Headers,
    /// An admin allowed private addresses.
    pub allow_private: bool,
}

impl OwnServer {
    pub fn network(&self) -> Network {
        if self.allow_private { Network::PrivateToo } else { Network::Public }
    }

    pub(crate) fn server(&self) -> Server {
        let (url, headers, network) = (self.url.clone(), self.headers.clone(), self.network());
        let http = Http { url, headers, network, credential: None };
        Server {
            name: self.name.clone(),
            lifecycle: self.lifecycle,
            timeout: self.timeout,
            transport: Transport::Http(http),
            added_by: AddedBy::User,
        }
    }
}

/// A header that a user may set: no name that the protocol or HTTP itself uses.
pub fn parse_header(name: &str) -> Option<HeaderName> {
    let name = HeaderName::try_from(name).ok()?;
    let reserved = RESERVED.contains(&name.as_str()) || FRAMING.contains(&name.as_str());
    (!reserved).then_some(name)
}

/// Headers that would change what a request is, or what stands between it and its server.
const FRAMING: &[&str] = &[
    "content-encoding",
    "cookie",
    "expect",
    "forwarded",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "via",
];

/// One look at everything.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub servers: Vec<OwnServer>,
    /// Headers that the owner's credentials fill at servers of the operator, by the server's name.
    pub headers: HashMap<String, Headers>,
    /// Servers that cannot be used, also of the operator, and why.
    pub troubles: Vec<ServerTrouble>,
    pub pins: Pins,
}

type Look = dyn Fn(Owner) -> BoxFuture<'static, Result<Snapshot, String>> + Send + Sync;
type Record =
    dyn Fn(Owner, String, Vec<Definition>) -> BoxFuture<'static, Result<HashMap<String, Pin>, String>> + Send + Sync;

/// Asked before every listing and every call, so that what an owner changed holds at once, on every replica.
/// Errors are sentences that are safe to show.
#[derive(Clone)]
pub struct Directory {
    look: Arc<Look>,
    record: Arc<Record>,
}

impl Directory {
    /// `record` takes the definitions of one server that differ from what is known, all of them accepted when the
    /// server was never seen before, and answers what is known of that server then.
    pub fn new(
        look: impl Fn(Owner) -> BoxFuture<'static, Result<Snapshot, String>> + Send + Sync + 'static,
        record: impl Fn(Owner, String, Vec<Definition>) -> BoxFuture<'static, Result<HashMap<String, Pin>, String>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { look: Arc::new(look), record: Arc::new(record) }
    }

    pub(crate) async fn look(&self, owner: &Owner) -> Result<Snapshot, String> {
        (self.look)(owner.clone()).await
    }

    pub(crate) async fn record(
        &self,
        owner: &Owner,
        server: &str,
        definitions: Vec<Definition>,
    ) -> Result<HashMap<String, Pin>, String> {
        (self.record)(owner.clone(), server.to_owned(), definitions).await
    }
}
