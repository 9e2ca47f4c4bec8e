//! Memory of compiled expressions, for the process that checks a project.
//!
//! The author of a pull request writes the expressions, and the number of environments in which
//! they are compiled. The memory keeps failures, too, because a pattern that exceeds the size limit
//! costs as much as a pattern at the limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Expression, Fault};

/// Maximum size of what is kept, in bytes, as estimated by [`Entry::size`]. It exceeds the maximum
/// size of the patterns of two projects, the sides of a plan.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Estimated bytes of a compiled expression for each byte of its text.
const BYTES_PER_TEXT_BYTE: usize = 64;

/// Compiled expressions by text.
static KEPT: Mutex<Kept> = Mutex::new(Kept {
    entries: BTreeMap::new(),
    bytes: 0,
});

struct Kept {
    entries: BTreeMap<Box<str>, Entry>,
    bytes: usize,
}

#[derive(Clone)]
struct Entry {
    result: Result<Arc<Expression>, Arc<[Fault]>>,
    pattern_bytes: usize,
}

/// Compiles an expression, or returns the kept result; see [`Expression::shared`].
pub(super) fn compiled(source: &str) -> (Result<Arc<Expression>, Arc<[Fault]>>, usize) {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept().entries.get(source).cloned();
    if let Some(known) = known {
        return (known.result, known.pattern_bytes);
    }
    let (result, pattern_bytes) = Expression::compile_counted(source);
    let entry = Entry {
        result: result.map(Arc::new).map_err(Arc::from),
        pattern_bytes,
    };
    kept().keep(source, entry.clone());
    (entry.result, entry.pattern_bytes)
}

// === impl Kept ===

impl Kept {
    /// Keeps a result. Forgets all others first if they have the maximum size.
    fn keep(&mut self, source: &str, entry: Entry) {
        if source.len() > super::BYTES_MAX || self.entries.contains_key(source) {
            return;
        }
        if self.bytes >= KEPT_BYTES_MAX {
            self.entries.clear();
            self.bytes = 0;
        }
        let size = entry.size(source);
        self.entries.insert(source.into(), entry);
        self.bytes += size;
    }
}

// === impl Entry ===

impl Entry {
    fn size(&self, source: &str) -> usize {
        self.pattern_bytes + source.len() * BYTES_PER_TEXT_BYTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_compiled_once_in_a_process() {
        let text = "request.path.matches('^/once/[a-z]+$')";
        let (first, bytes) = compiled(text);
        let (second, _) = compiled(text);
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert!((1..=8 << 10).contains(&bytes), "{bytes}");
        let text = r"request.path.matches('(\\p{L}{80}once)')";
        let (first, bytes) = compiled(text);
        let (second, _) = compiled(text);
        let (first, second) = (first.unwrap_err(), second.unwrap_err());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(bytes, 1 << 20);
        assert!(first[0].message.contains("larger than 1 MiB"), "{first:?}");
    }

    #[test]
    fn memory_has_a_maximum_size() {
        let mut kept = Kept {
            entries: BTreeMap::new(),
            bytes: 0,
        };
        let entry = Entry {
            result: Err(Arc::from([])),
            pattern_bytes: KEPT_BYTES_MAX / 4,
        };
        for text in ["a", "b", "c", "d", "e"] {
            kept.keep(text, entry.clone());
            kept.keep(text, entry.clone());
            assert!(kept.bytes <= KEPT_BYTES_MAX + (1 << 10), "{}", kept.bytes);
        }
        assert_eq!(kept.entries.len(), 1);
        kept.keep(&"x".repeat(super::super::BYTES_MAX + 1), entry);
        assert_eq!(kept.entries.len(), 1);
    }
}
