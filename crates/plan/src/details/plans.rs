//! Comparison of the limits of consumers' plans (sets of limits for a group of consumers): for each
//! consumer, the limits of its old plan and of its new plan.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::declared::{Scalar, Value as Written};
use serde_json::Value;

use super::line::Line;
use super::operations::settings;
use super::{consumers, restart};
use crate::pairs::both;
use crate::{Change, Class, Plan, Section};

/// Names of the plans of a consumer on the old and the new side. `None`: no plan.
type Move<'a> = [Option<&'a str>; 2];

/// Reports consumers whose plan on the new side has other limits than their plan on the old side.
/// Settings of a limit that both plans have are compared where the policy is defined.
pub(super) fn plans(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let mut moves: BTreeMap<Move<'_>, Vec<&str>> = BTreeMap::new();
    for (name, was, is) in both(&old.shared.consumers, &new.shared.consumers) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        let plans = [was.plan.as_deref(), is.plan.as_deref()];
        if plans != [None, None] {
            moves.entry(plans).or_default().push(name);
        }
    }
    if moves.is_empty() {
        return;
    }
    let known = [old, new].map(limits_by_plan);
    for (plans, consumers) in moves {
        let [was, is] = [0, 1].map(|side| {
            let limits = plans[side].and_then(|plan| known[side].get(plan));
            limits.cloned().unwrap_or_default()
        });
        let class = match (is_covered(&was, &is), is_covered(&is, &was)) {
            (false, _) => Some(Class::Relax),
            (true, false) => Some(Class::Tighten),
            (true, true) => (plans[0] != plans[1]).then_some(Class::Changed),
        };
        let subject = match consumers.as_slice() {
            [consumer] => format!("consumer {consumer} plan"),
            [first, rest @ ..] => format!("consumer {first} and {} more plan", rest.len()),
            [] => continue,
        };
        let bound = consumers.join(" ");
        if class != Some(Class::Relax) {
            plan.changes
                .extend(restarted((&was, &is), &subject, &bound));
        }
        let Some(class) = class else { continue };
        let mut change = Change::new(
            Section::Policy,
            class,
            "consumer-plan-changed",
            subject,
            shown(plans[0], &was),
            shown(plans[1], &is),
        );
        change.bound = bound;
        plan.changes.push(change);
    }
}

/// Credentials of a consumer, without their expiry.
fn names(consumer: &ir::Consumer) -> impl Iterator<Item = String> {
    let all = consumers::credentials(Some(consumer)).into_iter();
    all.map(|(credential, _)| credential)
}

/// Reports limits that a credential loses because another consumer of the new side lists it: limits
/// of the old consumer's plan, and limits with the key `consumer`, if several consumers now list
/// the credentials of one consumer.
pub(super) fn moved(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let mut owners: BTreeMap<String, &ir::Consumer> = BTreeMap::new();
    for consumer in &new.shared.consumers {
        owners.extend(names(consumer).map(|name| (name, consumer)));
    }
    let counts_consumers = |gateway: &ir::Gateway| {
        let own = gateway.apis.iter().flat_map(|api| &api.policies);
        let mut all = gateway.shared.policies.iter().chain(own);
        all.any(|policy| {
            let settings = policy.checked.settings();
            settings
                .texts(&["key"])
                .unwrap_or_default()
                .contains(&"consumer")
        })
    };
    let is_counted = counts_consumers(old) && counts_consumers(new);
    for was in &old.shared.consumers {
        let successors = names(was).filter_map(|name| owners.get(&name).copied());
        let successors: BTreeMap<&str, &ir::Consumer> =
            successors.map(|is| (is.name.as_str(), is)).collect();
        let others = successors.values().filter(|is| is.name != was.name);
        for is in others.clone() {
            let of = |gateway, consumer: &ir::Consumer| {
                let plan = consumer.plan.as_deref();
                plan.map_or_else(Vec::new, |plan| limits(gateway, plan))
            };
            let (before, after) = (of(old, was), of(new, is));
            if is_covered(&before, &after) {
                continue;
            }
            plan.changes.push(Change::new(
                Section::Policy,
                Class::Relax,
                "consumer-plan-changed",
                format!(
                    "credentials of consumer {}, now of consumer {}, plan",
                    was.name, is.name
                ),
                shown(was.plan.as_deref(), &before),
                shown(is.plan.as_deref(), &after),
            ));
        }
        if is_counted && successors.len() > 1 {
            let names: Vec<&str> = successors.keys().copied().collect();
            plan.changes.push(Change::new(
                Section::Policy,
                Class::Relax,
                "limit-split",
                format!("limits of consumer {}", was.name),
                was.name.as_str().into(),
                names.join(", ").into(),
            ));
        }
    }
}

