//! Under which names the server answers, and which web pages may call it: exact lists.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::config::doors::Doors;
use crate::problem::Problem;

const FETCH_SITE: &str = "sec-fetch-site";
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// A web page can make a browser call this address under a name of its own; only our names are answered.
pub(crate) fn check_host(doors: &Doors, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts =
        headers.get_all(HOST).iter().map(HeaderValue::to_str).chain(uri.authority().map(|a| Ok(a.as_str())));
    let first = hosts.next().ok_or_else(|| Problem::bad_request("host_missing", "the request names no Host"))?;
    let known = |host: Result<&str, _>| host.is_ok_and(|host| is_our_name(doors, host));
    if known(first) && hosts.all(known) {
        return Ok(());
    }
    let detail = "this server is not called by that name; ADJUTANT_ALLOWED_HOSTS lists the names it answers to";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", detail))
}

fn is_our_name(doors: &Doors, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => name,
        _ => host.as_str(),
    };
    let own = doors.listen.ip();
    LOOPBACK.contains(&name)
        || doors.allowed_hosts.iter().any(|allowed| allowed == name || *allowed == host)
        || (!own.is_unspecified() && (name == own.to_string() || name == format!("[{own}]")))
}

/// Refuses what a web page of another origin asks for. Programs send no Origin.
pub(crate) fn check_origin(doors: &Doors, headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| {
        let host = host.to_ascii_lowercase();
        origin == format!("http://{host}") || (doors.behind_proxy && origin == format!("https://{host}"))
    });
    if origins.next().is_none() && (own || doors.allowed_origins.iter().any(|allowed| allowed == origin)) {
        return Ok(());
    }
    Err(refused())
}

/// What a browser's session may be used for: it is sent along by itself, so the page that asks must be ours. A request
/// that changes something says which page it comes from, or is refused.
pub(crate) fn check_session(doors: &Doors, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    check_origin(doors, headers)?;
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads {
        require_origin(headers)?;
    }
    // Where the browser says more, it must fit. `none` is a person who typed the address.
    let sites = headers.get_all(FETCH_SITE).iter();
    let fits = |site: &HeaderValue| site == "same-origin" || (reads && site == "none") || is_listed(doors, headers);
    if sites.into_iter().all(fits) { Ok(()) } else { Err(refused()) }
}

/// Refuses a request that does not say which page it comes from.
pub(crate) fn require_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let detail = "a browser's session or ticket is good only together with the header Origin, which browsers send";
    Err(Problem::new(StatusCode::FORBIDDEN, "origin_missing", detail))
}

fn is_listed(doors: &Doors, headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| doors.allowed_origins.iter().any(|allowed| origin == allowed.as_str()))
}

fn refused() -> Problem {
    let detail = "web pages of this origin may not call the server; ADJUTANT_ALLOWED_ORIGINS lists those that may";
    Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(behind_proxy: bool) -> Doors {
        Doors {
            listen: "10.1.2.3:8080".parse().unwrap(),
            allowed_hosts: vec!["a.example.org".to_owned(), "b.example.org:8443".to_owned()],
            allowed_origins: vec!["https://ui.example.org".to_owned()],
            behind_proxy,
        }
    }

    #[test]
    fn only_our_names_are_ours() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:80", "10.1.2.3", "a.example.org:99"] {
            assert!(is_our_name(&doors(false), host), "{host}");
        }
        assert!(is_our_name(&doors(false), "b.example.org:8443"));
        for host in ["", "b.example.org", "evil.example", "localhost.evil.example", "a.example.org.", "localhost:x"] {
            assert!(!is_our_name(&doors(false), host), "{host}");
        }
    }

    #[test]
    fn origins_are_compared_exactly() {
        let headers = |origin: &'static str| {
            let host = (HOST, HeaderValue::from_static("a.example.org"));
            [host, (ORIGIN, HeaderValue::from_static(origin))].into_iter().collect::<HeaderMap>()
        };
        assert!(check_origin(&doors(false), &HeaderMap::new()).is_ok());
        for good in ["http://a.example.org", "https://ui.example.org"] {
            assert!(check_origin(&doors(false), &headers(good)).is_ok(), "{good}");
        }
        for bad in ["null", "", "https://a.example.org", "https://ui.example.org.evil", "http://ui.example.org"] {
            assert!(check_origin(&doors(false), &headers(bad)).is_err(), "{bad}");
        }
        assert!(check_origin(&doors(true), &headers("https://a.example.org")).is_ok());
    }

    #[test]
    fn a_session_changes_things_for_our_own_pages_alone() {
        let check = |method: Method, entries: &[(&'static str, &'static str)]| {
            let mut headers: HeaderMap = [(HOST, HeaderValue::from_static("a.example.org"))].into_iter().collect();
            for (name, value) in entries {
                headers.append(*name, HeaderValue::from_static(value));
            }
            check_session(&doors(false), &method, &headers).map_err(|problem| problem.code)
        };
        let own = ("origin", "http://a.example.org");
        let listed = ("origin", "https://ui.example.org");
        assert_eq!(check(Method::POST, &[own]), Ok(()));
        assert_eq!(check(Method::POST, &[own, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(check(Method::POST, &[listed, ("sec-fetch-site", "same-site")]), Ok(()));
        assert_eq!(check(Method::GET, &[]), Ok(()));
        assert_eq!(check(Method::GET, &[("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(check(Method::POST, &[]), Err("origin_missing"));
        for (method, entries) in [
            (Method::POST, &[own, ("sec-fetch-site", "same-site")][..]),
            (Method::POST, &[own, ("sec-fetch-site", "none")]),
            (Method::POST, &[own, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]),
            (Method::DELETE, &[own, own]),
            (Method::PUT, &[("origin", "null")]),
            (Method::GET, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[("sec-fetch-site", "same-site")]),
            (Method::GET, &[("origin", "https://evil.example")]),
        ] {
            assert_eq!(check(method.clone(), entries), Err("origin_not_allowed"), "{method} {entries:?}");
        }
    }
}
