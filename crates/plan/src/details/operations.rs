//! Changes in how the gateway handles an operation's requests.

use std::borrow::Cow;
use std::collections::HashMap;

use bundle::ir::{self, Link};
use policy::Checked;
use policy::Policy as _;
use policy::declared::{Scalar, Settings, Value as Written};
use serde_json::{Value, json};

use super::bound::{ends, goes_elsewhere};
use super::line::{ApiSide, Line, definition, named};
use super::shown::{policy_value, shown};
use super::{body, destination, fields, questions, schemes, slashes, tables, upstream, verifiers};
use crate::pairs::reference;
use crate::security::handling::Handling;
use crate::{Class, Plan};

/// True if [`operations`] compares these two operations: they have the same key, or the same
/// requests if the key was changed.
pub(crate) fn are_compared(
    (was, before): (&ir::Api, &ir::Operation),
    (is, after): (&ir::Api, &ir::Operation),
) -> bool {
    was.name == is.name
        && (before.key == after.key
            || was.operations.get(&after.key).is_none()
                && is.operations.get(&before.key).is_none()
                && requests(before) == requests(after))
}

/// Compares the handling of requests that moved from one operation to another. The operations' keys
/// may differ.
pub(crate) fn of_cell(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
) -> Vec<Line> {
    let mut lines = treatments((old, was), (new, is));
    if old.api.name != new.api.name {
        // Policies that the same API defines on both sides are compared elsewhere, once per
        // definition.
        for link in &was.chain {
            if let Link::Own(name) = link
                && is.chain.contains(link)
                && let (Some(before), Some(after)) =
                    (old.api.policies.get(name), new.api.policies.get(name))
            {
                settings(
                    &format!("policies {name}"),
                    &before.checked,
                    &after.checked,
                    &mut lines,
                );
            }
        }
    }
    lines
}

/// Compares the upstreams that receive the same requests, even if the names of the upstreams
/// differ.
fn upstreams(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    if was.upstream == is.upstream {
        return;
    }
    let settings = |side: ApiSide<'_>, name: &str| side.shared.upstreams.get(name).map(upstream);
    let sides = (settings(old, &was.upstream), settings(new, &is.upstream));
    if let (Some(before), Some(after)) = sides {
        let subject = format!("upstream {} -> {}", was.upstream, is.upstream);
        // The routing comparison already reports the new destination.
        let goes = |path: &[String]| {
            path.first()
                .is_some_and(|key| ["targets", "dns", "file"].contains(&key.as_str()))
        };
        let numbers = |settings: &Settings| settings.clone().without(goes);
        fields::settings(
            &tables::UPSTREAM,
            &subject,
            &numbers(&before),
            &numbers(&after),
            lines,
        );
    }
}

/// Compares the effective settings of operations. Each pair of treatments is compared once, even if
/// many operations share it.
pub(super) fn operations(old: ApiSide<'_>, new: ApiSide<'_>, plan: &mut Plan) {
    let mut known: HashMap<(u32, u32), (Vec<Line>, [String; 2])> = HashMap::new();
    let renamed = RemovedOperations::of(old.api, new.api);
    for operation in &new.api.operations {
        let Some(before) = renamed.before(old.api, operation) else {
            continue;
        };
        let pair = (before.treatment, operation.treatment);
        let (lines, [policies, ends]) = known.entry(pair).or_insert_with(|| {
            let was = &old.api.treatments[before.treatment as usize];
            let is = &new.api.treatments[operation.treatment as usize];
            let bound = [policies_of_one_side((old, was), (new, is)), ends(new, is)];
            (treatments((old, was), (new, is)), bound)
        });
        let mut push = |line: Line| {
            let section = line.section();
            let mut change = line.in_section(section);
            if change.id == "policies-changed" {
                change.bound.clone_from(policies);
            }
            if goes_elsewhere(change.class, change.id) {
                change.bound.push_str(ends);
            }
            plan.changes.push(change.of(reference(new.api, operation)));
        };
        lines.iter().cloned().for_each(&mut push);
        slashes::compare(before, operation)
            .into_iter()
            .for_each(&mut push);
        if before.priority != operation.priority {
            push(Line {
                class: Class::Changed,
                id: "priority-changed",
                subject: "priority".into(),
                old: before.priority.into(),
                new: operation.priority.into(),
            });
        }
    }
}

