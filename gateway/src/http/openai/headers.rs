//! The headers that are ours: which thread a request goes on with, and which run answered it.

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::message::accept_client_message_id;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::failure::Failure;

const THREAD: HeaderName = HeaderName::from_static("x-thread-id");
const RUN: HeaderName = HeaderName::from_static("x-run-id");
const IDEMPOTENCY: HeaderName = HeaderName::from_static("idempotency-key");

/// Keeps the keys of this door apart from the message ids that sockets choose.
const CLIENT_ID_PREFIX: &str = "openai:";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Asked {
    pub(in crate::http) thread: Option<ThreadId>,
    /// The `Idempotency-Key` as a client message id.
    pub(in crate::http) client_message_id: Option<String>,
}

impl Asked {
    pub(in crate::http) fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let thread = single(headers, &THREAD)?
            .map(|text| text.trim().parse().map_err(|_| Failure::invalid("X-Thread-Id", "X-Thread-Id is no thread id")))
            .transpose()?;
        let client_message_id = single(headers, &IDEMPOTENCY)?.map(|key| format!("{CLIENT_ID_PREFIX}{key}"));
        if let Some(id) = &client_message_id
            && accept_client_message_id(id).is_err()
        {
            let message = "an Idempotency-Key is 1 to 120 characters without control characters";
            return Err(Failure::invalid("Idempotency-Key", message));
        }
        Ok(Self { thread, client_message_id })
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|text| !text.is_empty() && values.next().is_none());
    text.map(Some).ok_or_else(|| Failure::invalid(name.as_str(), format!("send {name} once, as plain text")))
}

/// Tells the client where its answer comes from.
pub(in crate::http) fn name_run(headers: &mut HeaderMap, thread: ThreadId, run: RunId) {
    for (name, id) in [(THREAD, thread.to_string()), (RUN, run.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(HeaderName, &'static str)]) -> Result<Asked, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(name, HeaderValue::from_static(value));
        }
        Asked::read(&headers)
    }

    #[test]
    fn both_headers_are_optional_and_kept_apart_from_socket_ids() {
        assert_eq!(read(&[]).unwrap(), Asked { thread: None, client_message_id: None });
        let asked = read(&[(IDEMPOTENCY, "k 1"), (THREAD, "019a0000-0000-7000-8000-000000000001")]).unwrap();
        assert_eq!(asked.client_message_id.as_deref(), Some("openai:k 1"));
        assert!(asked.thread.is_some());
    }

    #[test]
    fn odd_headers_are_refused() {
        for entries in
            [&[(THREAD, "x")][..], &[(THREAD, "")], &[(IDEMPOTENCY, "")], &[(IDEMPOTENCY, "a"), (IDEMPOTENCY, "b")]]
        {
            assert!(read(entries).is_err(), "{entries:?}");
        }
    }
}
