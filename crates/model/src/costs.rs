//! Operations whose `cost` exceeds the capacity of a rate limit or quota in their chain, so that
//! the limit never admits them. The capacity is `burst`, or `limit` for a sliding window or a
//! quota.

use std::collections::BTreeSet;

use diag::{Diagnostic, NodeRef, Sink};
use policy::Checked;

use super::{Api, Operation, Settings, chain};
use sources::project::files::Files;
use vocab::lints::COST_ABOVE_LIMIT;

/// Reports each operation together with each limit that never admits its requests.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        for operation in &api.operations {
            let Some(cost) = operation.forwarding.cost else {
                continue;
            };
            let mut reported = BTreeSet::new();
            for (name, capacity) in limits(settings, api, operation) {
                if u64::from(cost) > capacity && reported.insert(name) {
                    report(files, api, operation, (cost, name, capacity), sink);
                }
            }
        }
    }
}

/// Rate limits and quotas of an operation's chain, with their capacities.
fn limits<'m>(
    settings: &'m Settings,
    api: &'m Api,
    operation: &'m Operation,
) -> impl Iterator<Item = (&'m str, u64)> {
    operation.chain.iter().filter_map(|link| {
        let policy = &chain::policy(settings, api, &link.value)?.value;
        let name = policy.name.as_str();
        match &policy.checked {
            Checked::RateLimit(limit) => Some((name, limit.tokens().capacity())),
            Checked::Quota(quota) => Some((name, quota.limit())),
            _ => None,
        }
    })
}

fn report(
    files: &Files,
    api: &Api,
    operation: &Operation,
    (cost, name, capacity): (u32, &str, u64),
    sink: &mut Sink,
) {
    let item = &api.spec.paths[operation.place.0];
    let extension = item.operations[operation.place.1].x_gateway;
    let written = extension.and_then(|id| files.tree.at(id).get("cost"));
    let span = written.map_or(operation.span, NodeRef::span);
    let message = format!("`cost` {cost} is above what the limit `{name}` can admit: {capacity}");
    sink.push(
        Diagnostic::new(&COST_ABOVE_LIMIT, span, message)
            .label("every request would be refused")
            .help(format!(
                "raise `burst` of `{name}` (`limit` of a sliding window or a quota) to {cost}, or lower the cost"
            )),
    );
}
