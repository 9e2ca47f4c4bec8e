//! Exemplars: for each bucket of a histogram, the trace of the last sampled request in it.
//!
//! One worker writes the cells, and a scrape reads them. A cell is protected by a sequence number
//! (a seqlock), so that neither side waits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::histogram::BOUNDS_NS;

/// Number of buckets of a histogram.
const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Sampled request that a bucket of a histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    /// Ids of the trace and of its SERVER span.
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    /// Duration of the request.
    pub(crate) duration_ns: u64,
    /// Time at which the request ended, in milliseconds of Unix time.
    pub(crate) unix_ms: u64,
}

/// Last exemplar of each bucket.
pub(crate) type BucketExemplars = [Option<Exemplar>; BUCKETS];

/// Exemplars of one histogram. They have no memory until the first sampled request.
#[derive(Debug, Default)]
pub(crate) struct ExemplarCells(OnceLock<Box<[ExemplarCell; BUCKETS]>>);

/// Exemplar of one bucket, or none yet if all words are 0.
#[derive(Debug, Default)]
struct ExemplarCell {
    /// Odd while the cell is written.
    sequence: AtomicU64,
    words: [AtomicU64; 5],
}

impl ExemplarCells {
    /// Replaces the exemplar of a bucket. Only one thread may call this.
    pub(crate) fn replace(&self, bucket: usize, exemplar: &Exemplar) {
        self.0.get_or_init(Box::default)[bucket].write(exemplar);
    }

    /// Current exemplars. A bucket that is written at this moment has none.
    pub(crate) fn read(&self) -> BucketExemplars {
        let cells = self.0.get();
        std::array::from_fn(|bucket| cells.and_then(|cells| cells[bucket].read()))
    }
}

impl ExemplarCell {
    fn write(&self, exemplar: &Exemplar) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let [high, low] = halves(u128::from_be_bytes(exemplar.trace_id));
        let words = [
            high,
            low,
            u64::from_be_bytes(exemplar.span_id),
            exemplar.duration_ns,
            exemplar.unix_ms,
        ];
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
    }

    fn read(&self) -> Option<Exemplar> {
        let before = self.sequence.load(Ordering::Acquire);
        let words = self
            .words
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        if before != after || !before.is_multiple_of(2) || before == 0 {
            return None;
        }
        let [high, low, span, duration_ns, unix_ms] = words;
        Some(Exemplar {
            trace_id: (u128::from(high) << 64 | u128::from(low)).to_be_bytes(),
            span_id: span.to_be_bytes(),
            duration_ns,
            unix_ms,
        })
    }
}

fn halves(id: u128) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the halves of the number")]
    [(id >> 64) as u64, id as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(number: u64) -> Exemplar {
        let [high, low] = [number, !number].map(u128::from);
        Exemplar {
            trace_id: (high << 64 | low).to_be_bytes(),
            span_id: number.to_be_bytes(),
            duration_ns: number,
            unix_ms: number,
        }
    }

    #[test]
    fn bucket_has_its_last_exemplar() {
        let cells = ExemplarCells::default();
        assert_eq!(cells.read(), [None; BUCKETS]);
        cells.replace(3, &exemplar(1));
        cells.replace(3, &exemplar(2));
        cells.replace(17, &exemplar(3));
        let found = cells.read();
        assert_eq!(found.iter().flatten().count(), 2);
        assert_eq!(
            (found[3], found[17]),
            (Some(exemplar(2)), Some(exemplar(3)))
        );
    }

    #[test]
    fn reader_never_sees_parts_of_two_exemplars() {
        let cells = ExemplarCells::default();
        let last = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=last).for_each(|number| cells.replace(0, &exemplar(number))));
            loop {
                let Some(found) = cells.read()[0] else {
                    continue;
                };
                assert_eq!(found, exemplar(found.duration_ns));
                if found.duration_ns == last {
                    break;
                }
            }
        });
    }
}
