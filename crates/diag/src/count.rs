//! Counts with their nouns.

/// Formats a count with its noun: `1 change`, `12 changes`.
#[must_use]
pub fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}
