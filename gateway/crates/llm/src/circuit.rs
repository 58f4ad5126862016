//! Circuit breakers: a model that keeps failing rests, then one call tries it. Kept per address, key
//! and model, so that one person's refused key rests nobody else's. Knows no clock: it is told the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adjutant_core::limits;
use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) origin: String,
    /// A mark of the user's key; `None`: the operator's.
    pub(crate) owner: Option<u64>,
    pub(crate) model: String,
}

#[derive(Debug)]
struct Circuit {
    failures: u32,
    touched: Instant,
    /// Set while it rests, and until a call that tries it has come back.
    until: Option<Instant>,
    rest: Duration,
    is_tried: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Circuits(Mutex<HashMap<Key, Circuit>>);

pub(crate) enum Admission {
    Go(Permit),
    /// For so long yet; the right to ask it nevertheless.
    Rests(Duration, Permit),
}

/// The right to ask a model once. Dropped without an outcome it leaves everything as it was.
pub(crate) struct Permit {
    circuits: Arc<Circuits>,
    key: Key,
    is_trial: bool,
    is_settled: bool,
}

impl Circuits {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admit(self: &Arc<Self>, key: Key, now: Instant) -> Admission {
        let permit = |key, is_trial| Permit { circuits: Arc::clone(self), key, is_trial, is_settled: false };
        let mut is_trial = false;
        if let Some(circuit) = self.lock().get_mut(&key)
            && let Some(until) = circuit.until
        {
            if now < until || circuit.is_tried {
                let left = until.saturating_duration_since(now).max(limits::MODEL_BACKOFF);
                return Admission::Rests(left, permit(key, false));
            }
            circuit.is_tried = true;
            is_trial = true;
        }
        Admission::Go(permit(key, is_trial))
    }
}

impl Permit {
    /// The model answered, or refused the request as such.
    pub(crate) fn alive(mut self) {
        self.is_settled = true;
        self.circuits.lock().remove(&self.key);
    }

    /// The model failed. `asked` is how long the provider wants to be left alone.
    pub(crate) fn failed(mut self, asked: Option<Duration>, now: Instant) {
        self.is_settled = true;
        let mut circuits = self.circuits.lock();
        if circuits.len() >= limits::MODEL_CIRCUITS && !circuits.contains_key(&self.key) {
            let oldest = circuits.iter().min_by_key(|(_, circuit)| circuit.touched).map(|(key, _)| key.clone());
            oldest.map(|key| circuits.remove(&key));
        }
        let circuit = circuits.entry(self.key.clone()).or_insert_with(|| Circuit {
            failures: 0,
            touched: now,
            until: None,
            rest: limits::MODEL_REST,
            is_tried: false,
        });
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.touched = now;
        if self.is_trial {
            circuit.is_tried = false;
            circuit.rest = circuit.rest.saturating_mul(2).min(limits::MODEL_REST_MAX);
        }
        if let Some(asked) = asked {
            circuit.until = Some(now + asked.min(limits::MODEL_REST_MAX));
        } else if self.is_trial || circuit.failures >= limits::MODEL_FAILURES {
            circuit.until = Some(now + circuit.rest);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_trial
            && !self.is_settled
            && let Some(circuit) = self.circuits.lock().get_mut(&self.key)
        {
            circuit.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(owner: Option<u64>) -> Key {
        Key { origin: "https://x.example".to_owned(), owner, model: "m".to_owned() }
    }

    #[track_caller]
    fn go(circuits: &Arc<Circuits>, now: Instant) -> Permit {
        match circuits.admit(key(None), now) {
            Admission::Go(permit) => permit,
            Admission::Rests(left, _) => panic!("it rests for {left:?}"),
        }
    }

    #[track_caller]
    fn rests(circuits: &Arc<Circuits>, now: Instant) -> Duration {
        match circuits.admit(key(None), now) {
            Admission::Go(_) => panic!("it does not rest"),
            Admission::Rests(left, _) => left,
        }
    }

    fn fail_until_it_rests(circuits: &Arc<Circuits>, now: Instant) {
        for _ in 0..limits::MODEL_FAILURES {
            go(circuits, now).failed(None, now);
        }
    }

    #[tokio::test]
    async fn a_model_that_keeps_failing_rests_and_one_call_tries_it() {
        let (circuits, now) = (Arc::new(Circuits::default()), Instant::now());
        fail_until_it_rests(&circuits, now);
        assert_eq!(rests(&circuits, now), limits::MODEL_REST);
        assert!(matches!(circuits.admit(key(Some(7)), now), Admission::Go(_)), "another key does not rest");

        let later = now + limits::MODEL_REST;
        let trial = go(&circuits, later);
        rests(&circuits, later);
        trial.failed(None, later);
        assert_eq!(rests(&circuits, later), 2 * limits::MODEL_REST);

        let later = later + 2 * limits::MODEL_REST;
        let trial = go(&circuits, later);
        drop(trial);
        let trial = go(&circuits, later);
        trial.alive();
        go(&circuits, later);
        assert!(circuits.lock().is_empty());
    }

    #[tokio::test]
    async fn an_answer_between_failures_begins_the_count_anew() {
        let (circuits, now) = (Arc::new(Circuits::default()), Instant::now());
        for _ in 0..3 * limits::MODEL_FAILURES {
            go(&circuits, now).failed(None, now);
            go(&circuits, now).alive();
        }
        go(&circuits, now);
    }

    #[tokio::test]
    async fn a_provider_that_asks_for_a_rest_gets_it_at_once_and_bounded() {
        let (circuits, now) = (Arc::new(Circuits::default()), Instant::now());
        go(&circuits, now).failed(Some(Duration::from_secs(40)), now);
        assert_eq!(rests(&circuits, now), Duration::from_secs(40));
        let later = now + Duration::from_secs(40);
        go(&circuits, later).failed(Some(Duration::from_secs(40_000)), later);
        assert_eq!(rests(&circuits, later), limits::MODEL_REST_MAX);
    }

    #[tokio::test]
    async fn a_rest_never_grows_beyond_its_limit() {
        let (circuits, mut now) = (Arc::new(Circuits::default()), Instant::now());
        fail_until_it_rests(&circuits, now);
        for _ in 0..20 {
            now += rests(&circuits, now);
            go(&circuits, now).failed(None, now);
        }
        assert_eq!(rests(&circuits, now), limits::MODEL_REST_MAX);
    }

    #[tokio::test]
    async fn only_so_many_circuits_are_kept() {
        let (circuits, now) = (Arc::new(Circuits::default()), Instant::now());
        for owner in 0..=limits::MODEL_CIRCUITS as u64 {
            let Admission::Go(permit) = circuits.admit(key(Some(owner)), now) else { panic!("it rests") };
            permit.failed(None, now + Duration::from_millis(owner));
        }
        let kept = circuits.lock();
        assert_eq!(kept.len(), limits::MODEL_CIRCUITS);
        assert!(!kept.contains_key(&key(Some(0))));
    }
}
