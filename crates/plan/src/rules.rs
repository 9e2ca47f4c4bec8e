//! Section Rules: changes of the release rules. Gates, acknowledgements, lint levels, the channel,
//! the store and the trust file are not part of bundles, only of sources and source artifacts.
//!
//! The gates of the old side apply to a change of the rules. The gate `rules` is enabled whenever
//! the old side enables any gate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::environments::called;
use super::{Change, Class, Plan, Section};
use bundle::digest::Digest;
use bundle::statement::predicate::{Step, Sticky, Testers};
use model::acknowledge::Acknowledgement;
use model::rules::{Rules, UNKNOWN};

/// Maximum number of requests or tests that one change lists.
const REQUESTS_MAX: usize = 20;

/// Compares the rules of two sides. The plan must already contain all other changes.
pub(super) fn compare(old: &Rules, new: &Rules, plan: &mut Plan) {
    let parts = [gates, destination, levels, tests, trust];
    let changes = parts.into_iter().flat_map(|part| part(old, new));
    plan.changes.extend(changes.map(Change::named));
    if let (Some(before), Some(after)) = (&old.acknowledged, &new.acknowledged) {
        let added = added(before, after, &plan.changes);
        plan.changes.extend(added);
    }
}

/// Changes of the gates and of the acknowledgement file.
fn gates(old: &Rules, new: &Rules) -> Vec<Change> {
    let on = || Some("on".to_owned());
    let removed = old.gates.difference(&new.gates);
    let removed = removed.map(|gate| rule("gate-removed", format!("gate {gate}"), on(), None));
    let added = new.gates.difference(&old.gates);
    let added = added.map(|gate| rule("gate-added", format!("gate {gate}"), None, on()));
    let file = (old.acknowledge != new.acknowledge).then(|| {
        let (was, is) = (old.acknowledge.clone(), new.acknowledge.clone());
        rule("acknowledge-file-changed", "acknowledge".into(), was, is)
    });
    removed.chain(added).chain(file).collect()
}

/// Changes of the levels of lint rules and of break checks, of the notice periods, of silenced lint
/// rules and of invariants.
fn levels(old: &Rules, new: &Rules) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut push = |id, subject: String, old: Option<String>, new: Option<String>| {
        changes.push(rule(id, subject, old, new));
    };
    for (name, old, new) in differing(&old.lint, &new.lint) {
        push("lint-level-changed", format!("lint {name}"), old, new);
    }
    for (id, old, new) in differing(&old.break_levels, &new.break_levels) {
        let subject = format!("break_levels {id}");
        push("break-level-changed", subject, old, new);
    }
    let days = |rules: &Rules| -> BTreeMap<String, String> {
        let all = rules.notice_days.iter();
        all.map(|(api, days)| (api.clone(), days.to_string()))
            .collect()
    };
    for (api, old, new) in differing(&days(old), &days(new)) {
        push("notice-changed", format!("deprecations {api}"), old, new);
    }
    if let (Some(was), Some(is)) = (&old.silenced, &new.silenced) {
        for (name, old, new) in differing(was, is) {
            push("lint-allow-changed", format!("lint allow {name}"), old, new);
        }
    }
    for (name, old, new) in differing(&old.invariants, &new.invariants) {
        let id = match (&old, &new) {
            (None, _) => "invariant-added",
            (_, None) => "invariant-removed",
            (Some(_), Some(_)) => "invariant-changed",
        };
        push(id, format!("invariant {name}"), old, new);
    }
    changes
}

/// Changes of the test files, and of the operations that unchanged invariants select.
fn tests(old: &Rules, new: &Rules) -> Vec<Change> {
    let mut changes = Vec::new();
    let excludes = |pattern: &&String| pattern.starts_with('!');
    if let (Some(was), Some(is)) = (&old.tests, &new.tests)
        && (was.difference(is).any(|one| !excludes(&one))
            || is.difference(was).any(|one| excludes(&one)))
    {
        let shown = |all: &BTreeSet<String>| {
            (!all.is_empty()).then(|| Vec::from_iter(all.iter().cloned()).join(", "))
        };
        changes.push(rule("tests-removed", "tests".into(), shown(was), shown(is)));
    }
    changes.extend(lost_tests(old, new));
    if let (Some(was), Some(is)) = (&old.selection, &new.selection) {
        // Compare the selections of invariants that have the same text on both sides. A changed
        // text is reported as a separate change.
        let same = old.invariants.iter();
        let same = same.filter(|(name, text)| new.invariants.get(*name) == Some(*text));
        for (name, lost) in same.map(|(name, _)| (name, was.lost(is, name))) {
            if !lost.is_empty() {
                let subject = format!("selection of invariant {name}");
                changes.push(rule("invariant-narrowed", subject, Some(some(&lost)), None));
            }
        }
    }
    changes
}

