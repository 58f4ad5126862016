//! The session's cookie. Behind TLS it is bound to this host by its name (`__Host-`), which no other host of the domain
//! can set; on this machine browsers would not keep such a one, so it has a plain name there.

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue};

use super::key::Digest;
use super::presented::single;
use crate::config::doors::Doors;

const BOUND: &str = "__Host-adjutant";
const PLAIN: &str = "adjutant";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "[::1]"];

/// The hash of the session's cookie. `None`: there is none, or no single one.
pub fn read(doors: &Doors, headers: &HeaderMap) -> Option<Digest> {
    let name = name(doors, headers);
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    single(pairs.filter(|(found, _)| *found == name).map(|(_, value)| Some(value)))
}

/// Sets the cookie, for as long as a browser keeps any: the server decides when it ends.
pub fn set(doors: &Doors, headers: &HeaderMap, secret: &str) -> Option<HeaderValue> {
    write(doors, headers, secret, "34560000")
}

/// Makes the browser forget it.
pub fn clear(doors: &Doors, headers: &HeaderMap) -> Option<HeaderValue> {
    write(doors, headers, "", "0")
}

fn write(doors: &Doors, headers: &HeaderMap, value: &str, seconds: &str) -> Option<HeaderValue> {
    let secure = if is_behind_tls(doors, headers) { "; Secure" } else { "" };
    let name = name(doors, headers);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn name(doors: &Doors, headers: &HeaderMap) -> &'static str {
    if is_behind_tls(doors, headers) { BOUND } else { PLAIN }
}

/// Without a proxy only this machine is served. With one, everything is TLS but what calls past it.
fn is_behind_tls(doors: &Doors, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = text(HOST.as_str()).to_ascii_lowercase();
    let here = LOOPBACK.iter().any(|name| host == *name || host.starts_with(&format!("{name}:")));
    doors.behind_proxy && (!here || text(FORWARDED_PROTO).eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    fn doors(behind_proxy: bool) -> Doors {
        Doors {
            listen: "127.0.0.1:8080".parse().unwrap(),
            allowed_hosts: vec!["a.example.org".to_owned()],
            allowed_origins: Vec::new(),
            behind_proxy,
        }
    }

    fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn behind_tls_the_cookie_is_bound_to_its_host_and_sent_nowhere_else() {
        let at_home = headers(&[("host", "a.example.org")]);
        let cookie = set(&doors(true), &at_home, "s").unwrap();
        let expected = "__Host-adjutant=s; Path=/; HttpOnly; SameSite=Strict; Max-Age=34560000; Secure";
        assert_eq!(cookie, expected);
        assert!(cookie.is_sensitive());
        let forwarded = headers(&[("host", "127.0.0.1:8080"), ("x-forwarded-proto", "https")]);
        assert_eq!(set(&doors(true), &forwarded, "s").unwrap(), expected);
        let here = headers(&[("host", "localhost:8080")]);
        let plain = "adjutant=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(clear(&doors(true), &here).unwrap(), plain);
        assert_eq!(clear(&doors(false), &here).unwrap(), plain);
    }

    #[test]
    fn a_cookie_that_another_host_of_the_domain_can_set_is_not_read_behind_tls() {
        let both = headers(&[("host", "a.example.org"), ("cookie", "adjutant=evil; __Host-adjutant=good")]);
        assert_eq!(read(&doors(true), &both), Some(key::digest("good")));
        let tossed = headers(&[("host", "a.example.org"), ("cookie", "adjutant=evil")]);
        assert_eq!(read(&doors(true), &tossed), None);
    }

    #[test]
    fn two_cookies_are_none() {
        let read = |lines: &[&'static str]| {
            let mut entries = vec![("host", "localhost")];
            entries.extend(lines.iter().map(|line| ("cookie", *line)));
            read(&doors(false), &headers(&entries))
        };
        assert_eq!(read(&["a=b; adjutant=s; c"]), Some(key::digest("s")));
        assert_eq!(read(&["a=b", "adjutant=s"]), Some(key::digest("s")));
        for lines in [&["adjutant=s; adjutant=t"][..], &["adjutant=s", "adjutant=t"], &["adjutant="], &["xadjutant=s"]]
        {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }
}
