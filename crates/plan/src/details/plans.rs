//! Comparison of the limits of plans (sets of limits for consumers and groups): for each consumer,
//! the limits of its old and of its new plans, and the same for each group.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use serde_json::Value;

use super::line::Line;
use super::operations::settings;
use super::{consumers, restart};
use crate::pairs::both;
use crate::{Change, Class, Plan, Section};

/// Reason why limits of plans apply to a consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Selection<'a> {
    /// The consumer's own plan.
    Plan(&'a str),
    /// Groups of the consumer that have plans, sorted. Empty: the consumer has no plan.
    Groups(Vec<&'a str>),
}

/// Limits of all plans of one side.
struct PlannedLimits<'a> {
    /// Limits of each plan. There can be thousands of plans.
    plans: BTreeMap<String, Vec<&'a ir::Policy>>,
    /// Limits of each group that has a plan.
    groups: BTreeMap<String, Vec<&'a ir::Policy>>,
}

impl<'a> PlannedLimits<'a> {
    fn of(gateway: &'a ir::Gateway) -> Self {
        Self {
            plans: limits_by(gateway, "plans"),
            groups: limits_by(gateway, "groups"),
        }
    }

    fn selection<'c>(&self, consumer: &'c ir::Consumer) -> Selection<'c> {
        match consumer.plan.as_deref() {
            Some(plan) => Selection::Plan(plan),
            None => {
                let groups = consumer.groups.iter().map(String::as_str);
                let groups = groups.filter(|group| self.groups.contains_key(*group));
                Selection::Groups(groups.collect::<BTreeSet<_>>().into_iter().collect())
            }
        }
    }

    /// Limits of a consumer, each once.
    fn limits(&self, selection: &Selection<'_>) -> Vec<&'a ir::Policy> {
        let lists: Vec<_> = match selection {
            Selection::Plan(plan) => self.plans.get(*plan).into_iter().collect(),
            Selection::Groups(groups) => {
                let lists = groups.iter().filter_map(|group| self.groups.get(*group));
                lists.collect()
            }
        };
        let named = lists
            .into_iter()
            .flatten()
            .map(|limit| (&limit.name, *limit));
        let named: BTreeMap<&String, &ir::Policy> = named.collect();
        named.into_values().collect()
    }
}

