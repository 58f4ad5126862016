//! When a failed call is tried again. Pure: the caller brings headers and randomness, and waits.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::settings::Timeouts;

/// How long to wait before the next try, or `None` when the provider asks for more than is waited
/// for. `failed` counts the tries so far; `random` is any number.
pub(crate) fn wait(failed: u32, asked: Option<Duration>, timeouts: &Timeouts, random: u64) -> Option<Duration> {
    let doubled = timeouts.backoff.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
    let jitter = part(doubled.min(timeouts.backoff_max), random);
    match asked {
        Some(asked) if asked > timeouts.retry_after_max => None,
        // Everyone who was told the same second would come back at once without the jitter.
        Some(asked) => Some(asked + jitter.min(timeouts.backoff)),
        None => Some(jitter),
    }
}

/// A part of `whole`, from nothing to all of it.
fn part(whole: Duration, random: u64) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % micros.saturating_add(1))
}

/// What the provider asked to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date. A
/// date is measured against the answer's own `Date`, so that no clock is trusted.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let asked = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = asked.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let due = DateTime::parse_from_rfc2822(asked).ok()?;
    let now = DateTime::parse_from_rfc2822(text(DATE.as_str())?).ok()?;
    (due - now).max(TimeDelta::zero()).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect()
    }

    #[test]
    fn waits_double_up_to_the_limit_and_are_a_random_part() {
        let timeouts = Timeouts {
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_millis(300),
            ..Timeouts::default()
        };
        let longest = |failed, micros: u64| wait(failed, None, &timeouts, micros);
        assert_eq!(longest(1, 100_000), Some(Duration::from_millis(100)));
        assert_eq!(longest(2, 200_000), Some(Duration::from_millis(200)));
        assert_eq!(longest(3, 300_000), Some(Duration::from_millis(300)));
        assert_eq!(longest(60, 300_000), Some(Duration::from_millis(300)));
        assert_eq!(longest(2, 200_001), Some(Duration::ZERO));
        assert_eq!(longest(2, 50), Some(Duration::from_micros(50)));
    }

    #[test]
    fn a_wait_is_never_shorter_than_the_provider_asked_and_never_longer_than_the_limit() {
        let timeouts = Timeouts::default();
        let second = Duration::from_secs(1);
        for random in [0, 1, u64::MAX] {
            let waited = wait(1, Some(second), &timeouts, random);
            assert!(waited.is_some_and(|waited| waited >= second && waited <= second + timeouts.backoff));
        }
        assert_eq!(wait(1, Some(Duration::from_secs(61)), &timeouts, 0), None);
    }

    #[test]
    fn all_forms_of_retry_after_are_read() {
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        let cases = [
            (headers(&[("retry-after", "7")]), Some(Duration::from_secs(7))),
            (headers(&[("retry-after", "0.5")]), Some(Duration::from_millis(500))),
            (headers(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250))),
            (headers(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"), date]), Some(Duration::from_secs(30))),
            (headers(&[("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT"), date]), Some(Duration::ZERO)),
            (headers(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")]), None),
            (headers(&[("retry-after", "-3")]), None),
            (headers(&[("retry-after", "NaN")]), None),
            (headers(&[("retry-after", "soon")]), None),
            (headers(&[]), None),
        ];
        for (headers, asked) in cases {
            assert_eq!(retry_after(&headers), asked, "{headers:?}");
        }
    }
}
