//! What a request shows of its sender: a key in `X-API-Key` or `Authorization: Bearer`, or the session's cookie where no
//! header says anything. On the WebSocket upgrade alone: a key or a ticket in the query. Two different ones are none.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::key::{self, Digest};

const HEADER: &str = "x-api-key";
const KEY_QUERY: &str = "api_key";
const TICKET_QUERY: &str = "ticket";

/// By its hash, what somebody may be known by. A device key is good as a cookie alone, a key never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    Key(Digest),
    Device(Digest),
}

/// What an upgrade request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrading {
    /// No single one.
    Nothing,
    Key(Digest),
    Ticket(Digest),
}

/// Whether a header claims to hold a key. If so, the cookie says nothing: a wrong key is not healed by it.
pub fn claims_a_key(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER) || headers.contains_key(AUTHORIZATION)
}

/// The hash of the key in the headers. `None`: there is none, or no single one.
pub fn in_headers(headers: &HeaderMap) -> Option<Digest> {
    single(header_keys(headers))
}

/// The key in headers or query, or the ticket in the query, of a WebSocket upgrade.
pub fn in_upgrade(headers: &HeaderMap, query: Option<&str>) -> Upgrading {
    let (keys, tickets) = (in_query(query, KEY_QUERY), in_query(query, TICKET_QUERY));
    let keys = header_keys(headers).chain(keys.iter().map(|value| Some(value.as_str())));
    if tickets.is_empty() {
        return single(keys).map_or(Upgrading::Nothing, Upgrading::Key);
    }
    let [ticket] = tickets.as_slice() else { return Upgrading::Nothing };
    if keys.count() > 0 {
        return Upgrading::Nothing;
    }
    single([Some(ticket.as_str())].into_iter()).map_or(Upgrading::Nothing, Upgrading::Ticket)
}

fn header_keys(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let plain = headers.get_all(HEADER).iter().map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer_token));
    plain.chain(bearer)
}

fn in_query(query: Option<&str>, wanted: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.filter(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).collect()
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The hash of what is presented, if that is one thing.
pub(super) fn single<'a>(mut presented: impl Iterator<Item = Option<&'a str>>) -> Option<Digest> {
    let first = presented.next()??.trim();
    let same = presented.all(|other| other.map(str::trim) == Some(first));
    (same && (1..=key::LONGEST).contains(&first.len())).then(|| key::digest(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_key_in_any_header_is_found() {
        let digest = Some(key::digest("k"));
        assert_eq!(in_headers(&headers(&[("x-api-key", "k")])), digest);
        assert_eq!(in_headers(&headers(&[("authorization", "Bearer k")])), digest);
        assert_eq!(in_headers(&headers(&[("authorization", "bearer  k ")])), digest);
        assert_eq!(in_headers(&headers(&[("authorization", "Bearer k"), ("x-api-key", "k")])), digest);
        let upgrading = Upgrading::Key(key::digest("k"));
        assert_eq!(in_upgrade(&headers(&[]), Some("a=b&api_key=k")), upgrading);
        assert_eq!(in_upgrade(&headers(&[("x-api-key", "k")]), Some("api_key=k")), upgrading);
    }

    #[test]
    fn none_or_two_keys_are_no_key() {
        for entries in [
            &[][..],
            &[("authorization", "Basic k")],
            &[("authorization", "Bearer")],
            &[("x-api-key", "")],
            &[("x-api-key", "a"), ("x-api-key", "b")],
            &[("x-api-key", "a"), ("authorization", "Bearer b")],
            &[("x-api-key", "a"), ("authorization", "Basic a")],
        ] {
            assert_eq!(in_headers(&headers(entries)), None, "{entries:?}");
        }
        assert_eq!(in_upgrade(&headers(&[("x-api-key", "a")]), Some("api_key=b")), Upgrading::Nothing);
        assert_eq!(in_upgrade(&headers(&[]), Some("api_key=a&api_key=b")), Upgrading::Nothing);
    }

    #[test]
    fn a_ticket_stands_alone() {
        assert_eq!(in_upgrade(&headers(&[]), Some("ticket=t")), Upgrading::Ticket(key::digest("t")));
        for query in ["ticket=t&ticket=t", "ticket=t&api_key=k", "ticket=", "ticket=t&api_key="] {
            assert_eq!(in_upgrade(&headers(&[]), Some(query)), Upgrading::Nothing, "{query}");
        }
        assert_eq!(in_upgrade(&headers(&[("x-api-key", "k")]), Some("ticket=t")), Upgrading::Nothing);
        assert_eq!(in_upgrade(&headers(&[("authorization", "")]), Some("ticket=t")), Upgrading::Nothing);
    }
}
