//! The key that a request carries: `X-API-Key` or `Authorization: Bearer`, and on the WebSocket upgrade
//! alone `?api_key=`. Two different ones are none.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::key::{self, Digest};

const HEADER: &str = "x-api-key";
const QUERY: &str = "api_key";

/// The hash of the key in the headers. `None`: there is none, or no single one.
pub fn in_headers(headers: &HeaderMap) -> Option<Digest> {
    let plain = headers.get_all(HEADER).iter().map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer_token));
    single(plain.chain(bearer))
}

/// The hash of the key in headers or query, for a WebSocket upgrade.
pub fn in_upgrade(headers: &HeaderMap, query: Option<&str>) -> Option<Digest> {
    let plain = headers.get_all(HEADER).iter().map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer_token));
    let query: Vec<String> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == QUERY)
        .map(|(_, value)| value.into_owned())
        .collect();
    single(plain.chain(bearer).chain(query.iter().map(|value| Some(value.as_str()))))
}

fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn single<'a>(mut presented: impl Iterator<Item = Option<&'a str>>) -> Option<Digest> {
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
        assert_eq!(in_upgrade(&headers(&[]), Some("a=b&api_key=k")), digest);
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
        assert_eq!(in_upgrade(&headers(&[("x-api-key", "a")]), Some("api_key=b")), None);
        assert_eq!(in_upgrade(&headers(&[]), Some("api_key=a&api_key=b")), None);
    }
}
