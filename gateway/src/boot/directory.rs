//! What the bridges are told about an owner: their own servers with the credentials that belong to them, and the
//! definitions of tools that they know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::credential::HeaderMapping;
use adjutant_core::scope::Owner;
use adjutant_core::tool::ServerTrouble;
use adjutant_mcp::config::{Lifecycle, Server, Servers, Transport};
use adjutant_mcp::directory::{Definition, Directory, Headers, OwnServer, Pin, Pins, Snapshot, parse_header};
use adjutant_mcp::egress::{Network, parse_url};
use adjutant_store::credentials;
use adjutant_store::error::StoreError;
use adjutant_store::mcp_servers::{self, McpServer};
use adjutant_store::store::Store;
use adjutant_store::tool_pins::{self, PinnedHash, Seen};
use adjutant_store::tx::Tx;
use adjutant_store::vault::Vault;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

pub(super) fn directory(store: &Store, vault: &Vault, operators: &Servers) -> Directory {
    let source = Source { store: store.clone(), vault: vault.clone(), operators: doors(operators).into() };
    let recorded = store.clone();
    Directory::new(
        move |owner| {
            let source = source.clone();
            Box::pin(async move { source.look(&owner).await.map_err(|error| unknown(&error)) })
        },
        move |owner, server, definitions| {
            let store = recorded.clone();
            Box::pin(async move { record(&store, &owner, &server, definitions).await.map_err(|error| unknown(&error)) })
        },
    )
}

fn unknown(error: &StoreError) -> String {
    tracing::warn!(error = error as &(dyn std::error::Error + 'static), "the MCP servers of a user cannot be read");
    "what its owner allows cannot be read from the database at the moment".to_owned()
}

#[derive(Clone)]
struct Source {
    store: Store,
    vault: Vault,
    operators: Arc<[Door]>,
}

/// A server of the operator that a user's credential may go to.
struct Door {
    server: String,
    origin: String,
    /// `None`: a credential that is named like the server goes along if there is one.
    mapping: Option<HeaderMapping>,
}

fn doors(operators: &Servers) -> Vec<Door> {
    let door = |server: &Server| match &server.transport {
        Transport::Stdio(_) => None,
        Transport::Http(http) => Some(Door {
            server: server.name.clone(),
            origin: http.url.origin().ascii_serialization(),
            mapping: http.credential.clone(),
        }),
    };
    operators.enabled.iter().filter_map(door).collect()
}

impl Source {
    async fn look(&self, owner: &Owner) -> Result<Snapshot, StoreError> {
        let (vault, operators) = (&self.vault, &self.operators);
        self.store
            .scoped(owner, async |tx| {
                let mut snapshot = Snapshot { pins: pins(tool_pins::hashes(tx).await?), ..Snapshot::default() };
                for door in operators.iter() {
                    match usable(operators_headers(tx, vault, door).await)? {
                        Ok(headers) if headers.is_empty() => {}
                        Ok(headers) => drop(snapshot.headers.insert(door.server.clone(), headers)),
                        Err(reason) => snapshot.troubles.push(ServerTrouble { server: door.server.clone(), reason }),
                    }
                }
                for server in mcp_servers::list(tx).await? {
                    match usable(own_server(tx, vault, &server).await)? {
                        Ok(own) => snapshot.servers.push(own),
                        Err(reason) => snapshot.troubles.push(ServerTrouble { server: server.name, reason }),
                    }
                }
                Ok(snapshot)
            })
            .await
    }
}

/// Why a server cannot be used, or an error that concerns everything.
enum Unusable {
    Server(String),
    Store(StoreError),
}

impl From<StoreError> for Unusable {
    fn from(error: StoreError) -> Self {
        match error {
            // The credential is there and must not be used: nothing else may take its place.
            StoreError::Credential { .. } => Self::Server(error.to_string()),
            error => Self::Store(error),
        }
    }
}

fn usable<T>(found: Result<T, Unusable>) -> Result<Result<T, String>, StoreError> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(Unusable::Server(reason)) => Ok(Err(reason)),
        Err(Unusable::Store(error)) => Err(error),
    }
}

fn pins(hashes: Vec<PinnedHash>) -> Pins {
    let mut pins = Pins::new();
    for PinnedHash { server, tool, seen, accepted } in hashes {
        pins.entry(server).or_default().insert(tool, Pin { accepted, seen });
    }
    pins
}

async fn record(
    store: &Store,
    owner: &Owner,
    server: &str,
    definitions: Vec<Definition>,
) -> Result<HashMap<String, Pin>, StoreError> {
    let seen = definitions.into_iter().map(|Definition { tool, hash, text }| Seen { tool, hash, text });
    let seen: Vec<Seen> = seen.collect();
    store
        .scoped(owner, async |tx| {
            tool_pins::record(tx, server, &seen).await?;
            Ok(pins(tool_pins::hashes(tx).await?).remove(server).unwrap_or_default())
        })
        .await
}

async fn operators_headers(tx: &mut Tx, vault: &Vault, door: &Door) -> Result<Headers, Unusable> {
    let filled = match &door.mapping {
        None => credentials::for_server(tx, vault, &door.server, &door.origin).await?,
        Some(mapping) => wanted(tx, vault, mapping, &door.origin).await?,
    };
    headers(filled)
}

/// The server as it can be connected to.
async fn own_server(tx: &mut Tx, vault: &Vault, server: &McpServer) -> Result<OwnServer, Unusable> {
    let network = if server.allow_private { Network::PrivateToo } else { Network::Public };
    let url = parse_url(&server.url, network).map_err(|reason| Unusable::Server(reason.to_owned()))?;
    let origin = url.origin().ascii_serialization();
    let mappings = server.headers.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut filled = Vec::new();
    if mappings.is_empty() {
        filled = credentials::for_server(tx, vault, &server.name, &origin).await?;
    }
    for mapping in mappings {
        let mapping = HeaderMapping::read(&server.name, mapping)
            .map_err(|reason| Unusable::Server(format!("one of its headers {reason}")))?;
        filled.extend(wanted(tx, vault, &mapping, &origin).await?);
    }
    if !filled.is_empty() && url.scheme() != "https" && !server.allow_private {
        return Err(Unusable::Server("its credential is only sent over https".to_owned()));
    }
    let lifecycle = match server.lifecycle.as_str() {
        "initialize" => Lifecycle::Initialize,
        "stateless" => Lifecycle::Stateless,
        _ => Lifecycle::Auto,
    };
    Ok(OwnServer {
        name: server.name.clone(),
        url,
        enabled: server.enabled,
        lifecycle,
        timeout: server.timeout_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        headers: headers(filled)?,
        allow_private: server.allow_private,
    })
}

type Filled = Vec<(String, SecretString)>;

/// The headers of a mapping that somebody wrote down: without its credential the server is not asked at all.
async fn wanted(tx: &mut Tx, vault: &Vault, mapping: &HeaderMapping, origin: &str) -> Result<Filled, Unusable> {
    let filled = credentials::for_mapping(tx, vault, mapping, origin).await?;
    if filled.is_empty() {
        let reason = format!("it needs a credential for {}, and none is stored", mapping.service);
        return Err(Unusable::Server(reason));
    }
    Ok(filled)
}

fn headers(filled: Filled) -> Result<Headers, Unusable> {
    let header = |(name, value): (String, SecretString)| {
        let mut value = HeaderValue::try_from(value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some((parse_header(&name)?, value))
    };
    let headers: Option<Headers> = filled.into_iter().map(header).collect();
    headers.ok_or_else(|| Unusable::Server("its credential names a header that cannot be set".to_owned()))
}
