//! Cache of compiled expressions, for the process that checks a project.
//!
//! The author of a pull request chooses the expressions, and the number of environments in which
//! they are compiled. The cache stores failures, too, because a pattern that exceeds the size limit
//! costs as much as a pattern at the limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Expression, Fault, Form};

/// Maximum size of the cache, in bytes, as estimated by [`Entry::size`]. The maximum exceeds the
/// size of all patterns of two projects, the two sides of a plan.
const KEPT_BYTES_MAX: usize = 256 << 20;

/// Estimated bytes of a compiled expression for each byte of its text.
const BYTES_PER_TEXT_BYTE: usize = 64;

/// Compiled expressions by form and text.
static KEPT: Mutex<Kept> = Mutex::new(Kept {
    entries: BTreeMap::new(),
    bytes: 0,
});

struct Kept {
    entries: BTreeMap<(Form, Box<str>), Entry>,
    bytes: usize,
}

#[derive(Clone)]
struct Entry {
    result: Result<Arc<Expression>, Arc<[Fault]>>,
    pattern_bytes: usize,
}

/// Compiles an expression, or returns the cached result; see [`Expression::shared`].
pub(super) fn compiled(source: &str, form: Form) -> (Result<Arc<Expression>, Arc<[Fault]>>, usize) {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (form, Box::from(source));
    let known = kept().entries.get(&key).cloned();
    if let Some(known) = known {
        return (known.result, known.pattern_bytes);
    }
    let (result, pattern_bytes) = Expression::compile_counted(source, form);
    let entry = Entry {
        result: result.map(Arc::new).map_err(Arc::from),
        pattern_bytes,
    };
    kept().keep(key, entry.clone());
    (entry.result, entry.pattern_bytes)
}

// === impl Kept ===

impl Kept {
    /// Adds a result to the cache. Empties the cache first if it has reached its maximum size.
    fn keep(&mut self, key: (Form, Box<str>), entry: Entry) {
        if key.1.len() > super::BYTES_MAX || self.entries.contains_key(&key) {
            return;
        }
        if self.bytes >= KEPT_BYTES_MAX {
            self.entries.clear();
            self.bytes = 0;
        }
        let size = entry.size(&key.1);
        self.entries.insert(key, entry);
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
        let (first, bytes) = compiled(text, Form::Condition);
        let (second, _) = compiled(text, Form::Condition);
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert!((1..=8 << 10).contains(&bytes), "{bytes}");
        // The same text is another expression as a cost.
        assert!(compiled(text, Form::Cost).0.is_err());
        let text = r"request.path.matches('(\\p{L}{80}once)')";
        let (first, bytes) = compiled(text, Form::Condition);
        let (second, _) = compiled(text, Form::Condition);
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
            kept.keep((Form::Condition, text.into()), entry.clone());
            kept.keep((Form::Condition, text.into()), entry.clone());
            assert!(kept.bytes <= KEPT_BYTES_MAX + (1 << 10), "{}", kept.bytes);
        }
        assert_eq!(kept.entries.len(), 1);
        let long = "x".repeat(super::super::BYTES_MAX + 1);
        kept.keep((Form::Condition, long.into()), entry);
        assert_eq!(kept.entries.len(), 1);
    }
}
