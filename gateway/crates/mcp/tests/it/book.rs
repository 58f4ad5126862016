//! A directory in memory that tests write in: servers of owners, and definitions that they know.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::scope::Owner;
use adjutant_mcp::config::Lifecycle;
use adjutant_mcp::directory::{Definition, Directory, Hash, OwnServer, Pin, Snapshot};
use parking_lot::Mutex;
use reqwest::header::{HeaderName, HeaderValue};

#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<HashMap<Owner, Snapshot>>>);

impl Book {
    pub(crate) fn write(&self, owner: &Owner, change: impl FnOnce(&mut Snapshot)) {
        change(self.0.lock().entry(owner.clone()).or_default());
    }

    pub(crate) fn accept(&self, owner: &Owner, server: &str, tool: &str) {
        self.write(owner, |snapshot| {
            let pin = snapshot.pins.get_mut(server).expect("a server").get_mut(tool).expect("a tool");
            pin.accepted = Some(pin.seen);
        });
    }

    pub(crate) fn seen(&self, owner: &Owner, server: &str, tool: &str) -> Hash {
        self.0.lock()[owner].pins[server][tool].seen
    }

    pub(crate) fn directory(&self) -> Directory {
        let (looked, recorded) = (self.clone(), self.clone());
        Directory::new(
            move |owner| {
                let snapshot = looked.0.lock().get(&owner).cloned().unwrap_or_default();
                Box::pin(std::future::ready(Ok(snapshot)))
            },
            move |owner, server, definitions| {
                let pins = recorded.record(&owner, &server, definitions);
                Box::pin(std::future::ready(Ok(pins)))
            },
        )
    }

    fn record(&self, owner: &Owner, server: &str, definitions: Vec<Definition>) -> HashMap<String, Pin> {
        let mut book = self.0.lock();
        let pins = book.entry(owner.clone()).or_default().pins.entry(server.to_owned()).or_default();
        let first = pins.is_empty();
        for Definition { tool, hash, .. } in definitions {
            let new = Pin { accepted: first.then_some(hash), seen: hash };
            pins.entry(tool).and_modify(|pin| pin.seen = hash).or_insert(new);
        }
        pins.clone()
    }
}

/// A server of a user, who was allowed private addresses: it runs on this machine.
pub(crate) fn own(name: &str, url: &str, headers: &[(&str, &str)]) -> OwnServer {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"))
    };
    OwnServer {
        name: name.to_owned(),
        url: url.parse().expect("a URL"),
        enabled: true,
        lifecycle: Lifecycle::Initialize,
        timeout: None,
        headers: headers.iter().map(header).collect(),
        allow_private: true,
    }
}