/// Change of the tests with a request and an expected property that no test of the new side has.
fn lost_tests(old: &Rules, new: &Rules) -> Option<Change> {
    let kept: BTreeSet<&String> = new.test_checks.values().flatten().collect();
    let is_lost = |checks: &BTreeSet<String>| checks.iter().any(|check| !kept.contains(check));
    let (mut removed, mut changed) = (BTreeSet::new(), BTreeSet::new());
    let mut bound = String::new();
    for (name, was) in old.test_checks.iter().filter(|(_, was)| is_lost(was)) {
        let is = new.test_checks.get(name);
        match is {
            None => removed.insert(name.as_str()),
            Some(_) => changed.insert(name.as_str()),
        };
        let _ = writeln!(bound, "{name} {was:?} {is:?}");
    }
    if bound.is_empty() {
        return None;
    }
    let before = removed.union(&changed).copied().collect();
    let parts = [("removed", &removed), ("changed", &changed)];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let after: Vec<String> = parts
        .map(|(what, names)| format!("{what}: {}", some(names)))
        .collect();
    let after = Some(after.join("; "));
    let mut change = rule("tests-changed", "tests".into(), Some(some(&before)), after);
    change.bound = Digest::of(bound.as_bytes()).hex();
    Some(change)
}

/// Changes of the trust file.
fn trust(old: &Rules, new: &Rules) -> Vec<Change> {
    let parts = differing(&old.trust, &new.trust);
    let parts = parts.filter(|(name, _, _)| !is_first_rule(old, name));
    let parts =
        parts.map(|(name, old, new)| rule("trust-changed", format!("trust {name}"), old, new));
    let floors = old.floors.iter().filter_map(|(name, was)| {
        let is = new.floors.get(name).copied().unwrap_or_default();
        let (was, is) = (is < *was).then(|| (was.to_string(), is.to_string()))?;
        Some(rule(
            "trust-changed",
            format!("trust {name}"),
            Some(was),
            Some(is),
        ))
    });
    parts.chain(floors).collect()
}

/// True for the first `approvals_after` of a channel: the old side requires no approvals there. The
/// records up to `approvals_after` needed no approvals before either, so the setting weakens
/// nothing.
fn is_first_rule(old: &Rules, part: &str) -> bool {
    let channel = part.strip_prefix("approvals_after of channel ");
    channel.is_some_and(|channel| {
        let before = old.floors.get(&format!("approvals of channel {channel}"));
        before.copied().unwrap_or_default() == 0
    })
}

/// Changes of the channel, the store and the environment to which bundles are released, and of
/// their progressive release.
fn destination(old: &Rules, new: &Rules) -> Vec<Change> {
    let settings = [
        (
            "channel-changed",
            "release channel",
            &old.channel,
            &new.channel,
        ),
        ("store-changed", "release store", &old.store, &new.store),
    ];
    let is_changed = |id: &str, was: &String, is: &String| match id {
        "store-changed" => old.store() != new.store(),
        _ => was != is,
    };
    let settings = settings.into_iter();
    let settings = settings.filter(|(id, _, was, is)| is_changed(id, was, is));
    let settings = settings.map(|(id, subject, old, new)| {
        rule(id, subject.to_owned(), Some(old.clone()), Some(new.clone()))
    });
    let environment = new.replaced_environment(old).map(|replaced| {
        let shown = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let is = new.environment.as_deref().unwrap_or_default();
        let subject = "release environment".to_owned();
        rule("environment-changed", subject, shown(replaced), shown(is))
    });
    settings
        .chain(environment)
        .chain(progress(old, new))
        .collect()
}

/// Changes of the steps of releases, of their choice of the version, of their guard, and of the
/// freeze windows.
fn progress(old: &Rules, new: &Rules) -> Vec<Change> {
    let shown = |rules: &Rules| {
        let steps: Vec<String> = rules.steps.iter().map(Step::to_string).collect();
        (!steps.is_empty()).then(|| steps.join(", "))
    };
    let steps = (old.steps != new.steps).then(|| {
        let subject = "release steps".to_owned();
        rule("release-steps-changed", subject, shown(old), shown(new))
    });
    let guard = (old.guard != new.guard).then(|| {
        let shown = |rules: &Rules| rules.guard.as_ref().map(ToString::to_string);
        let subject = "release guard".to_owned();
        rule("release-guard-changed", subject, shown(old), shown(new))
    });
    let freeze = (old.freeze != new.freeze).then(|| {
        let shown = |rules: &Rules| {
            let windows = Vec::from_iter(rules.freeze.iter().cloned());
            (!windows.is_empty()).then(|| windows.join("; "))
        };
        let subject = "release freeze".to_owned();
        rule("release-freeze-changed", subject, shown(old), shown(new))
    });
    let (was, is) = (&old.choice, &new.choice);
    let choice = [
        (
            "release-sticky-changed",
            "release sticky",
            was.sticky.as_ref().map(Sticky::to_string),
            is.sticky.as_ref().map(Sticky::to_string),
        ),
        (
            "release-testers-changed",
            "release testers",
            was.testers.as_ref().map(Testers::to_string),
            is.testers.as_ref().map(Testers::to_string),
        ),
    ];
    let choice = choice.into_iter().filter(|(_, _, was, is)| was != is);
    let choice = choice.map(|(id, subject, was, is)| rule(id, subject.to_owned(), was, is));
    let steps = steps.into_iter().chain(choice);
    steps.chain(guard).chain(freeze).collect()
}

