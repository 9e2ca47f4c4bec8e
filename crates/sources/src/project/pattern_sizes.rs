//! Sum of the sizes of compiled patterns, for a limit on all patterns of a run.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sizes of the compiled patterns of a run. Equal texts count once, because they are compiled once:
/// each environment of a project has the same expressions.
#[derive(Debug, Default)]
pub struct PatternSizes(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    texts: BTreeSet<Box<str>>,
    bytes: usize,
}

impl PatternSizes {
    /// True if a text is counted already, or if all texts together have at most `bytes_max` bytes.
    #[must_use]
    pub fn admits(&self, text: &str, bytes_max: usize) -> bool {
        let counted = self.lock();
        counted.bytes <= bytes_max || counted.texts.contains(text)
    }

    /// Counts a text and the size of its compiled patterns, in bytes.
    pub fn add(&self, text: &str, bytes: usize) {
        let mut counted = self.lock();
        if counted.texts.insert(text.into()) {
            counted.bytes += bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_count_once() {
        let sizes = PatternSizes::default();
        for text in ["a", "b", "a"] {
            sizes.add(text, 10);
        }
        assert!(sizes.admits("c", 20) && !sizes.admits("c", 19) && sizes.admits("b", 19));
    }
}
