//! Counts of successes and failures.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Kept of what went wrong.
const KEPT: usize = 20;

/// Counted by all clients.
#[derive(Default)]
pub(crate) struct Faults {
    /// The clients end after what they are doing.
    pub(crate) stop: AtomicBool,
    /// Requests answered as they should be.
    pub(crate) answered: AtomicUsize,
    /// Messages that came back over WebSockets, gRPC streams and event streams.
    pub(crate) messages: AtomicUsize,
    /// WebSockets and gRPC streams that have been open at once.
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

    /// Something that must not be.
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