/// Removed operations of the old side, by the requests that they match. An operation with a new key
/// is compared with the removed operation for the same requests, so that a new key cannot hide
/// other changes.
pub(super) struct RemovedOperations<'a>(HashMap<Requests<'a>, &'a ir::Operation>);

/// Properties that identify an operation's requests within its API.
pub(crate) type Requests<'a> = (
    &'a str,
    Cow<'a, ir::Template>,
    &'a [ir::Condition],
    ir::Owns,
);

impl<'a> RemovedOperations<'a> {
    pub(super) fn of(old: &'a ir::Api, new: &ir::Api) -> Self {
        let gone = old.operations.iter();
        let gone = gone.filter(|operation| new.operations.get(&operation.key).is_none());
        Self(
            gone.map(|operation| (requests(operation), operation))
                .collect(),
        )
    }

    /// Returns the old version of an operation: the operation with the same key, otherwise a
    /// removed operation with the same requests.
    pub(super) fn before(
        &self,
        old: &'a ir::Api,
        operation: &ir::Operation,
    ) -> Option<&'a ir::Operation> {
        let same = old.operations.get(&operation.key);
        same.or_else(|| self.0.get(&requests(operation)).copied())
    }
}

/// Requests of an operation within its API.
fn requests(operation: &ir::Operation) -> Requests<'_> {
    (
        &operation.method,
        slashes::template(operation),
        &operation.conditions,
        operation.owns,
    )
}

fn treatments(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
) -> Vec<Line> {
    let mut lines = Vec::new();
    if was.timeout_ms != is.timeout_ms {
        let shown = |ms: u64| Value::from(Scalar::Duration(ms).to_string());
        lines.push(Line {
            class: if is.timeout_ms > was.timeout_ms {
                Class::Relax
            } else {
                Class::Tighten
            },
            id: "timeout-changed",
            subject: "timeout".into(),
            old: shown(was.timeout_ms),
            new: shown(is.timeout_ms),
        });
    }
    body::compare((old, was), (new, is), &mut lines);
    chain((old, was), (new, is), &mut lines);
    upstreams((old, was), (new, is), &mut lines);
    schemes::schemes((old.api, was), (new.api, is), &mut lines);
    verifiers::replaced((old, was), (new, is), &mut lines);
    questions::credentials((old, was), (new, is), &mut lines);
    let (mut before, mut after) = (was.settings(), is.settings());
    let sources = (retries(was, old), retries(is, new));
    if Retries::are_compared_here((&sources.0, was), (&sources.1, is)) {
        // The retries of the two sides have different sources. Compare their settings as if they
        // had the same source.
        let with = |settings: Settings, retries: &Retries<'_>| {
            let settings =
                settings.without(|path| path.first().is_some_and(|key| key == "retries"));
            match retries.settings() {
                None => settings,
                Some(all) if all.is_empty() => settings.with(&["retries"], Written::Empty),
                Some(all) => settings.with_below(&["retries"], all),
            }
        };
        before = with(before, &sources.0);
        after = with(after, &sources.1);
    }
    let first = lines.len();
    fields::settings(&tables::OPERATION, "", &before, &after, &mut lines);
    // A parameter that the upstream no longer receives can be the credential of a scheme.
    let handling = std::cell::LazyCell::new(|| Handling::of((old.api, was), (new.api, is)));
    for place in &is.forwarding.not_forwarded {
        if handling.is_required(place) {
            let subject = ir::Forwarding::parameter_path(place).join(".");
            let removed = lines[first..].iter_mut();
            for line in removed.filter(|line| line.subject == subject && line.old.is_null()) {
                line.class = schemes::removal(true);
            }
        }
    }
    lines.iter_mut().for_each(|line| resolve(line, old, new));
    lines
}

