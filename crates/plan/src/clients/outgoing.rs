//! Requests that the APIs send: callbacks of operations, and webhooks.
//!
//! Callbacks follow the pairs of their operations. Webhooks are paired by name: within APIs with
//! the same name, then within APIs whose operations form pairs, then within APIs that only one side
//! has.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use model::contract::outgoing::{WEBHOOK, owner, split_callback, without_names};
use rustc_hash::FxHashSet;
use serde_json::Value as Json;

use super::operations::OperationPair;
use super::walk::Walk;

/// Webhook, with the sides that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Webhook<'a> {
    key: &'a str,
    /// True for each side that has the webhook: old, new.
    on: [bool; 2],
}

/// Webhooks of both sides, by the names of their APIs (old, new). If an API is missing on one side,
/// both names are the name of the other side's API.
#[derive(Debug, Default)]
pub(super) struct Webhooks<'a>(BTreeMap<(&'a str, &'a str), Vec<Webhook<'a>>>);

/// API and key of a webhook.
type Name<'a> = (&'a str, &'a str);

impl<'a> Webhooks<'a> {
    /// Pairs the webhooks of two sides. `related` has the APIs (old, new) whose operations form
    /// pairs.
    pub(super) fn of(
        [old, new]: [&'a ir::Set<ir::Contract>; 2],
        related: &BTreeSet<(&'a str, &'a str)>,
    ) -> Self {
        let names = |contracts: &'a ir::Set<ir::Contract>| -> BTreeSet<Name<'a>> {
            let all = contracts.iter().flat_map(|api| {
                let keys = api.outgoing.iter().map(|one| one.key.as_str());
                keys.map(|key| (api.name.as_str(), key))
            });
            all.filter(|(_, key)| key.starts_with(WEBHOOK)).collect()
        };
        let (mut was, mut is) = (names(old), names(new));
        let mut webhooks = Self::default();
        let is_renamed =
            |old_api: &str, new_api: &str| new.get(old_api).is_none() && old.get(new_api).is_none();
        type IsRelated<'f> = &'f dyn Fn(&str, &str) -> bool;
        let levels: [IsRelated<'_>; 3] = [
            &|old_api, new_api| old_api == new_api,
            &|old_api, new_api| related.contains(&(old_api, new_api)),
            &is_renamed,
        ];
        for is_related in levels {
            let mut found: Vec<(Name<'a>, Name<'a>)> = Vec::new();
            for one in &was {
                let same = is.iter().filter(|other| other.1 == one.1);
                let same = same.filter(|other| is_related(one.0, other.0));
                found.extend(same.map(|other| (*one, *other)));
            }
            for (one, other) in found {
                webhooks.push((one.0, other.0), one.1, [true; 2]);
                was.remove(&one);
                is.remove(&other);
            }
        }
        let partner = |api: &'a str, side: usize| -> (&'a str, &'a str) {
            let others = [new, old][side];
            let mut near = related.iter().filter(|pair| [pair.0, pair.1][side] == api);
            match others.get(api).is_none() {
                true => near.next().copied().unwrap_or((api, api)),
                false => (api, api),
            }
        };
        for (api, key) in was {
            webhooks.push(partner(api, 0), key, [true, false]);
        }
        for (api, key) in is {
            webhooks.push(partner(api, 1), key, [false, true]);
        }
        webhooks
    }

    fn push(&mut self, apis: (&'a str, &'a str), key: &'a str, on: [bool; 2]) {
        self.0.entry(apis).or_default().push(Webhook { key, on });
    }

    /// Names of the APIs (old, new) with webhooks.
    pub(super) fn apis(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.keys().copied()
    }

    /// Webhooks of an old and a new API.
    pub(super) fn between<'s>(&'s self, old: &'s str, new: &'s str) -> &'s [Webhook<'s>] {
        let all: &BTreeMap<(&'s str, &'s str), Vec<Webhook<'s>>> = &self.0;
        all.get(&(old, new)).map_or(&[], Vec::as_slice)
    }

    /// True if both sides have each webhook of two APIs.
    pub(super) fn is_identity(&self, old: &str, new: &str) -> bool {
        self.between(old, new).iter().all(|one| one.on == [true; 2])
    }
}

