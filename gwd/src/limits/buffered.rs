//! Accounting of buffered bytes that the estimates of connections do not include (data-plane.md
//! §10): one counter of the process, to which each owner of buffers reports its bytes.
//!
//! A share of memory ([`crate::limits::budget::Memory::take`]) covers the basic needs of a
//! connection and is taken before anything is read. This module counts buffered data that the share
//! does not include, because a receiver is slower than its sender. Both count against the same
//! limit. Reading of data that would have to be buffered stops if the process uses 80 % of the
//! limit, or if buffers use 30 %. At 95 % requests are rejected.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::budget::Memory;

/// Number of bytes that an owner may buffer without reporting them to the process.
const UNREPORTED_MAX: u64 = 16 << 10;

/// Counter of the bytes that one owner buffers, reported to the memory accounting of the process.
///
/// Small changes are reported late, so that bytes which are buffered only briefly do not touch a
/// shared cache line. Dropping this value subtracts all its bytes.
#[derive(Debug)]
pub(crate) struct Buffered {
    memory: Arc<Memory>,
    bytes: Cell<u64>,
    /// Number of the owner's bytes that have been reported to the process.
    reported: Cell<u64>,
}

impl Buffered {
    /// Creates a counter of 0 buffered bytes.
    pub(crate) fn new(memory: &Arc<Memory>) -> Self {
        Self {
            memory: Arc::clone(memory),
            bytes: Cell::new(0),
            reported: Cell::new(0),
        }
    }

    /// Counts `bytes` as buffered. `None` if the process would then buffer more than allowed.
    pub(crate) fn reserve(memory: &Arc<Memory>, bytes: u64) -> Option<Self> {
        let buffered = Self::new(memory);
        buffered.set(bytes);
        (!memory.is_buffering_paused()).then_some(buffered)
    }

    /// Sets the number of buffered bytes and reports it to the process.
    pub(crate) fn set(&self, bytes: u64) {
        self.bytes.set(bytes);
        self.publish();
    }

    /// Adds buffered bytes. Reports them to the process if the unreported part reaches
    /// [`UNREPORTED_MAX`].
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        if self.bytes.get() >= self.reported.get() + UNREPORTED_MAX {
            self.publish();
        }
    }

    /// Subtracts buffered bytes. Reports the change at once if fewer bytes remain than were
    /// reported.
    pub(crate) fn sub(&self, bytes: usize) {
        self.bytes
            .set(self.bytes.get().saturating_sub(bytes as u64));
        if self.bytes.get() < self.reported.get() {
            self.publish();
        }
    }

    /// Reports the current number of bytes to the process.
    pub(crate) fn publish(&self) {
        let (bytes, reported) = (self.bytes.get(), self.reported.replace(self.bytes.get()));
        if bytes > reported {
            self.memory.keeps(bytes - reported);
        } else if bytes < reported {
            self.memory.keeps_less(reported - bytes);
        }
    }

    /// Converts a buffer to `Bytes` that stay counted until the last reference to them is dropped.
    pub(crate) fn hold(self, bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(CountedBytes {
            bytes,
            _buffered: self,
        })
    }

    /// True if more data may be buffered in the process.
    pub(crate) fn may_grow(&self) -> bool {
        !self.memory.is_buffering_paused()
    }

    /// Number of bytes that this owner buffers.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// True if more data has to wait, because this owner has buffered data and the process must not
    /// buffer more.
    pub(crate) fn must_wait(&self) -> bool {
        self.bytes.get() > 0 && self.memory.is_buffering_paused()
    }
}

/// Buffer whose bytes are counted until it is dropped.
struct CountedBytes {
    bytes: Vec<u8>,
    _buffered: Buffered,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_counts_bytes_until_their_owner_is_dropped() {
        let memory = Memory::of(1_000);
        let one = Buffered::new(&memory);
        one.add(300);
        assert_eq!((one.bytes(), memory.buffered()), (300, 0));
        one.publish();
        assert_eq!(memory.buffered(), 300);
        one.sub(100);
        assert_eq!(memory.buffered(), 200, "a decrease is reported at once");
        one.sub(900);
        assert_eq!((one.bytes(), memory.buffered()), (0, 0));
        one.set(4);
        let bytes = one.hold(b"four".to_vec());
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!((&*part, memory.buffered()), (&b"our"[..], 4));
        drop(part);
        assert_eq!(memory.buffered(), 0);
    }

    #[test]
    fn buffered_bytes_pause_at_30_80_and_95_percent() {
        let memory = Memory::of(1_000);
        let (one, other) = (Buffered::new(&memory), Buffered::new(&memory));
        one.set(300);
        assert!(!one.must_wait());
        assert!(Buffered::reserve(&memory, 1).is_none(), "301 of 1000");
        assert_eq!(
            memory.buffered(),
            300,
            "a refused reservation is not counted"
        );
        one.set(301);
        assert!(
            one.must_wait() && !other.must_wait(),
            "a reader without buffered bytes must not wait"
        );
        assert!(!memory.is_high(), "other connections are not affected");
        other.set(500);
        assert!(memory.is_high() && !memory.is_full());
        assert!(memory.take(1).is_none());
        one.set(451);
        assert!(memory.is_full());
        drop((one, other));
        assert!(Buffered::reserve(&memory, 300).is_some());
    }

    /// Applies random sequences of operations. The process's counter must always equal the sum of
    /// the reports, and must be 0 once all owners are dropped.
    #[test]
    fn buffered_bytes_are_zero_after_any_sequence() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..200 {
            let memory = Memory::of(u64::MAX);
            // Each owner, with the number of bytes it buffers and the number it has reported.
            let mut owners: Vec<(Buffered, u64, u64)> = Vec::new();
            for _ in 0..200 {
                let at = draw(owners.len().max(1) as u64) as usize;
                let bytes = draw(10_000);
                match draw(6) {
                    0 => owners.push((Buffered::new(&memory), 0, 0)),
                    1 if !owners.is_empty() => drop(owners.swap_remove(at)),
                    2 => {
                        if let Some((owner, keeps, reported)) = owners.get_mut(at) {
                            owner.set(bytes);
                            (*keeps, *reported) = (bytes, bytes);
                        }
                    }
                    3 => {
                        if let Some((owner, keeps, reported)) = owners.get_mut(at) {
                            owner.add(bytes as usize);
                            *keeps += bytes;
                            if *keeps >= *reported + 16_384 {
                                *reported = *keeps;
                            }
                        }
                    }
                    4 => {
                        if let Some((owner, keeps, reported)) = owners.get_mut(at) {
                            owner.sub(bytes as usize);
                            *keeps = keeps.saturating_sub(bytes);
                            *reported = (*reported).min(*keeps);
                        }
                    }
                    _ => {
                        if let Some((owner, keeps, reported)) = owners.get_mut(at) {
                            owner.publish();
                            *reported = *keeps;
                        }
                    }
                }
                let reported: u64 = owners.iter().map(|(_, _, reported)| reported).sum();
                assert_eq!(memory.buffered(), reported);
            }
            drop(owners);
            assert_eq!(memory.buffered(), 0);
        }
    }
}
