//! Operations that a changed definition affects, as plans list them.

use std::collections::BTreeSet;

use diag::count::counted;
use diag::text::printable;

/// Maximum number of operations that are listed. The others are counted.
pub(crate) const LISTED_MAX: usize = 100;

/// Maximum number of operations that text output lists.
const SHOWN_MAX: usize = 3;

/// Operations that a change of a definition reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Number of operations.
    pub count: usize,
    /// Keys of the first 100 operations, in alphabetical order.
    pub operations: BTreeSet<String>,
}

impl Reach {
    /// Adds the operations of the same change in another environment.
    pub(crate) fn join(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.count = self.count.max(other.count).max(self.operations.len());
        self.shorten();
    }

    fn shorten(&mut self) {
        while self.operations.len() > LISTED_MAX {
            self.operations.pop_last();
        }
    }

    /// Phrase for text output: `reaches 4 operations: a, b, c, …`.
    #[must_use]
    pub fn text(&self) -> String {
        let named: Vec<&str> = self.operations.iter().map(String::as_str).collect();
        let named = &named[..named.len().min(SHOWN_MAX)];
        let more = if self.count > named.len() {
            ", …"
        } else {
            ""
        };
        let counted = counted(self.count, "operation");
        printable(&format!("reaches {counted}: {}{more}", named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_lists_the_first_operations() {
        let reach = |names: std::ops::Range<usize>| Reach {
            count: names.len(),
            operations: names.map(|name| format!("a/{name:04}")).collect(),
        };
        assert_eq!(reach(0..1).text(), "reaches 1 operation: a/0000");
        assert_eq!(
            reach(0..4).text(),
            "reaches 4 operations: a/0000, a/0001, a/0002, …"
        );
        let mut joined = reach(0..60);
        joined.join(reach(30..120));
        assert_eq!((joined.count, joined.operations.len()), (120, LISTED_MAX));
    }
}
