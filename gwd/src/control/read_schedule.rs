//! Rate limit for reads of the store, the trust file and the secrets.
//!
//! Anyone who can write to the store's folder can cause any number of file events. These must not
//! delay operators' requests and signals in the control thread: at most one read is pending for all
//! file events, and reads leave most of the thread's time free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Minimum interval in milliseconds between reads caused by file events: at most ten reads per
/// second.
const INTERVAL_MS: u64 = 100;
/// Pause after a read, as a multiple of its duration. Reads therefore take at most a fifth of the
/// control thread's time, however many files the store has.
const PAUSE_FACTOR: u64 = 4;

/// Schedule of reads caused by file events.
#[derive(Debug, Default)]
pub(super) struct ReadSchedule {
    pending: Pending,
    wanted: bool,
    /// Earliest time of the next read caused by file events.
    next_ms: u64,
}

/// Flag that is set from a file event until the next read begins. The watcher sets the flag, and a
/// read clears it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(Arc<AtomicBool>);

// === impl ReadSchedule ===

impl ReadSchedule {
    /// Returns the flag that the file watcher sets.
    pub(super) fn pending(&self) -> Pending {
        self.pending.clone()
    }

    /// Records a file event.
    pub(super) fn record_event(&mut self) {
        self.wanted = true;
    }

    /// Time of the next read caused by file events, or `u64::MAX` if no event is pending.
    pub(super) fn due_ms(&self) -> u64 {
        if self.wanted { self.next_ms } else { u64::MAX }
    }

    /// Records that a read begins. The read covers all earlier events; later events cause another
    /// read.
    pub(super) fn begin(&mut self) {
        self.wanted = false;
        self.pending.0.store(false, Ordering::SeqCst);
    }

    /// Records the end of a read that began at `began_ms`.
    pub(super) fn end(&mut self, began_ms: u64, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(began_ms);
        self.next_ms = now_ms + INTERVAL_MS.max(took_ms.saturating_mul(PAUSE_FACTOR));
    }
}

// === impl Pending ===

impl Pending {
    /// Sets the flag. Returns true for the first event since the last read began.
    pub(super) fn set(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_leave_four_fifths_of_the_time() {
        let mut schedule = ReadSchedule::default();
        let pending = schedule.pending();
        assert_eq!(schedule.due_ms(), u64::MAX);
        assert!(pending.set());
        assert!(!pending.set(), "one event is pending already");
        schedule.record_event();
        assert_eq!(schedule.due_ms(), 0, "the first read is due at once");
        schedule.begin();
        assert!(pending.set(), "an event during the read counts");
        schedule.record_event();
        schedule.end(1_000, 1_001);
        assert_eq!(schedule.due_ms(), 1_101);
        schedule.begin();
        schedule.record_event();
        schedule.end(2_000, 2_500);
        assert_eq!(schedule.due_ms(), 4_500);
    }
}
