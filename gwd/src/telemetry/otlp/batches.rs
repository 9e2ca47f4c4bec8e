//! Items of a queue, received in batches that are exported together.

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout_at};

use super::Stop;

/// Maximum time from the first item of a batch until the batch is sent: 1s.
const DELAY: Duration = Duration::from_secs(1);

/// Receiving end of a queue, until the process stops.
pub(crate) struct Batches<T> {
    received: mpsc::Receiver<T>,
    stop: Stop,
}

impl<T> Batches<T> {
    pub(crate) const fn new(received: mpsc::Receiver<T>, stop: Stop) -> Self {
        Self { received, stop }
    }

    /// Receives the items of a batch. `add` adds an item, and returns true if the batch is full.
    /// Returns false if the process stops.
    pub(crate) async fn receive(&mut self, mut add: impl FnMut(T) -> bool) -> bool {
        let mut until = None;
        loop {
            if self.stop.has_begun() {
                return false;
            }
            let next = async {
                match until {
                    None => Ok(self.received.recv().await),
                    Some(until) => timeout_at(until, self.received.recv()).await,
                }
            };
            let next = tokio::select! {
                next = next => next,
                () = self.stop.begun() => return false,
            };
            match next {
                Ok(Some(item)) => {
                    if add(item) {
                        return true;
                    }
                }
                Ok(None) => return false,
                Err(_) => return true,
            }
            until.get_or_insert_with(|| Instant::now() + DELAY);
        }
    }

    /// Adds the items of a batch that are in the queue, without waiting. `add`: as in
    /// [`Self::receive`].
    pub(crate) fn rest(&mut self, mut add: impl FnMut(T) -> bool) {
        while let Ok(item) = self.received.try_recv() {
            if add(item) {
                return;
            }
        }
    }
}
