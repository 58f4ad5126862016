//! Where the server listens and whom it believes: address, hosts, origins, a proxy in front.

use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::environment::Reader;

const LISTEN: &str = "ADJUTANT_LISTEN";
const BEHIND_PROXY: &str = "ADJUTANT_BEHIND_PROXY";
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    pub listen: SocketAddr,
    /// Names by which clients may call the server, besides those of this machine; lower case. One
    /// with a port holds for that port alone.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may call it, besides its own.
    pub allowed_origins: Vec<String>,
    /// A proxy that ends TLS stands in front: the last address of `X-Forwarded-For` is the client's.
    pub behind_proxy: bool,
}

impl Doors {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let behind_proxy = reader.flag(BEHIND_PROXY);
        let listen = reader.parsed(LISTEN, address).unwrap_or(DEFAULT);
        if !listen.ip().to_canonical().is_loopback() && !behind_proxy {
            let message = format!(
                "{listen} is reachable from other machines, where keys and messages would travel in the clear: \
                 listen on 127.0.0.1, or put a proxy with TLS in front and set {BEHIND_PROXY}=true"
            );
            reader.fault(LISTEN, message);
        }
        Self {
            listen,
            allowed_hosts: reader.list("ADJUTANT_ALLOWED_HOSTS", host),
            allowed_origins: reader.list("ADJUTANT_ALLOWED_ORIGINS", origin),
            behind_proxy,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| "must be an address and a port, as 127.0.0.1:8080")
}

fn host(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no host name; write names between commas, as adjutant.example.org");
    let host = text.to_ascii_lowercase();
    let url = Url::parse(&format!("http://{host}/")).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if plain && !host.contains(['/', '@', '?', '#', '*']) { Ok(host) } else { Err(wrong()) }
}

fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no origin; write it as browsers send it, as https://app.example.org");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let exact = url.origin().ascii_serialization();
    if matches!(url.scheme(), "http" | "https") && exact == text.trim_end_matches('/') {
        Ok(exact)
    } else {
        Err(wrong())
    }
}
