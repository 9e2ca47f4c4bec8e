//! Patterns of `required.allow_public`.

use std::sync::atomic::{AtomicBool, Ordering};

use diag::Spanned;

/// Pattern of operation keys in `required.allow_public`. `*` matches any sequence of characters.
#[derive(Debug)]
pub struct Pattern {
    /// Text of the pattern.
    pub text: Spanned<String>,
    /// True if the pattern has matched an operation. Atomic, because APIs are resolved in parallel.
    matched: AtomicBool,
}

impl Pattern {
    /// Creates a pattern that no operation has matched yet.
    pub(super) fn new(text: Spanned<String>) -> Self {
        Self {
            text,
            matched: AtomicBool::new(false),
        }
    }

    /// True if no operation matched the pattern.
    pub(super) fn is_unmatched(&self) -> bool {
        !self.matched.load(Ordering::Relaxed)
    }

    /// True if the pattern matches the key of an operation.
    pub(super) fn matches(&self, key: &str) -> bool {
        glob(&self.text.value, key)
    }

    /// Marks the pattern as matched if it matches the key of an operation.
    pub(super) fn mark(&self, key: &str) {
        if self.matches(key) {
            self.matched.store(true, Ordering::Relaxed);
        }
    }
}

/// True if the whole text matches a pattern. `*` matches any sequence of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else {
            return false;
        };
        left = &left[at + piece.len()..];
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_match_any_text() {
        let cases = [
            ("a/b", "a/b", true),
            ("a/*", "a/getB", true),
            ("*/get*", "x/getB", true),
            ("a/*Status", "a/getStatus", true),
            ("a/*", "b/x", false),
            ("*a*b", "xxaxb", true),
            ("*a*b", "xb", false),
            ("a", "ab", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
