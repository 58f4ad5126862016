//! What must not be reached: a canary on this machine counts every connection, whatever the address looked like.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adjutant_core::tool::ToolSource;
use adjutant_mcp::directory::OwnServer;
use adjutant_mcp::egress::{Lookup, Network, parse_url};
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::book::{Book, own};
use crate::fake::{Fake, plain, with_calls};
use crate::support::{parsed, patient, request, scope};

struct Canary {
    port: u16,
    hits: Arc<AtomicUsize>,
    _tasks: TaskTracker,
}

/// Listens on all addresses of this machine, of both families.
async fn canary() -> Canary {
    let listener = TcpListener::bind("[::]:0").await.expect("a port");
    let (port, hits) = (listener.local_addr().expect("an address").port(), Arc::<AtomicUsize>::default());
    let (tasks, counted) = (TaskTracker::new(), Arc::clone(&hits));
    tasks.spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    Canary { port, hits, _tasks: tasks }
}

/// Answers a name like `127-0-0-1.test` with that address; `mixed.test` with a public and a private one.
fn lookup() -> Lookup {
    Lookup::new(|name| {
        let host = name.trim_end_matches('.').trim_end_matches(".test").to_owned();
        let found: Vec<IpAddr> = match host.as_str() {
            "localhost" | "sub.localhost" | "rebound" => vec!["127.0.0.1".parse().expect("an address")],
            "mixed" => ["1.1.1.1", "127.0.0.1"].map(|text| text.parse().expect("an address")).to_vec(),
            "nothing" => Vec::new(),
            dashed => {
                dashed.replace('-', ".").parse().or_else(|_| dashed.replace('-', ":").parse()).into_iter().collect()
            }
        };
        Box::pin(std::future::ready(Ok(found)))
    })
}

/// Spellings of this machine, its network and metadata services, and what some parser takes for one.
const SPELLINGS: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "sub.localhost",
    "rebound.test",
    "mixed.test",
    "nothing.test",
    "127.0.0.1",
    "127.0.0.2",
    "[::ffff:169.254.169.254]",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "0x0",
    "00000000",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.0x1",
    "127.0.0.1%2f",
    "127.0.0.1%00",
    "127.0.0.1\u{0}",
    "127.0.0.1%00.example.com",
    "example.com\u{0}@127.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127．0．0．1",
    "１２７.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[2001::7f00:1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "169.254.169.254",
    "169.254.170.2",
    "0xa9fea9fe",
    "2852039166",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
    "example.com:80@127.0.0.1",
    "example.com%40127.0.0.1",
    "example.com\\@127.0.0.1",
    "127.0.0.1\\@example.com",
    "127.0.0.1#@example.com",
    "example.com#@127.0.0.1",
    "127.0.0.1\t",
    "127.0.\n0.1",
    " 127.0.0.1",
    "127.0.0.1 ",
    "",
];

/// Them, and names that the resolver turns into such addresses.
fn hosts() -> Vec<String> {
    let mut hosts: Vec<String> = SPELLINGS.iter().map(|host| (*host).to_owned()).collect();
    // Every name that the resolver turns into such an address.
    for address in [
        "127-0-0-1",
        "127-8-9-10",
        "10-1-2-3",
        "192-168-1-1",
        "172-20-0-1",
        "169-254-169-254",
        "0-0-0-0",
        "100-64-9-9",
        "224-0-0-251",
        "--1",
        "--ffff-127.0.0.1",
        "64-ff9b--7f00-1",
        "2002-7f00-1--",
        "fd00--1",
        "fe80--1",
    ] {
        hosts.extend([
            format!("{address}.test"),
            format!("{address}.test."),
            format!("{}.TEST", address.to_uppercase()),
        ]);
    }
    hosts
}

