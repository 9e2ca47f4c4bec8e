//! Responses of new routes that refuse every request.

use super::cell::{CellResults, Cells};
use super::table::Route;
use crate::security::{self, Access, Verdict};
use crate::{Change, Class, Section};

/// Reason why a line about such a response has no example.
const REFUSED: &str = "the request is refused before and after; only the response differs";

impl Cells<'_, '_> {
    /// Reports the response of a new route that refuses every request, if browsers would execute or
    /// store it. Without the route, the gateway refused the requests with its own response.
    pub(super) fn new_refusal(
        &self,
        (route, access): (&Route<'_>, &Access<'_>),
        bound: &str,
        results: &mut CellResults,
    ) {
        if self.sides.0.is_none() {
            return;
        }
        for difference in security::differences(&Access::none(), access) {
            let class = match difference.verdict {
                Verdict::Weaken => Class::Weaken,
                Verdict::Incomparable => Class::Incomparable,
                Verdict::Equal | Verdict::Strengthen => continue,
            };
            let (old, new) = (difference.old, difference.new);
            let (section, id) = (Section::Security, difference.id);
            let mut change = Change::new(section, class, id, difference.subject, old, new);
            change.bound = bound.to_owned() + &difference.bound;
            self.push(results, change, route, None, REFUSED);
        }
    }
}