/// Source of an operation's retry settings.
enum Retries<'a> {
    /// Retry settings of the operation itself.
    Own(&'a policy::traffic::retry::Checked),
    /// Name and settings of the last retry policy of the operation's chain.
    Policy(&'a str, &'a Checked),
    /// Retry policy of the operation's upstream. `None`: no retries.
    Upstream(Option<&'a policy::traffic::retry::Checked>),
}

/// Effective retry settings of an operation: its own settings, otherwise the settings of the last
/// retry policy in its chain, otherwise the settings of its upstream.
fn retries<'a>(treatment: &'a ir::Treatment, side: ApiSide<'a>) -> Retries<'a> {
    if let Some(own) = &treatment.retries {
        return Retries::Own(own);
    }
    let mut names = treatment.chain.iter().rev().filter_map(named);
    let policy = names.find_map(|name| {
        let (_, checked) = definition(treatment, name, side)?;
        (checked.kind() == "retry").then_some(Retries::Policy(name, checked))
    });
    policy.unwrap_or_else(|| {
        let upstream = side.shared.upstreams.get(&treatment.upstream);
        Retries::Upstream(upstream.and_then(|upstream| upstream.retries.as_ref()))
    })
}

impl Retries<'_> {
    fn settings(&self) -> Option<Settings> {
        match self {
            Self::Own(retries) => Some(retries.settings()),
            Self::Policy(_, checked) => Some(checked.settings()),
            Self::Upstream(retries) => retries.map(|retries| retries.settings()),
        }
    }

    /// True if no other comparison covers these retry settings. If both sides have the same source,
    /// the settings are compared at that source.
    fn are_compared_here(
        (was, own): (&Self, &ir::Treatment),
        (is, other): (&Self, &ir::Treatment),
    ) -> bool {
        let has = |treatment: &ir::Treatment, name: &str| {
            let mut names = treatment.chain.iter().filter_map(named);
            names.any(|known| known == name)
        };
        match (was, is) {
            (Self::Own(_), Self::Own(_)) | (Self::Upstream(_), Self::Upstream(_)) => false,
            // If one of these policies replaces the other in the chain, the comparison of chains
            // pairs them.
            (Self::Policy(a, _), Self::Policy(b, _)) => a != b && (has(other, a) || has(own, b)),
            _ => true,
        }
    }
}

/// Compares two chains: added, removed and reordered policies.
fn chain(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
    lines: &mut Vec<Line>,
) {
    let names = |treatment: &ir::Treatment| -> Vec<String> {
        treatment
            .chain
            .iter()
            .filter_map(named)
            .map(str::to_owned)
            .collect()
    };
    let (a, b) = (names(was), names(is));
    let (gone, come) = (alone((old, was), (new, is)), alone((new, is), (old, was)));
    if a != b || !gone.is_empty() || !come.is_empty() {
        let (removed, added): (Vec<&String>, Vec<&String>) = (
            a.iter()
                .filter(|name| gone.contains(&name.as_str()))
                .collect(),
            b.iter()
                .filter(|name| come.contains(&name.as_str()))
                .collect(),
        );
        let mut pairs = Vec::new();
        let sides = ((&*removed, (old, was)), (&*added, (new, is)));
        let (removed, added) = renamed(sides.0, sides.1, &mut pairs, lines);
        let (lost, won) = (
            lacks((&removed, (old, was)), (new, is)),
            lacks((&added, (new, is)), (old, was)),
        );
        let class = match (lost, won) {
            (true, _) => Class::Relax,
            (false, true) if removed.is_empty() => Class::Tighten,
            (false, true | false) => Class::Changed,
        };
        let in_force = in_force((old, was), (new, is), &pairs);
        moved((&removed, (old, was)), (&added, (new, is)), in_force, lines);
        // Describe policies that only one chain contains. Give only the names of all others.
        let shown = |names: &[String], alone: &[&str], side: ApiSide<'_>, own: &ir::Treatment| {
            let entries = names.iter().map(|name| {
                let known = definition(own, name, side);
                let known = known.filter(|_| alone.contains(&name.as_str()));
                known.map_or_else(
                    || name.clone(),
                    |(_, checked)| format!("{name}: {}", described(checked, side)),
                )
            });
            Value::from(entries.collect::<Vec<_>>())
        };
        lines.push(Line {
            class,
            id: "policies-changed",
            subject: "policies".into(),
            old: shown(&a, &gone, old, was),
            new: shown(&b, &come, new, is),
        });
    }
    // Compare policies whose definition moved between gateway.yaml and the OpenAPI document. All
    // others are compared at their definition.
    for name in was.chain.iter().filter_map(named) {
        let (before, after) = (definition(was, name, old), definition(is, name, new));
        if let (Some((moved_from, before)), Some((moved_to, after))) = (before, after)
            && moved_from != moved_to
            && before != after
        {
            let subject = format!("policies {name}");
            settings(&subject, before, after, lines);
            lines.push(Line {
                class: Class::Changed,
                id: "policy-redefined",
                subject,
                old: json!({"in": moved_from, "is": policy_value(before)}),
                new: json!({"in": moved_to, "is": policy_value(after)}),
            });
        }
    }
}

