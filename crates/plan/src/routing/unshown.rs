//! Changes that open operations to more callers, but for which the search found no example. The
//! operations may serve requests with ambiguous paths. The lines have no witness.

use super::cell::{CellResults, Cells};
use crate::{Change, Class};

impl Cells<'_, '_> {
    /// Reports differences in access of a pair of routes for which the search found no example.
    /// Leaves out a pair if another line already reports that its operation is open to more
    /// callers.
    pub(super) fn missed(&self, (before, after): (u32, u32), known: &[Change]) -> CellResults {
        let mut results = CellResults::default();
        let (was, is) = (self.before(before), self.after(after));
        let own = is.reference();
        let opens = |change: &Change| {
            let opening = [Class::Weaken, Class::Expose, Class::Incomparable];
            opening.contains(&change.class) && change.operation.as_ref() == Some(&own)
        };
        if !known.iter().any(opens) {
            let pair = self.pairs.of(was, is);
            self.compare_access(&pair, None, (before, after), &mut results);
        }
        results
    }
}
