//! What all bridges share: the options, the HTTP client, and the tasks, which are counted so that
//! a shutdown can wait for them.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Door;
use crate::options::Options;

pub(crate) struct Base {
    pub(crate) options: Options,
    /// Missing when the machine's TLS could not be set up.
    pub(crate) door: Option<Door>,
    pub(crate) stop: CancellationToken,
    own: TaskTracker,
}

impl Base {
    pub(crate) fn new(options: Options) -> Self {
        let door = Door::open(&options.limits)
            .inspect_err(|error| tracing::error!(%error, "the HTTP client for MCP servers could not be set up"))
            .ok();
        Self { stop: options.stop.child_token(), options, door, own: TaskTracker::new() }
    }

    /// Runs on the caller's tracker and is awaited by [`Self::finish`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.options.tasks.spawn(self.own.track_future(task));
    }

    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.own.close();
        self.own.wait().await;
    }
}