/// Definitions, as text, of the policies that only one of the two chains contains. Empty if both
/// chains contain the same policies.
fn policies_of_one_side(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
) -> String {
    let only = |names: Vec<&str>, own: &ir::Treatment, side: ApiSide<'_>| {
        let defined = names.into_iter().filter_map(|name| {
            let (_, checked) = definition(own, name, side)?;
            Some(format!("{name} {}", policy_value(checked)))
        });
        defined.collect::<Vec<_>>().join("\n")
    };
    let (gone, come) = (alone((old, was), (new, is)), alone((new, is), (old, was)));
    match was.chain == is.chain && gone.is_empty() && come.is_empty() {
        true => String::new(),
        false => format!("{}\n\n{}", only(gone, was, old), only(come, is, new)),
    }
}

/// Names of policies that the other chain does not contain, or contains with another kind.
fn alone<'t>(
    (side, own): (ApiSide<'_>, &'t ir::Treatment),
    (other_side, other): (ApiSide<'_>, &ir::Treatment),
) -> Vec<&'t str> {
    let names = own.chain.iter().filter_map(named);
    let is_in_both = |name: &str| {
        other.chain.iter().any(|link| named(link) == Some(name))
            && kind_of(own, name, side) == kind_of(other, name, other_side)
    };
    names.filter(|name| !is_in_both(name)).collect()
}

/// Compares each removed policy with an added policy of the same kind, setting by setting, as if
/// the policy were renamed. Adds the names of these pairs to `pairs`. Returns the names of all
/// other policies: removed, added.
fn renamed<'n>(
    (removed, (old, was)): (&[&'n String], (ApiSide<'_>, &ir::Treatment)),
    (added, (new, is)): (&[&'n String], (ApiSide<'_>, &ir::Treatment)),
    pairs: &mut Vec<(&'n str, &'n str)>,
    lines: &mut Vec<Line>,
) -> (Vec<&'n String>, Vec<&'n String>) {
    let mut added = added.to_vec();
    let mut alone = Vec::new();
    for name in removed {
        let before = definition(was, name, old).map(|(_, checked)| checked);
        let pair = added.iter().enumerate().find_map(|(index, other)| {
            let (_, after) = definition(is, other, new)?;
            let before = before.filter(|before| before.kind() == after.kind())?;
            Some((index, before, after))
        });
        let Some((index, before, after)) = pair else {
            alone.push(*name);
            continue;
        };
        let other = added.remove(index);
        pairs.push((name, other));
        settings(&format!("policies {name} -> {other}"), before, after, lines);
    }
    (alone, added)
}

