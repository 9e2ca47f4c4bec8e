//! Stop of the process, for the tasks that export.

use tokio::sync::watch;
use tokio::time::Instant;

/// Stop of the process, as a task of the exporting thread sees it.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<Option<Instant>>);

impl Stop {
    /// Creates the value from a channel with the time until which the rest may be sent.
    pub(crate) const fn new(stop: watch::Receiver<Option<Instant>>) -> Self {
        Self(stop)
    }

    /// True if the process stops.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the process stops.
    pub(crate) async fn begun(&mut self) {
        // An error means that the handle was dropped, which also stops the export.
        let _stops = self.0.wait_for(Option::is_some).await;
    }

    /// The time limit of the stop, or `limit` if that is earlier.
    pub(super) fn earlier(&self, limit: Instant) -> Instant {
        let stop = *self.0.borrow();
        stop.map_or(limit, |stop| stop.min(limit))
    }
}
