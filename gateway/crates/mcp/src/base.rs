//! What all bridges share: the options, the HTTP clients, and the tasks, which are counted so that
//! a shutdown can wait for them.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::egress::Network;
use crate::http::Door;
use crate::options::Options;

pub(crate) struct Base {
    pub(crate) options: Options,
    doors: [OnceLock<Option<Door>>; 3],
    pub(crate) stop: CancellationToken,
    own: TaskTracker,
}

impl Base {
    pub(crate) fn new(options: Options) -> Self {
        let stop = options.stop.child_token();
        Self { stop, options, doors: Default::default(), own: TaskTracker::new() }
    }

    /// The HTTP client for servers in this network, made on first use. Missing when the machine's TLS could not be
    /// set up.
    pub(crate) fn door(&self, network: Network) -> Option<&Door> {
        let door = match network {
            Network::Anywhere => &self.doors[0],
            Network::PrivateToo => &self.doors[1],
            Network::Public => &self.doors[2],
        };
        let open = || {
            Door::open(&self.options.limits, network, self.options.lookup.clone())
                .inspect_err(|error| tracing::error!(%error, "the HTTP client for MCP servers could not be set up"))
                .ok()
        };
        door.get_or_init(open).as_ref()
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
