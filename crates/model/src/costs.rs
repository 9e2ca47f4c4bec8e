//! Operations whose `cost` exceeds the capacity of a rate limit or quota in their chain, so that
//! the limit never admits them. The capacity is `burst`, or `limit` for a sliding window or a
//! quota. Also limits whose own `cost` exceeds their capacity for every request.

use std::collections::BTreeSet;

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink};
use policy::Checked;
use policy::traffic::cost::Cost;

use super::{Api, Defined, Operation, Settings, chain};
use sources::project::files::Files;
use vocab::lints::COST_ABOVE_LIMIT;

/// Reports each operation together with each limit that never admits its requests.
pub(super) fn check(files: &Files, settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let own = apis.iter().flat_map(|api| &api.policies);
    for policy in settings.policies.iter().chain(own) {
        check_limit(files, policy, sink);
    }
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
            // The expression of the limit can divide the operation's cost.
            Checked::RateLimit(limit) if limit.cost().is_none() => {
                Some((name, limit.tokens().capacity()))
            }
            Checked::Quota(quota) if quota.cost().is_none() => Some((name, quota.limit())),
            _ => None,
        }
    })
}

/// Reports a limit whose expression never costs less than the limit can admit.
fn check_limit(files: &Files, policy: &Defined<ir::Policy>, sink: &mut Sink) {
    let (cost, capacity) = match &policy.value.checked {
        Checked::RateLimit(limit) => (limit.cost(), limit.tokens().capacity()),
        Checked::Quota(quota) => (quota.cost(), quota.limit()),
        _ => return,
    };
    let Some(least) = cost.map(Cost::least).filter(|least| *least > capacity) else {
        return;
    };
    let written = policy.node.and_then(|id| files.tree.at(id).get("cost"));
    let span = written.map_or(policy.span, NodeRef::span);
    let message = format!("`cost` is at least {least}, above what the limit can admit: {capacity}");
    sink.push(
        Diagnostic::new(&COST_ABOVE_LIMIT, span, message)
            .label("every request would be refused")
            .help("raise `burst` (`limit` of a sliding window or a quota), or lower the cost"),
    );
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
