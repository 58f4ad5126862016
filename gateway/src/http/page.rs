//! Lists: `?before=&limit=` in, `{"items": […], "next": …}` out. A cursor is opaque to clients.

use adjutant_core::limits;
use axum::extract::FromRequestParts;
use chrono::{DateTime, Utc};
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

const DEFAULT: i64 = 50;

/// One page, and where the next one begins; no `next` at the end of the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// The `next` of an earlier page.
    pub before: Option<String>,
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut asked = Self { before: None, limit: DEFAULT };
        for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "before" => asked.before = Some(value.into_owned()).filter(|value| !value.is_empty()),
                "limit" => asked.limit = limit(&value)?,
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn limit(text: &str) -> Result<i64, Problem> {
    let fits = text.parse().ok().filter(|limit| (1..=limits::PAGE).contains(limit));
    fits.ok_or_else(|| Problem::bad_request("invalid_limit", format!("limit is a number from 1 to {}", limits::PAGE)))
}

impl Asked {
    /// The cursor, read with `parse`.
    pub fn cursor<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let wrong = || Problem::bad_request("invalid_cursor", "before is the `next` of an earlier page");
        self.before.as_deref().map(|text| parse(text).ok_or_else(wrong)).transpose()
    }
}

/// A time that a list is bounded by.
pub(super) fn time(name: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(DateTime::<Utc>::from);
    // PostgreSQL knows fewer years than we do.
    let fits = time.filter(|time| (1..=9_999).contains(&chrono::Datelike::year(time)));
    let wrong = || Problem::bad_request("invalid_filter", format!("{name} is a time such as 2026-11-26T07:00:00Z"));
    fits.ok_or_else(wrong)
}

/// A position in a list that is sorted by time and id.
pub(super) fn time_cursor<I: std::fmt::Display>(at: DateTime<Utc>, id: I) -> String {
    format!("{}_{id}", at.timestamp_micros())
}

pub(super) fn parse_time_cursor<I: std::str::FromStr>(text: &str) -> Option<(DateTime<Utc>, I)> {
    let (at, id) = text.split_once('_')?;
    let at = DateTime::from_timestamp_micros(at.parse().ok()?)?;
    // PostgreSQL knows fewer years than we do.
    (0..=9_999).contains(&chrono::Datelike::year(&at)).then_some(())?;
    Some((at, id.parse().ok()?))
}

/// A position in a list that is sorted by number and id.
pub(super) fn number_cursor<I: std::fmt::Display>(number: i64, id: I) -> String {
    format!("{number}_{id}")
}

/// Also a bare number, which stands before everything of that number.
pub(super) fn parse_number_cursor<I: std::str::FromStr>(text: &str) -> Option<(i64, I)> {
    const FIRST: &str = "00000000-0000-0000-0000-000000000000";
    let (number, id) = text.split_once('_').unwrap_or((text, FIRST));
    Some((number.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use adjutant_core::ids::ThreadId;

    use super::*;

    #[test]
    fn cursors_survive_the_way_to_the_client_and_back() {
        let id = ThreadId::new();
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        assert_eq!(parse_time_cursor(&time_cursor(at, id)), Some((at, id)));
        assert_eq!(parse_number_cursor(&number_cursor(7, id)), Some((7, id)));
        assert_eq!(parse_number_cursor::<ThreadId>("7").map(|cursor| cursor.0), Some(7));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "_", "1_", "1_x", "99999999999999999999", "9223372036854775807_x"] {
            assert_eq!(parse_time_cursor::<ThreadId>(text), None, "{text}");
        }
        let far = format!("{}_{}", i64::MAX, ThreadId::new());
        assert_eq!(parse_time_cursor::<ThreadId>(&far), None);
        assert_eq!(parse_number_cursor::<ThreadId>("1_x"), None);
    }
}
