//! Where a connection may go: the form of a server's address, and the addresses that a name may stand for,
//! judged when the connection is made. Deliberately absent: any list of good hosts.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that a user may write.
const URL_BYTES: usize = 2_048;

/// Which addresses a server may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The operator's configuration names the server: any address.
    Anywhere,
    /// An admin allowed private addresses for it: those beside the public ones, never link-local or metadata ones.
    PrivateToo,
    /// A user named it: public addresses alone.
    Public,
}

/// Turns a name into addresses. Tests put their own in its place.
#[derive(Clone)]
pub struct Lookup(Arc<LookupFn>);

type LookupFn = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync;

impl Lookup {
    pub fn new(lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }
}

impl Default for Lookup {
    fn default() -> Self {
        Self::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) })
        })
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// A name or an address that a connection must not be made to.
#[derive(Debug)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is not a public one")
    }
}

impl Error for Refused {}

/// Whether a connection failed because its address is not allowed.
pub(crate) fn was_refused(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<Refused>() {
            return true;
        }
        error = cause.source();
    }
    false
}

/// Reads an address that a user wrote. The sentence says what is wrong and never repeats the address.
pub fn parse_url(text: &str, network: Network) -> Result<Url, &'static str> {
    if text.len() > URL_BYTES {
        return Err("the address is longer than 2048 bytes");
    }
    // Parsers disagree on what to make of these.
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("the address holds a space, a backslash or a control character");
    }
    let url = Url::parse(text).map_err(|_| "the address is not a URL")?;
    check_url(&url, network)?;
    Ok(url)
}

/// What must hold of an address whenever it is used. Names are judged when the connection is made.
pub(crate) fn check_url(url: &Url, network: Network) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the address must begin with http:// or https://");
    }
    if network == Network::Anywhere {
        return Ok(());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address must not hold a user or a password; store them as a credential");
    }
    if url.fragment().is_some() {
        return Err("the address must not have a fragment");
    }
    if url.port().is_some_and(|port| BAD_PORTS.contains(&port)) {
        return Err("the port of the address belongs to another protocol");
    }
    let allowed = match url.host() {
        None => return Err("the address has no host"),
        Some(host) => match literal(&host.to_string()) {
            Some(address) => is_allowed(address, network),
            None => true,
        },
    };
    if allowed { Ok(()) } else { Err("the address is not a public one, which only an admin may allow") }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The resolver of one HTTP client: what it answers is what is connected to.
pub(crate) struct Guard {
    pub(crate) network: Network,
    pub(crate) lookup: Lookup,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.network;
        let found = (self.lookup.0)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await?;
            // One bad address among good ones is no accident.
            if found.is_empty() || !found.iter().all(|address| is_allowed(*address, network)) {
                return Err(Box::new(Refused) as Box<dyn Error + Send + Sync>);
            }
            let addresses: Vec<SocketAddr> = found.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

pub(crate) fn is_allowed(address: IpAddr, network: Network) -> bool {
    match (network, reach(address)) {
        (Network::Anywhere, _) | (_, Reach::Public) | (Network::PrivateToo, Reach::Private) => true,
        (_, Reach::Nowhere) | (Network::Public, Reach::Private) => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    /// This host, or the network it is in.
    Private,
    /// Metadata services, and what is no address of a server.
    Nowhere,
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // Metadata services outside 169.254.0.0/16, one of them among private addresses.
        octets if METADATA_V4.contains(&octets) => Reach::Nowhere,
        [127 | 10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Reach::Private,
        // This network, link-local, protocol assignments, 6to4 relays, documentation, benchmarks, multicast, reserved.
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Nowhere,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        // Metadata services in the unique local range.
        segments if METADATA_V6.contains(&segments) => Reach::Nowhere,
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo and other protocol assignments, documentation, 6to4.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Nowhere,
        [0x2000..=0x3fff, ..] => Reach::Public,
        // Mapped and compatible IPv4, NAT64, link-local, site-local, multicast, and what is not assigned.
        _ => Reach::Nowhere,
    }
}

const METADATA_V4: &[[u8; 4]] = &[[100, 100, 100, 200], [168, 63, 129, 16]];
const METADATA_V6: &[[u16; 8]] = &[[0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254], [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]];

/// Ports of other protocols, which a request in HTTP could be smuggled into (the list of the Fetch standard, and
/// databases).
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1433, 1521, 1719, 1720, 1723, 2049, 2375, 2379,
    3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9200,
    10080, 11211, 27017,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_has_its_reach() {
        let public = ["1.1.1.1", "100.63.255.255", "172.32.0.1", "192.0.1.1", "198.20.0.1", "2606:4700::1111"];
        let private = [
            "127.0.0.1",
            "127.255.0.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
        ];
        let nowhere = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "192.0.0.192",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "2001:2::1",
            "3fff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "100::1",
            "4000::1",
        ];
        for (addresses, expected) in
            [(&public[..], Reach::Public), (&private[..], Reach::Private), (&nowhere[..], Reach::Nowhere)]
        {
            for address in addresses {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn only_plain_public_addresses_may_be_written() {
        for good in
            ["https://mcp.example.com/mcp", "http://example.com:8080/a?b=c", "https://1.1.1.1", "HTTPS://EXAMPLE.com"]
        {
            assert!(parse_url(good, Network::Public).is_ok(), "{good}");
        }
        let bad = [
            "",
            "mcp.example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "unix:/run/x",
            "https://",
            "https://u@example.com",
            "https://u:p@example.com",
            "https://@example.com#x",
            "https://example.com/#x",
            "https://example.com:22/",
            "https://example.com:6379",
            "https://exa mple.com",
            "https://example.com\\@127.0.0.1/",
            "https://example.com\n",
            "\u{0}https://example.com",
            "https://127.0.0.1",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1",
            "https://127.1",
            "https://0",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://169.254.169.254/latest",
            "https://10.0.0.1",
            "https://1.1.1.1%00",
        ];
        for bad in bad {
            assert!(parse_url(bad, Network::Public).is_err(), "{bad:?}");
        }
        assert!(parse_url("http://10.0.0.1:8080", Network::PrivateToo).is_ok());
        assert!(parse_url("http://169.254.169.254", Network::PrivateToo).is_err());
        assert!(parse_url(&format!("https://example.com/{}", "x".repeat(3000)), Network::Public).is_err());
    }
}
