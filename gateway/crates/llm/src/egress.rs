//! Which addresses a key of a user may lead to: those a user names are never the server's own
//! neighbourhood.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names as the system does and leaves out all addresses that are not public.
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the name has no public address".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a URL that a user named may be asked at all: over TLS, and no private address in it.
pub(crate) fn host_may_be_public(url: &Url) -> bool {
    let host = match url.host() {
        Some(url::Host::Domain(name)) => !name.trim_end_matches('.').ends_with("localhost") && name.contains('.'),
        Some(url::Host::Ipv4(address)) => is_public(address.into()),
        Some(url::Host::Ipv6(address)) => is_public(address.into()),
        None => false,
    };
    host && url.scheme() == "https"
}

pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // Shared address space, benchmarking, protocol assignments, relays of 6to4.
    let special = matches!((a, b, c), (100, 64..128, _) | (198, 18 | 19, _) | (192, 0, 0) | (192, 88, 99));
    let reserved = a == 0 || a >= 224 || address.is_documentation();
    !special && !reserved && !address.is_private() && !address.is_loopback() && !address.is_link_local()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Only global unicast, less what is carried inside it for documentation, tunnels and IPv4.
    let [a, b, ..] = address.segments();
    let global = (0x2000..0x4000).contains(&a);
    let special = matches!((a, b), (0x2001, ..0x0200 | 0x0db8) | (0x2002, _) | (0x3fff, ..0x1000));
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_over_tls_may_be_asked() {
        let cases = [
            ("https://api.example.com/v1", true),
            ("http://api.example.com/v1", false),
            ("https://localhost/v1", false),
            ("https://x.localhost./v1", false),
            ("https://db/v1", false),
            ("https://127.0.0.1/v1", false),
            ("https://2130706433/v1", false),
            ("https://0x7f.1/v1", false),
            ("https://10.1.2.3/v1", false),
            ("https://169.254.169.254/v1", false),
            ("https://100.64.0.1/v1", false),
            ("https://0.0.0.0/v1", false),
            ("https://8.8.8.8/v1", true),
            ("https://[::1]/v1", false),
            ("https://[::ffff:127.0.0.1]/v1", false),
            ("https://[64:ff9b::7f00:1]/v1", false),
            ("https://[fe80::1]/v1", false),
            ("https://[fd00::1]/v1", false),
            ("https://[2002:7f00:1::]/v1", false),
            ("https://[2606:4700::1]/v1", true),
        ];
        for (text, may) in cases {
            assert_eq!(host_may_be_public(&Url::parse(text).unwrap()), may, "{text}");
        }
    }
}
