//! Limits that several operations share. A limit that is split into several lets more through.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Link};

use super::operations::Of;
use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};

/// Kinds of policies whose counter is shared by all operations that name the policy.
const COUNTS: [&str; 3] = ["rate_limit", "quota", "concurrency"];

/// Limit: its name (with the API if a document defines it), and its kind.
type Limit = (String, &'static str);

/// Reports operations that shared one limit on the old side but use different limits on the new
/// side.
pub(super) fn compare(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    // Operations, by old limit and by the new limit that replaces it.
    let mut heirs: BTreeMap<Limit, BTreeMap<String, BTreeSet<&str>>> = BTreeMap::new();
    for api in &new.apis {
        let Some(before) = old.apis.get(&api.name) else {
            continue;
        };
        for operation in &api.operations {
            let Some(earlier) = before.operations.get(&operation.key) else {
                continue;
            };
            let was = limits(
                of(old, before),
                &before.treatments[earlier.treatment as usize],
            );
            let is = limits(of(new, api), &api.treatments[operation.treatment as usize]);
            for limit in &was {
                let same = is.iter().find(|other| *other == limit);
                let another = || {
                    let mut others = is.iter();
                    others.find(|other| other.1 == limit.1 && !was.contains(other))
                };
                if let Some(heir) = same.or_else(another) {
                    let heirs = heirs.entry(limit.clone()).or_default();
                    let operations = heirs.entry(heir.0.clone()).or_default();
                    operations.insert(&operation.key);
                }
            }
        }
    }
    for ((name, _), heirs) in heirs {
        // The limit of the same name, else the first one, counts as the continuation of the old
        // limit.
        let kept = match heirs.contains_key(&name) {
            true => Some(name.clone()),
            false => heirs.keys().next().cloned(),
        };
        for (heir, keys) in heirs
            .iter()
            .filter(|(heir, _)| Some(*heir) != kept.as_ref())
        {
            for key in keys {
                push((&name, heir), key, new, plan);
            }
        }
    }
}

fn push((name, heir): (&str, &str), key: &str, new: &ir::Gateway, plan: &mut Plan) {
    let mut apis = new.apis.iter();
    let found = apis.find_map(|api| Some((api, api.operations.get(key)?)));
    let Some((api, operation)) = found else {
        return;
    };
    let change = Change::new(
        Section::Policy,
        Class::Relax,
        "limit-split",
        "policies",
        name.into(),
        heir.into(),
    );
    plan.changes.push(change.of(reference(api, operation)));
}

fn of<'g>(gateway: &'g ir::Gateway, api: &'g ir::Api) -> Of<'g> {
    Of {
        api,
        shared: &gateway.shared,
    }
}

fn limits(side: Of<'_>, treatment: &ir::Treatment) -> Vec<Limit> {
    let links = treatment.chain.iter();
    let limits = links.filter_map(|link| {
        let (name, policy) = match link {
            Link::Authenticate => return None,
            Link::Shared(name) => (name.clone(), side.shared.policies.get(name)?),
            Link::Own(name) => (
                format!("{}/{name}", side.api.name),
                side.api.policies.get(name)?,
            ),
        };
        let kind = policy.checked.kind();
        let kind = COUNTS.into_iter().find(|known| *known == kind)?;
        Some((name, kind))
    });
    limits.collect()
}