/// Adds a line for each setting that differs between two policies of one kind.
pub(super) fn settings(subject: &str, before: &Checked, after: &Checked, lines: &mut Vec<Line>) {
    let kind = after.kind();
    if before.kind() == kind {
        let (was, is) = (before.settings(), after.settings());
        fields::settings(&tables::of_policy(kind), subject, &was, &is, lines);
    }
}

/// Kind of a policy in a chain.
fn kind_of<'s>(treatment: &ir::Treatment, name: &str, side: ApiSide<'s>) -> Option<&'s str> {
    definition(treatment, name, side).map(|(_, checked)| checked.kind())
}

/// Names of policies of a chain, with the side and the treatment (effective settings) of the chain.
type ChainPolicies<'n, 's> = (&'n [&'n String], (ApiSide<'s>, &'s ir::Treatment));

/// True if the other chain has no limit that is as tight as one of these limits.
fn lacks(
    (names, (from, own)): ChainPolicies<'_, '_>,
    other: (ApiSide<'_>, &ir::Treatment),
) -> bool {
    let mut names = names.iter();
    names.any(|name| is_looser(definition(own, name, from), other))
}

/// True if a chain is looser than `limit`: the chain has no limit of the same kind and for the same
/// callers that is at least as tight.
fn is_looser(
    limit: Option<(&'static str, &Checked)>,
    (side, treatment): (ApiSide<'_>, &ir::Treatment),
) -> bool {
    let enforced = |checked: &Checked| checked.settings().text(&["mode"]) != Some("log");
    let is_limit = |checked: &Checked| policy::is_limit(checked.kind()) && enforced(checked);
    let Some((_, limit)) = limit.filter(|(_, checked)| is_limit(checked)) else {
        return false;
    };
    let covers = |other: &Checked| {
        let mut lines = Vec::new();
        settings("", limit, other, &mut lines);
        other.kind() == limit.kind() && lines.iter().all(|line| line.class != Class::Relax)
    };
    let mut names = treatment.chain.iter().filter_map(named);
    !names.any(|name| {
        let known = definition(treatment, name, side);
        known.is_some_and(|(_, checked)| covers(checked))
    })
}

/// Effective destinations of two chains. For a policy that both chains contain, even under another
/// name, both results use its old settings: changes of these settings are reported with the policy.
fn in_force(
    (old, was): (ApiSide<'_>, &ir::Treatment),
    (new, is): (ApiSide<'_>, &ir::Treatment),
    pairs: &[(&str, &str)],
) -> (Vec<String>, Vec<String>) {
    let step = |name: &str, checked: &Checked, side: ApiSide<'_>| destination::Step {
        kind: checked.kind().to_owned(),
        name: name.to_owned(),
        settings: checked.settings(),
        description: described(checked, side),
    };
    let own = was.forwarding.steps().map(|(_, checked)| checked);
    let own: Vec<Checked> = own.collect();
    let whole = |mut steps: Vec<destination::Step>| {
        steps.extend(own.iter().map(|checked| step("", checked, old)));
        destination::in_force(&steps)
    };
    let before = was.chain.iter().filter_map(named).filter_map(|name| {
        let (_, checked) = definition(was, name, old)?;
        Some(step(name, checked, old))
    });
    let after = is.chain.iter().filter_map(named).filter_map(|name| {
        let (_, checked) = definition(is, name, new)?;
        let pair = pairs.iter().find(|(_, other)| *other == name);
        let before = definition(was, pair.map_or(name, |(before, _)| before), old);
        let before = before.filter(|(_, before)| before.kind() == checked.kind());
        let step = |checked, side| step(name, checked, side);
        Some(before.map_or_else(|| step(checked, new), |(_, before)| step(before, old)))
    });
    (whole(before.collect()), whole(after.collect()))
}

/// Reports added and removed policies that send requests, copies or clients elsewhere. Also reports
/// chains whose effective destinations differ for another reason, such as the order of policies.
fn moved(
    (removed, (old, was)): ChainPolicies<'_, '_>,
    (added, (new, is)): ChainPolicies<'_, '_>,
    in_force: (Vec<String>, Vec<String>),
    lines: &mut Vec<Line>,
) {
    let each = |names: &[&String], side: ApiSide<'_>, treatment: &ir::Treatment| -> Vec<Value> {
        let names = names.iter();
        let described = names.filter_map(|name| {
            let (_, checked) = definition(treatment, name, side)?;
            let moves = fields::moves(checked.kind(), &checked.settings());
            moves.then(|| format!("{name}: {}", described(checked, side)).into())
        });
        described.collect()
    };
    let (mut before, mut after) = (each(removed, old, was), each(added, new, is));
    if in_force.0 != in_force.1 {
        let shown = |texts: Vec<String>| Value::from(format!("in force: {}", texts.join("; ")));
        before.push(shown(in_force.0));
        after.push(shown(in_force.1));
    }
    if !before.is_empty() || !after.is_empty() {
        lines.push(Line {
            class: Class::Moved,
            id: "traffic-moved",
            subject: "policies".into(),
            old: before.into(),
            new: after.into(),
        });
    }
    // Earliest sunset date of the chain, after which gwd serves no request. Policies that both
    // chains have count with their old settings on both sides. Changes of these settings are
    // reported with the policy.
    let sunset = |name: &str, side: ApiSide<'_>, treatment: &ir::Treatment| {
        let (_, checked) = definition(treatment, name, side)?;
        let settings = checked.settings();
        let date = settings.text(&["sunset"])?;
        (checked.kind() == "deprecation").then(|| date.to_owned())
    };
    let stays = |name: &&str| !removed.iter().any(|gone| gone.as_str() == *name);
    let staying = was.chain.iter().filter_map(named).filter(stays);
    let staying = staying.filter_map(|name| sunset(name, old, was)).min();
    let earliest = |names: &[&String], side, treatment| {
        let own = names
            .iter()
            .filter_map(|name| sunset(name, side, treatment));
        own.chain(staying.clone()).min()
    };
    let (before, after) = (earliest(removed, old, was), earliest(added, new, is));
    if before != after {
        lines.push(Line {
            class: fields::until(before.as_deref(), after.as_deref()),
            id: "sunset-changed",
            subject: "policies sunset".into(),
            old: before.into(),
            new: after.into(),
        });
    }
}

/// One-line description of a policy: its kind, its settings, and the hosts of its upstreams.
fn described(checked: &Checked, side: ApiSide<'_>) -> String {
    let settings = checked.settings();
    let settings = settings.iter().map(|one| {
        let value = match shown(Some(&one.value)) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let is_upstream = one.path.last().is_some_and(|key| key == "upstream");
        let hosts = match is_upstream {
            true => hosts(&value, side),
            false => String::new(),
        };
        format!(" {} {value}{hosts}", one.path.join("."))
    });
    format!(
        "{}{}",
        checked.kind(),
        settings.collect::<Vec<_>>().join(",")
    )
}

/// Hosts of an upstream, in parentheses. Empty if the upstream does not exist.
fn hosts(name: &str, side: ApiSide<'_>) -> String {
    let upstream = side.shared.upstreams.get(name);
    let hosts = upstream.map(crate::security::gateway::hosts);
    match hosts.unwrap_or_default() {
        hosts if hosts.is_empty() => String::new(),
        hosts => format!(" ({})", hosts.join(", ")),
    }
}

/// Appends the hosts of named upstreams to a line about a destination.
fn resolve(line: &mut Line, old: ApiSide<'_>, new: ApiSide<'_>) {
    let ends = |key| line.subject.ends_with(key);
    if line.class != Class::Moved || !(ends("upstream") || ends("split") || ends("among")) {
        return;
    }
    for (value, side) in [(&mut line.old, old), (&mut line.new, new)] {
        match value {
            Value::String(name) => name.push_str(&hosts(&name.clone(), side)),
            Value::Array(shares) => shares.iter_mut().for_each(|share| {
                let text = share.as_str().unwrap_or_default().to_owned();
                let (name, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
                *share = format!("{name}{}{rest}", hosts(name, side)).into();
            }),
            _ => {}
        }
    }
}