/// Lines about limits of the old plan that have a successor with a different name in the new plan.
/// The counter of a daily or monthly limit then restarts, even if the number of requests is the
/// same. `consumers`: description of the consumers with these plans, and their names.
fn restarted(
    (was, is): (&[&ir::Policy], &[&ir::Policy]),
    consumers: &str,
    bound: &str,
) -> Vec<Change> {
    let is_new = |limit: &&&ir::Policy| was.iter().all(|other| other.name != limit.name);
    let is_gone = |limit: &&&ir::Policy| is.iter().all(|other| other.name != limit.name);
    let succeeds = |one: &ir::Policy, other: &ir::Policy| {
        one.checked.kind() == other.checked.kind() && restart::class(&other.checked) == Class::Relax
    };
    let pairs = was.iter().filter(is_gone).flat_map(|one| {
        let successors = is.iter().filter(is_new);
        let successors = successors.filter(|other| succeeds(one, other));
        successors.map(move |other| (one, other))
    });
    let lines = pairs.map(|(one, other)| {
        let mut change = Change::new(
            Section::Policy,
            Class::Relax,
            restart::RESTARTED,
            format!("{consumers}: policy {} -> {}", one.name, other.name),
            "its counters".into(),
            "new counters".into(),
        );
        bound.clone_into(&mut change.bound);
        change
    });
    lines.collect()
}

/// Reports the limits of a consumer's plan that no longer apply, because the consumer is removed
/// but its callers are still admitted.
pub(super) fn removed(old: &ir::Gateway, consumer: &str, plan: &mut Plan) {
    let was = old.shared.consumers.get(consumer);
    let Some(name) = was.and_then(|was| was.plan.as_deref()) else {
        return;
    };
    let lost = limits(old, name);
    if !lost.is_empty() {
        plan.changes.push(Change::new(
            Section::Policy,
            Class::Relax,
            "consumer-plan-changed",
            format!("consumer {consumer} plan"),
            shown(Some(name), &lost),
            "no plan, because no consumer lists the callers".into(),
        ));
    }
}

/// Name of a plan and its limits, for display. Null without a plan.
fn shown(plan: Option<&str>, limits: &[&ir::Policy]) -> Value {
    let Some(plan) = plan else { return Value::Null };
    let names: Vec<&str> = limits.iter().map(|one| one.name.as_str()).collect();
    format!("{plan}: {}", names.join(", ")).into()
}

/// Limits of each plan. There can be thousands of plans.
fn limits_by_plan(gateway: &ir::Gateway) -> BTreeMap<String, Vec<&ir::Policy>> {
    let mut all: BTreeMap<String, Vec<&ir::Policy>> = BTreeMap::new();
    for policy in &gateway.shared.policies {
        let settings = policy.checked.settings();
        let Some(Written::Set(plans)) = settings.get(&["plans"]) else {
            continue;
        };
        let plans = plans.iter().filter_map(|plan| match plan {
            Scalar::Text(plan) => Some(plan),
            _ => None,
        });
        for plan in BTreeSet::from_iter(plans) {
            all.entry(plan.clone()).or_default().push(policy);
        }
    }
    all
}

/// Limits of a plan.
pub(super) fn limits<'g>(gateway: &'g ir::Gateway, plan: &str) -> Vec<&'g ir::Policy> {
    let is_of_plan = |policy: &&ir::Policy| match policy.checked.settings().get(&["plans"]) {
        Some(Written::Set(plans)) => plans.contains(&Scalar::Text(plan.to_owned())),
        _ => false,
    };
    gateway.shared.policies.iter().filter(is_of_plan).collect()
}

/// True if `others` contains each of `limits`, or a limit that is at least as tight.
fn is_covered(limits: &[&ir::Policy], others: &[&ir::Policy]) -> bool {
    limits.iter().all(|limit| {
        others
            .iter()
            .any(|other| other.name == limit.name || is_as_tight(limit, other))
    })
}

fn is_as_tight(limit: &ir::Policy, other: &ir::Policy) -> bool {
    let mut lines: Vec<Line> = Vec::new();
    settings("", &limit.checked, &other.checked, &mut lines);
    limit.checked.kind() == other.checked.kind()
        && lines.iter().all(|line| line.class != Class::Relax)
}