/// Adds the change for an old side with unknown rules: a bundle without its source artifact. An
/// acknowledgement covers only this bundle and these new rules.
pub(super) fn unknown(old: Digest, new: &Rules, plan: &mut Plan) {
    let text = serde_json::to_string(new).expect("maps of strings can be written");
    let gates = match new.gates.is_empty() {
        true => "no gates".to_owned(),
        false => format!(
            "gates {}",
            Vec::from_iter(new.gates.iter().cloned()).join(", ")
        ),
    };
    let before = format!("unknown (bundle {})", old.short());
    let after = format!("{gates} (rules {})", Digest::of(text.as_bytes()).short());
    let change = rule(UNKNOWN, "rules".to_owned(), Some(before), Some(after));
    plan.changes.push(change.named());
}

fn rule(id: &'static str, subject: String, old: Option<String>, new: Option<String>) -> Change {
    let json = |text: Option<String>| text.map_or(Value::Null, Value::from);
    let (section, class) = (Section::Rules, Class::Rules);
    let mut change = Change::new(section, class, id, subject, json(old), json(new));
    change.why_none = Some(
        "the change affects only the rules for changes, which no request can \
        show",
    );
    change
}

/// Reports new acknowledgements that match no change of this plan. A later change could otherwise
/// pass without review. Leaves out an acknowledgement of the line that this plan has about another
/// new acknowledgement.
fn added(before: &[Acknowledgement], after: &[Acknowledgement], changes: &[Change]) -> Vec<Change> {
    let known: BTreeSet<Key<'_>> = before.iter().map(key).collect();
    let members = changes.iter().flat_map(|change| &change.members);
    let members = members.map(|member| member.fingerprint.as_str());
    let lines = changes.iter().map(|change| change.fingerprint.as_str());
    let named: BTreeSet<&str> = lines.chain(members).collect();
    let idle = after
        .iter()
        .filter(|entry| !known.contains(&key(entry)))
        .filter(|entry| !named.contains(entry.fingerprint.as_str()));
    let lines: Vec<(&Acknowledgement, Change)> = idle
        .map(|entry| {
            let about = |text: &Option<String>| text.clone().unwrap_or_default();
            let until = match &entry.until {
                Some((_, day)) => format!(", until {day}"),
                None => String::new(),
            };
            let within = match &entry.environments {
                Some(all) => {
                    let all: Vec<String> = all.iter().map(|name| called(name)).collect();
                    format!(", in {}", all.join(", "))
                }
                None => String::new(),
            };
            let acknowledged = format!(
                "{} {}{until}{within}",
                about(&entry.kind),
                about(&entry.operation)
            );
            let subject = format!("acknowledgement {}", entry.fingerprint);
            let mut change = rule("acknowledgement-added", subject, None, Some(acknowledged));
            let environments = entry.environments.iter().flatten();
            let environments: Vec<&str> = environments.map(String::as_str).collect();
            change.bound = environments.join("\n");
            (entry, change.named())
        })
        .collect();
    let made: BTreeSet<String> = lines
        .iter()
        .map(|(_, change)| change.fingerprint.clone())
        .collect();
    lines
        .into_iter()
        .filter(|(entry, _)| !made.contains(&entry.fingerprint))
        .map(|(_, change)| change)
        .collect()
}

/// Identity of an acknowledgement: everything that decides which changes it covers.
type Key<'a> = (
    &'a str,
    Option<u64>,
    [Option<&'a str>; 2],
    Option<Vec<&'a str>>,
);

/// Identity of an acknowledgement.
fn key(entry: &Acknowledgement) -> Key<'_> {
    let until = entry.until.as_ref().map(|(end, _)| *end);
    let named = [entry.kind.as_deref(), entry.operation.as_deref()];
    let environments = entry.environments.as_ref();
    let environments = environments.map(|all| all.iter().map(String::as_str).collect());
    (&entry.fingerprint, until, named, environments)
}

/// First [`REQUESTS_MAX`] requests or tests as text. If there are more, adds their number and a
/// digest of all of them.
fn some(requests: &BTreeSet<&str>) -> String {
    let all = Vec::from_iter(requests.iter().copied());
    match all.len().checked_sub(REQUESTS_MAX) {
        None | Some(0) => all.join(", "),
        Some(more) => format!(
            "{} and {more} more ({})",
            all[..REQUESTS_MAX].join(", "),
            Digest::of(all.join("\n").as_bytes()).short()
        ),
    }
}

/// Names whose values differ, with both values.
fn differing<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a String, Option<String>, Option<String>)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter_map(|name| {
        let (old, new) = (old.get(name), new.get(name));
        (old != new).then(|| (name, old.cloned(), new.cloned()))
    })
}
