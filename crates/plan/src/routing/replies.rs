//! Policies that answer the requests of a route themselves, so that no upstream gets them.

use policy::Checked;

use super::table::Route;
use crate::security::policies;
use model::lower::Lowered;
use model::outbound::answers;

/// Destination shown for requests to which a policy responds.
pub(super) const GATEWAY: &str = "the gateway itself";
/// Reason for a missing witness of requests to which the old side responded itself.
pub(super) const REPLIED: &str =
    "no example: the old side answered the requests of every caller itself";

/// Status with which a `respond` policy of the chain answers every request, if any.
pub(super) fn answer(side: &Lowered, route: &Route<'_>) -> Option<u16> {
    let mut policies = policies(&side.gateway, route.api, route.treatment());
    policies.find_map(|policy| match &policy.checked {
        Checked::Respond(respond) => Some(respond.status()),
        _ => None,
    })
}

/// True if a policy of the route's chain refuses all requests.
pub(super) fn refuses(side: &Lowered, route: &Route<'_>) -> bool {
    answer(side, route).is_some_and(|status| status >= 400)
}

/// True if the first policy that answers the route's requests does not refuse them: `redirect`,
/// `mock`, or `respond` without an error status.
fn replies(side: &Lowered, route: &Route<'_>) -> bool {
    let mut policies = policies(&side.gateway, route.api, route.treatment());
    let first = policies.find(|policy| answers(&policy.checked));
    first.is_some_and(|policy| match &policy.checked {
        Checked::Respond(respond) => respond.status() < 400,
        _ => true,
    })
}

/// True if a policy of the old route answers all requests without an error, and the new route sends
/// them to an upstream.
pub(super) fn are_newly_sent(
    (old, new): (Option<&Lowered>, &Lowered),
    before: &Route<'_>,
    after: &Route<'_>,
) -> bool {
    let sends = !replies(new, after) && !refuses(new, after) && !after.redirects();
    sends && !before.redirects() && old.is_some_and(|old| replies(old, before))
}