/// Tries all that a user can: writing the address, and using it when it was written some other way.
#[tokio::test]
async fn no_spelling_of_an_address_reaches_this_machine() {
    let canary = canary().await;
    let anna = scope("anna");
    let limits = adjutant_mcp::options::Limits {
        grace: std::time::Duration::from_secs(2),
        connect: std::time::Duration::from_secs(2),
        ..patient()
    };
    let book = Book::default();
    let options = Options { limits, lookup: lookup(), ..Options::default() };
    let bridges = Bridges::new(parsed(&json!({})), Some(book.directory()), options);
    let (mut tried, mut used) = (0, 0);
    for host in hosts() {
        for (scheme, rest) in [("http", "/mcp"), ("https", "/"), ("HTTP", "/?x=http://example.com"), ("https", "")] {
            let address = format!("{scheme}://{host}:{}{rest}", canary.port);
            tried += 1;
            // Also what a row may hold that was written by an older version: the bridge judges again.
            for network in [Network::Public, Network::Anywhere] {
                let Ok(url) = parse_url(&address, network) else { continue };
                used += 1;
                let headers = [("x-key", "hunter2")];
                let server = OwnServer { allow_private: false, url, ..own("s", "http://example.com", &headers) };
                book.write(&anna.owner(), |page| page.servers = vec![server]);
                let found = bridges.visit(&anna.owner(), "s").await.expect("a server");
                let reason = found.expect_err("nothing may answer");
                assert!(!reason.contains("hunter2") && !reason.contains("127"), "{address}: {reason}");
                assert!(bridges.call(&anna, request("s", "count", json!({}))).await.is_err());
            }
        }
    }
    assert_eq!(canary.hits.load(Ordering::SeqCst), 0, "the canary was reached");
    // The canary sings: an admin allowed this one.
    let allowed = own("s", &format!("http://127.0.0.1:{}/", canary.port), &[]);
    book.write(&anna.owner(), |page| page.servers = vec![allowed]);
    assert!(bridges.visit(&anna.owner(), "s").await.expect("a server").is_err());
    assert!(canary.hits.load(Ordering::SeqCst) > 0);
    bridges.shutdown().await;
    assert!(tried >= 500 && used > 200, "{tried} addresses, {used} connections");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_header_along() {
    let canary = canary().await;
    let target = format!("http://127.0.0.1:{}/", canary.port);
    for status in [301, 302, 303, 307, 308] {
        let (status, target) = (StatusCode::from_u16(status).expect("a status"), target.clone());
        let fake = with_calls(move |_| (status, [("location", target.clone())]).into_response()).await;
        let book = Book::default();
        let anna = scope("anna");
        book.write(&anna.owner(), |page| page.servers.push(own("s", &fake.url, &[("x-key", "hunter2")])));
        let options = Options { limits: patient(), ..Options::default() };
        let bridges = Bridges::new(parsed(&json!({})), Some(book.directory()), options);
        bridges.list(&anna).await;
        let failed = bridges.call(&anna, request("s", "count", json!({}))).await.expect_err("no answer");
        assert!(failed.to_string().contains("redirect"), "{failed}");
        bridges.shutdown().await;
    }
    assert_eq!(canary.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_private_server_is_reached_where_an_admin_allowed_it_and_says_so_where_not() {
    let fake = Fake::start(plain).await;
    let named = fake.url.replace("127.0.0.1", "rebound.test");
    let anna = scope("anna");
    for (url, allow_private) in [(&fake.url, true), (&named, true), (&fake.url, false), (&named, false)] {
        let book = Book::default();
        let server = OwnServer { allow_private, ..own("s", url, &[]) };
        book.write(&anna.owner(), |page| page.servers.push(server));
        let options = Options { limits: patient(), lookup: lookup(), ..Options::default() };
        let bridges = Bridges::new(parsed(&json!({})), Some(book.directory()), options);
        let found = bridges.visit(&anna.owner(), "s").await.expect("a server");
        match found {
            Ok(found) => assert!(allow_private && found.tools.len() == 2, "{url}"),
            Err(reason) => assert!(!allow_private && reason.contains("admin"), "{url}: {reason}"),
        }
        bridges.shutdown().await;
    }
    // The operator's configuration names what it wants.
    let options = Options { limits: patient(), lookup: lookup(), ..Options::default() };
    let bridges = Bridges::new(parsed(&json!({"o": {"url": fake.url}})), None, options);
    assert_eq!(bridges.list(&anna).await.tools.len(), 2);
    bridges.shutdown().await;
}
