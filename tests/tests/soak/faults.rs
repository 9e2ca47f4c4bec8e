//! Counters of the load test: successes, and errors with the first messages.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Maximum number of error messages that are stored.
const KEPT: usize = 20;

/// Counters that all clients share.
#[derive(Default)]
pub(crate) struct Faults {
    /// True once the clients must stop after their current request.
    pub(crate) stop: AtomicBool,
    /// Requests with a correct response.
    pub(crate) answered: AtomicUsize,
    /// Messages received over WebSockets, gRPC streams and event streams.
    pub(crate) messages: AtomicUsize,
    /// WebSockets and gRPC streams that were open at the same time.
    pub(crate) open: AtomicUsize,
    count: AtomicUsize,
    first: Mutex<Vec<String>>,
}

impl Faults {
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Records an error.
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().expect("nobody panics with it");
        if first.len() < KEPT {
            first.push(what.into());
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        write!(
            f,
            "{} requests, {} messages, {} sockets and streams, {} faults",
            number(&self.answered),
            number(&self.messages),
            number(&self.open),
            number(&self.count)
        )?;
        for fault in &*self.first.lock().expect("nobody panics with it") {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}
