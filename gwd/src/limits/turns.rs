//! Permits for TLS handshakes: a limited number of handshakes run at the same time. Other
//! handshakes wait, without a buffer.
//!
//! A client that stalls its handshake keeps the permit. While others wait for a permit, a handshake
//! may therefore take at most [`PRESSED_MS`].

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum time that a handshake may wait for its client while others wait for a permit: 1s.
pub(crate) const PRESSED_MS: u64 = 1_000;

/// Handshake permits of the process.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Semaphore,
    waiting: AtomicUsize,
}

/// Waiter for a permit; counted until this value is dropped.
struct Waiting<'t>(&'t AtomicUsize);

impl Turns {
    pub(crate) fn new(max: u64) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self {
            free: Semaphore::new(max.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a permit, in order of arrival. Dropping the permit returns it.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.free.try_acquire() {
            return Some(turn);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        // The semaphore is never closed.
        self.free.acquire().await.ok()
    }

    /// True if a handshake waits for a permit.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
