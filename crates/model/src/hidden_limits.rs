//! Rate limits without effect: a quota of the same operation, with the same key, is used up before
//! the rate limit refuses a request.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};
use diag::{Diagnostic, Sink};
use policy::Checked;
use vocab::limit_lints::QUOTA_BELOW_RATE;

use crate::settings::Settings;
use crate::{Api, Defined, Operation, chain};

/// Reports each pair of a quota and a rate limit once.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut reported = BTreeSet::new();
    for api in apis {
        for operation in &api.operations {
            for (quota, rate) in hidden(settings, api, operation) {
                if reported.insert((quota.span, rate.span)) {
                    report(operation, (quota, rate), sink);
                }
            }
        }
    }
}

type Limit<'m> = &'m Defined<ir::Policy>;

/// Pairs of a quota and a rate limit in the chain of an operation, in which the rate limit has no
/// effect.
fn hidden<'m>(
    settings: &'m Settings,
    api: &'m Api,
    operation: &Operation,
) -> Vec<(Limit<'m>, Limit<'m>)> {
    let links = operation.chain.iter().map(|link| match &link.value {
        Link::Authenticate => None,
        link => chain::policy(settings, api, link),
    });
    let links: Vec<Option<Limit<'m>>> = links.collect();
    let mut pairs = Vec::new();
    for (at, quota) in links.iter().enumerate() {
        let Some((quota, Checked::Quota(own))) = quota.map(|one| (one, &one.value.checked)) else {
            continue;
        };
        for (other, rate) in links.iter().enumerate() {
            if let Some((rate, Checked::RateLimit(limit))) =
                rate.map(|one| (one, &one.value.checked))
                && own.hides(limit)
                && (at < other
                    || links[other..at]
                        .iter()
                        .all(|link| link.is_some_and(is_limit)))
            {
                pairs.push((quota, rate));
            }
        }
    }
    pairs
}

/// True if a policy is a rate limit or quota. A step of a different kind between a rate limit and a
/// later quota can refuse requests. Such requests count for the rate limit but not for the quota,
/// so the rate limit has an effect.
fn is_limit(policy: Limit<'_>) -> bool {
    matches!(
        policy.value.checked,
        Checked::RateLimit(_) | Checked::Quota(_)
    )
}

fn report(operation: &Operation, (quota, rate): (Limit<'_>, Limit<'_>), sink: &mut Sink) {
    let (own, other) = (&quota.value.name, &rate.value.name);
    let message = format!(
        "the quota `{own}` is used up before the rate limit `{other}` refuses a request (`{}`)",
        operation.key
    );
    sink.push(
        Diagnostic::new(&QUOTA_BELOW_RATE, quota.span, message)
            .related(rate.span, "this limit has no effect")
            .help(format!(
                "raise `limit` of `{own}`, lower the limit of `{other}`, or use only one of them"
            )),
    );
}