/// Reports consumers and groups whose plans on the new side have other limits than their plans on
/// the old side. Settings of a limit that both sides have are compared where the policy is defined.
pub(super) fn plans(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let known = [old, new].map(PlannedLimits::of);
    if known.iter().all(|side| side.plans.is_empty()) {
        return;
    }
    let mut moves: BTreeMap<[Selection<'_>; 2], Vec<&str>> = BTreeMap::new();
    for (name, was, is) in both(&old.shared.consumers, &new.shared.consumers) {
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        // The limits of groups are compared below.
        let plans = [&was.plan, &is.plan];
        if plans == [&None, &None] && was.groups == is.groups {
            continue;
        }
        let selections = [known[0].selection(was), known[1].selection(is)];
        if selections != [Selection::Groups(Vec::new()), Selection::Groups(Vec::new())] {
            moves.entry(selections).or_default().push(name);
        }
    }
    for (selections, consumers) in moves {
        let [was, is] = [0, 1].map(|side| known[side].limits(&selections[side]));
        let subject = match consumers.as_slice() {
            [consumer] => format!("consumer {consumer} plan"),
            [first, rest @ ..] => format!("consumer {first} and {} more plan", rest.len()),
            [] => continue,
        };
        let is_other = selections[0] != selections[1];
        let shown = [shown(&selections[0], &was), shown(&selections[1], &is)];
        let bound = consumers.join(" ");
        let ids = ("consumer-plan-changed", is_other);
        compare((&was, &is), ids, (subject, &bound), shown, plan);
    }
    let groups: BTreeSet<&String> = known.iter().flat_map(|side| side.groups.keys()).collect();
    for group in groups {
        let selection = Selection::Groups(vec![group]);
        let [was, is] = known.each_ref().map(|side| side.limits(&selection));
        let shown = [shown(&selection, &was), shown(&selection, &is)];
        let subject = format!("group {group} plan");
        compare(
            (&was, &is),
            ("group-plan-changed", false),
            (subject, ""),
            shown,
            plan,
        );
    }
}

/// Compares the limits of the callers in `subject`. `bound`: the names of the consumers. Reports a
/// change with this id, also if no limit is looser or tighter and the flag is true.
fn compare(
    (was, is): (&[&ir::Policy], &[&ir::Policy]),
    (id, is_other): (&'static str, bool),
    (subject, bound): (String, &str),
    [old, new]: [Value; 2],
    plan: &mut Plan,
) {
    let class = match (is_covered(was, is), is_covered(is, was)) {
        (false, _) => Some(Class::Relax),
        (true, false) => Some(Class::Tighten),
        (true, true) => is_other.then_some(Class::Changed),
    };
    if class != Some(Class::Relax) {
        plan.changes.extend(restarted((was, is), &subject, bound));
    }
    let Some(class) = class else { return };
    let mut change = Change::new(Section::Policy, class, id, subject, old, new);
    bound.clone_into(&mut change.bound);
    plan.changes.push(change);
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
            let (before, after) = (limits(old, was), limits(new, is));
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
                shown(&PlannedLimits::of(old).selection(was), &before),
                shown(&PlannedLimits::of(new).selection(is), &after),
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
    let Some(was) = old.shared.consumers.get(consumer) else {
        return;
    };
    let lost = limits(old, was);
    if !lost.is_empty() {
        plan.changes.push(Change::new(
            Section::Policy,
            Class::Relax,
            "consumer-plan-changed",
            format!("consumer {consumer} plan"),
            shown(&PlannedLimits::of(old).selection(was), &lost),
            "no plan, because no consumer lists the callers".into(),
        ));
    }
}

/// Name of a plan, or of groups, and their limits, for display. Null without a plan.
fn shown(selection: &Selection<'_>, limits: &[&ir::Policy]) -> Value {
    let of = match selection {
        Selection::Plan(plan) => (*plan).to_owned(),
        Selection::Groups(groups) if groups.is_empty() || limits.is_empty() => return Value::Null,
        Selection::Groups(groups) => format!("of {}", groups.join(", ")),
    };
    let names: Vec<&str> = limits.iter().map(|one| one.name.as_str()).collect();
    format!("{of}: {}", names.join(", ")).into()
}

/// Limits of each plan (`key`: `plans`), or of each group that has a plan (`groups`).
fn limits_by<'g>(gateway: &'g ir::Gateway, key: &str) -> BTreeMap<String, Vec<&'g ir::Policy>> {
    let mut all: BTreeMap<String, Vec<&ir::Policy>> = BTreeMap::new();
    for policy in planned(gateway) {
        let settings = policy.checked.settings();
        for name in settings.texts(&[key]).unwrap_or_default() {
            all.entry(name.to_owned()).or_default().push(policy);
        }
    }
    all
}

/// Limits of plans.
fn planned(gateway: &ir::Gateway) -> impl Iterator<Item = &ir::Policy> {
    let all = gateway.shared.policies.iter();
    all.filter(|policy| policy.checked.settings().has(&["plans"]))
}

/// Limits of a consumer's own plan, or of the plans of its groups.
pub(super) fn limits<'g>(gateway: &'g ir::Gateway, consumer: &ir::Consumer) -> Vec<&'g ir::Policy> {
    let applies = |policy: &&ir::Policy| {
        let settings = policy.checked.settings();
        let names = |key| settings.texts(&[key]).unwrap_or_default();
        match consumer.plan.as_deref() {
            Some(plan) => names("plans").contains(&plan),
            None => {
                let groups = names("groups");
                consumer
                    .groups
                    .iter()
                    .any(|group| groups.contains(&group.as_str()))
            }
        }
    };
    planned(gateway).filter(applies).collect()
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
