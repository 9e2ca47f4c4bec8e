//! Effects of another value of a consumer's claim on callers that are still admitted. Limits with
//! `key: claim:NAME` count their requests elsewhere, upstreams with `hash_on: claim:NAME` select
//! other targets, and fields of `claims_to_headers` have another value.

use std::collections::BTreeSet;

use bundle::ir::{self, Link};
use policy::Claims;
use serde_json::Value;

use super::freed::{COUNTS, policies};
use crate::{Change, Class, Plan, Section, security};

/// Reason for a missing witness: plans have only hashes of credentials.
const OF_CREDENTIALS: &str = "only a credential of this consumer would show the change";

/// Reports the effects of each claim that has other values on the two sides. `None`: the callers
/// have no consumer on that side.
pub(super) fn compare(
    gateways: [&ir::Gateway; 2],
    name: &str,
    sides: [Option<&ir::Consumer>; 2],
    plan: &mut Plan,
) {
    let claims = sides.map(|consumer| consumer.map(|one| Claims::of(&one.claims)));
    let names = sides.into_iter().flatten();
    let names = names.flat_map(|consumer| consumer.claims.iter());
    let names: BTreeSet<&str> = names
        .filter_map(|one| Some(one.path.first()?.as_str()))
        .collect();
    for claim in names {
        // Keys and fields read only claims with one value.
        let values = [0, 1].map(|side| claims[side].as_ref()?.get(claim));
        if values[0] != values[1] {
            let consumer = format!("consumer {name} claims.{claim}");
            let key = format!("claim:{claim}");
            limits(gateways, (&key, &consumer), values, plan);
            targets(gateways, (&key, &consumer), values, plan);
            fields(gateways, (claim, &consumer), values, plan);
        }
    }
}

/// Reports limits that read a value of callers from `key`, such as `claim:tenant`.
fn limits(
    gateways: [&ir::Gateway; 2],
    (key, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    let [was, is] = gateways.map(|gateway| counting(gateway, key));
    // If one side has no such limit, the line about the added, removed or changed limit suffices.
    for name in is.into_iter().filter(|_| !was.is_empty()) {
        plan.changes.push(Change::new(
            Section::Policy,
            Class::Relax,
            "limit-key-changed",
            format!("{of} in policy {name} key"),
            values[0].map_or(Value::Null, Value::from),
            values[1].map_or(Value::Null, Value::from),
        ));
    }
}

/// Names of the limits of operations and plans that refuse requests and count by this key.
fn counting(gateway: &ir::Gateway, key: &str) -> BTreeSet<String> {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for api in &gateway.apis {
        for link in api.treatments.iter().flat_map(|one| &one.chain) {
            match link {
                Link::Authenticate => {}
                Link::Shared(name) => drop(used.insert(name.clone())),
                Link::Own(name) => drop(used.insert(format!("{}/{name}", api.name))),
            }
        }
    }
    let all = policies(gateway).filter(|(name, policy)| {
        let settings = policy.checked.settings();
        let keys = settings.texts(&["key"]).unwrap_or_default();
        COUNTS.contains(&policy.checked.kind())
            && settings.text(&["mode"]) != Some("log")
            && keys.contains(&key)
            && used.contains(name)
    });
    all.map(|(name, _)| name).collect()
}

/// Reports upstreams that select a target by `key`, such as `claim:tenant` or `consumer`.
pub(super) fn targets(
    gateways: [&ir::Gateway; 2],
    (key, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    let hashing = |gateway: &ir::Gateway| -> BTreeSet<String> {
        let all = gateway.shared.upstreams.iter();
        let all = all.filter(|one| one.balance.settings().text(&["hash_on"]) == Some(key));
        all.map(|one| one.name.clone()).collect()
    };
    let [was, is] = gateways.map(hashing);
    for upstream in was.intersection(&is) {
        let mut change = Change::new(
            Section::Upstream,
            Class::Moved,
            "traffic-moved",
            format!("{of} in upstream {upstream} hash_on"),
            values[0].map_or(Value::Null, Value::from),
            values[1].map_or(Value::Null, Value::from),
        );
        change.bound = security::defined(&gateways[1].shared, [upstream.as_str()]);
        plan.changes.push(change);
    }
}

/// Reports request fields that receive the claim from security schemes of both sides.
fn fields(
    gateways: [&ir::Gateway; 2],
    (claim, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    let passing = |gateway: &ir::Gateway| -> BTreeSet<String> {
        let schemes = gateway.apis.iter().flat_map(|api| &api.schemes);
        let passed = schemes.flat_map(|scheme| scheme.passes.claims.clone());
        let passed = passed.filter(|(name, _)| name == claim);
        passed.map(|(_, field)| field).collect()
    };
    let [was, is] = gateways.map(passing);
    for field in was.intersection(&is) {
        let mut change = Change::new(
            Section::Security,
            Class::Incomparable,
            "identity-field-changed",
            format!("{of} request header {field}"),
            values[0].map_or(Value::Null, Value::from),
            values[1].map_or(Value::Null, Value::from),
        );
        change.why_none = Some(OF_CREDENTIALS);
        plan.changes.push(change);
    }
}
