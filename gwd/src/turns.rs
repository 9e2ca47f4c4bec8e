//! Permits for TLS handshakes: a limited number runs at once, the others wait without a buffer.
//!
//! A client that stalls in its handshake holds its permit, too. While others wait, a handshake may
//! therefore take no longer than [`PRESSED_MS`].

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum time for a handshake while others wait for a turn: 1s.
pub(crate) const PRESSED_MS: u64 = 1_000;

/// Handshake permits of the process.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Semaphore,
    waiting: AtomicUsize,
}

/// A waiter for a turn, counted until it is dropped.
struct Waiting<'t>(&'t AtomicUsize);

impl Turns {
    pub(crate) fn new(max: u64) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self {
            free: Semaphore::new(max.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a permit, in the order of requests. It is released when it is dropped.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.free.try_acquire() {
            return Some(turn);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        self.free.acquire().await.ok() // closed is it never
    }

    /// True if there is a waiter for a turn.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
