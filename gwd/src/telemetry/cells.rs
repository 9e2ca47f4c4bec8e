//! Cells of counters that only one thread writes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Value of a cell.
pub(super) fn value(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

/// Adds an amount without an atomic read-modify-write operation. That is sufficient because each
/// cell has only one writer.
pub(super) fn add(cell: &AtomicU64, amount: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

/// Like [`add`], for a cell that can also decrease.
pub(super) fn change_by(cell: &AtomicI64, change: i64) {
    cell.store(cell.load(Ordering::Relaxed) + change, Ordering::Relaxed);
}
