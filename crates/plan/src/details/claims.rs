//! Effects of another value of a consumer's claim on callers that are still admitted. Limits with
//! `key: claim:NAME` count their requests elsewhere, upstreams with `hash_on: claim:NAME` select
//! other targets, and fields of `claims_to_headers` have another value.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};
use policy::Claims;
use serde_json::Value;

use super::freed::policies;
use crate::{Change, Class, Plan, Section, security};

/// Reason for a missing witness: plans have only hashes of credentials.
const OF_CREDENTIALS: &str = "only a credential of this consumer would show the change";

/// Parts of a gateway that read values of callers.
pub(super) struct Readers<'a> {
    pub(super) gateway: &'a ir::Gateway,
    /// Names of the limits of operations and plans that refuse requests, by each of their keys,
    /// such as `claim:tenant`.
    limits: BTreeMap<String, BTreeSet<String>>,
    /// Names of upstreams, by the value that selects their targets (`hash_on`).
    upstreams: BTreeMap<String, BTreeSet<String>>,
    /// Request fields that security schemes write, by the claim that they receive.
    fields: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Readers<'a> {
    pub(super) fn of(gateway: &'a ir::Gateway) -> Self {
        let mut readers = Self {
            gateway,
            limits: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            fields: BTreeMap::new(),
        };
        let used = used(gateway);
        for (name, policy) in policies(gateway).filter(|(name, _)| used.contains(name)) {
            let settings = policy.checked.settings();
            if !policy.checked.has_counters() || settings.text(&["mode"]) == Some("log") {
                continue;
            }
            for key in settings.texts(&["key"]).unwrap_or_default() {
                add(&mut readers.limits, key, &name);
            }
        }
        for upstream in &gateway.shared.upstreams {
            if let Some(key) = upstream.balance.settings().text(&["hash_on"]) {
                add(&mut readers.upstreams, key, &upstream.name);
            }
        }
        for scheme in gateway.apis.iter().flat_map(|api| &api.schemes) {
            for (claim, field) in &scheme.passes.claims {
                add(&mut readers.fields, claim, field);
            }
        }
        readers
    }
}

fn add(readers: &mut BTreeMap<String, BTreeSet<String>>, value: &str, name: &str) {
    let names = readers.entry(value.to_owned()).or_default();
    names.insert(name.to_owned());
}

/// Names of the policies of all operations and plans, as plans show them.
fn used(gateway: &ir::Gateway) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for api in &gateway.apis {
        for link in api.treatments.iter().flat_map(|one| &one.chain) {
            match link {
                Link::Authenticate => {}
                Link::Shared(name) => drop(used.insert(name.clone())),
                Link::Own(name) => drop(used.insert(format!("{}/{name}", api.name))),
            }
        }
    }
    used
}

/// Names of the limits or upstreams that read a value on both sides.
fn on_both<'r>(
    [was, is]: [&'r BTreeMap<String, BTreeSet<String>>; 2],
    value: &str,
) -> impl Iterator<Item = &'r String> {
    let both = was.get(value).zip(is.get(value));
    both.into_iter().flat_map(|(was, is)| was.intersection(is))
}

/// Reports the effects of each claim that has other values on the two sides. `None`: the callers
/// have no consumer on that side.
pub(super) fn compare(
    readers: &[Readers<'_>; 2],
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
            limits(readers, (&key, &consumer), values, plan);
            targets(readers, (&key, &consumer), values, plan);
            fields(readers, (claim, &consumer), values, plan);
        }
    }
}

/// Reports limits that read a value of callers from `key`, such as `claim:tenant`.
fn limits(
    [old, new]: &[Readers<'_>; 2],
    (key, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    // If one side has no such limit, the line about the added, removed or changed limit suffices.
    if !old.limits.contains_key(key) {
        return;
    }
    for name in new.limits.get(key).into_iter().flatten() {
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

/// Reports upstreams that select a target by `key`, such as `claim:tenant` or `consumer`.
pub(super) fn targets(
    [old, new]: &[Readers<'_>; 2],
    (key, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    for upstream in on_both([&old.upstreams, &new.upstreams], key) {
        let mut change = Change::new(
            Section::Upstream,
            Class::Moved,
            "traffic-moved",
            format!("{of} in upstream {upstream} hash_on"),
            values[0].map_or(Value::Null, Value::from),
            values[1].map_or(Value::Null, Value::from),
        );
        change.bound = security::defined(&new.gateway.shared, [upstream.as_str()]);
        plan.changes.push(change);
    }
}

/// Reports request fields that receive the claim from security schemes of both sides.
fn fields(
    [old, new]: &[Readers<'_>; 2],
    (claim, of): (&str, &str),
    values: [Option<&str>; 2],
    plan: &mut Plan,
) {
    for field in on_both([&old.fields, &new.fields], claim) {
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