/// Compares the callbacks of paired operations, and the webhooks of two APIs. Callbacks are
/// reported at their operation, webhooks without an operation.
pub(super) fn compare(
    walk: &mut Walk<'_>,
    (old, new): (&ir::Contract, &ir::Contract),
    pairs: &[OperationPair<'_>],
    webhooks: &[Webhook<'_>],
) {
    let (was, is) = (callbacks(old), callbacks(new));
    let none = BTreeMap::new();
    let mut known = FxHashSet::default();
    for pair in pairs {
        let before = was.get(&*owner(pair.old)).unwrap_or(&none);
        let after = is.get(&*owner(pair.new)).unwrap_or(&none);
        let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        let renamed = renamed(before, after);
        for name in names {
            if renamed.values().any(|old| *old == name) {
                continue;
            }
            let old_name = renamed.get(name).copied().unwrap_or(name);
            let sides = (before.get(old_name).copied(), after.get(name).copied());
            let is_one_sided = sides.0.is_none() || sides.1.is_none();
            // Report a gained or lost callback once, even if its operation is in several pairs.
            if !is_one_sided || known.insert((pair.new, name, sides.0.is_none())) {
                one(walk, (Some(pair.new), name, "callback"), sides);
            }
        }
    }
    for webhook in webhooks {
        let [was, is] = [(old, webhook.on[0]), (new, webhook.on[1])]
            .map(|(side, has)| side.outgoing.get(webhook.key).filter(|_| has));
        one(walk, (None, webhook.key, "webhook"), (was, is));
    }
}

/// Callbacks that differ only in their names, which no request has: new key, and old key.
fn renamed<'a>(
    old: &BTreeMap<&'a str, &ir::ContractOperation>,
    new: &BTreeMap<&'a str, &ir::ContractOperation>,
) -> BTreeMap<&'a str, &'a str> {
    let unpaired = |all: &BTreeMap<&'a str, _>, other: &BTreeMap<&'a str, _>| {
        let mut found: BTreeMap<String, Vec<&'a str>> = BTreeMap::new();
        for key in all.keys().filter(|key| !other.contains_key(*key)) {
            found.entry(without_names(key)).or_default().push(key);
        }
        found
    };
    let (was, is) = (unpaired(old, new), unpaired(new, old));
    let pairs = is.iter().filter_map(|(request, keys)| {
        match (was.get(request).map(Vec::as_slice), keys.as_slice()) {
            (Some([old]), [new]) => Some((*new, *old)),
            _ => None,
        }
    });
    pairs.collect()
}

/// Callbacks of a contract, by their owner and the remaining part of the callback's key.
fn callbacks(contract: &ir::Contract) -> BTreeMap<&str, BTreeMap<&str, &ir::ContractOperation>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, &ir::ContractOperation>> = BTreeMap::new();
    for one in &contract.outgoing {
        if let Some((owner, within)) = split_callback(&one.key) {
            all.entry(owner).or_default().insert(within, one);
        }
    }
    all
}

/// Compares a callback or webhook that at least one side has.
fn one(
    walk: &mut Walk<'_>,
    (owner, within, what): (Option<&str>, &str, &str),
    sides: (
        Option<&ir::ContractOperation>,
        Option<&ir::ContractOperation>,
    ),
) {
    match sides {
        (Some(was), Some(is)) => walk.outgoing(owner, within, was, is),
        (None, Some(is)) => {
            let digest = walk.joint.digest_of(is, true);
            walk.whole(owner, within, what, (Json::Null, digest.into()));
        }
        (Some(was), None) => {
            let digest = walk.joint.digest_of(was, false);
            walk.whole(owner, within, what, (digest.into(), Json::Null));
        }
        (None, None) => {}
    }
}
