//! The only place that spawns tasks. It names them, catches their panics and ends them: first it
//! asks, then it waits.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    tracker: TaskTracker,
    stopping: CancellationToken,
    panics: Arc<AtomicU64>,
}

impl Supervisor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task to its end; a panic in it is counted and logged, nothing else is harmed.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let this = self.clone();
        self.tracker.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                this.caught(name, panic.as_ref());
            }
        });
    }

    /// Counts and logs a panic that was caught elsewhere.
    pub fn caught(&self, name: &'static str, panic: &(dyn Any + Send)) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(task.name = name, reason, "a task panicked");
    }

    /// Runs work that blocks its thread.
    pub fn spawn_blocking(&self, task: impl FnOnce() + Send + 'static) {
        self.tracker.spawn_blocking(task);
    }

    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Resolves when the server begins to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Panics caught so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Asks all tasks to end and waits until they have.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
