//! Plans of several environments. A change that occurs in several environments is one line, which
//! lists them.
//!
//! An environment that exists on one side only is one line. A new environment is compared with
//! every existing environment in the classes that admit more callers. In the other gated classes it
//! is compared only with the environments that it may replace. These are environments that are
//! removed or have the same channel, otherwise the project without an environment, otherwise the
//! most similar environment. Replacing a strict environment with a lax environment of another name
//! can therefore not bypass gates. The rules of a new environment are compared with the rules of
//! the project without an environment, and of each environment that it may replace. The project
//! without an environment is compared with each removed environment that it replaces.
//!
//! An existing environment that takes the channel of another environment is also compared with that
//! environment. The next release then replaces the bundle of the gateways that follow the channel.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bundle::digest::Digest;
use engine::BuildError;
use serde_json::Value;

use super::review::Named;
use super::{Change, Class, Plan, Section, Side, compare_on, group};

/// Environment, with its two sides.
#[derive(Debug)]
pub struct Pair {
    /// Name of the environment. Empty: the project without an environment.
    pub environment: String,
    /// Side of the old version for this environment. `None` if the old version does not have the
    /// environment.
    pub old: Option<Side>,
    /// Side of the new version for this environment. `None` if the new version does not have the
    /// environment.
    pub new: Option<Side>,
    /// True if the sides of the pair are only compared with new environments, and not with each
    /// other.
    pub is_beside: bool,
}

/// Classes of changes that admit more callers.
const OPENING: [Class; 4] = [
    Class::Weaken,
    Class::Incomparable,
    Class::Expose,
    Class::Grant,
];

/// Gated classes that are compared only if one environment replaces another.
const REPLACEMENT_CLASSES: [Class; 4] = [Class::Removed, Class::Moved, Class::Relax, Class::Break];

/// Compares every environment. If no environment has an old side, returns the plan of a first
/// release. `None` if there is no new side.
///
/// # Errors
/// Returns an error if the engine of a side cannot be built.
pub fn compare_each(pairs: &[Pair], today: Option<&str>) -> Result<Option<Plan>, BuildError> {
    let is_first = pairs.iter().all(|pair| pair.old.is_none());
    let mut whole: Option<Plan> = None;
    let mut known = Known::new();
    for pair in pairs {
        let Some(new) = &pair.new else { continue };
        if pair.old.is_none() && !is_first {
            continue;
        }
        let plan = compare_on(pair.old.as_ref(), new, today)?;
        let whole = whole.get_or_insert_with(|| empty(&plan));
        whole.add(plan, &pair.environment, &mut known);
        // gwc refuses a first release whose comparison exceeds its step limit. The same paths in
        // other environments would take as long, so do not compare these.
        if is_first && !whole.too_large.is_empty() {
            return Ok(Some(whole.clone()));
        }
    }
    let Some(first) = pairs.iter().find_map(|pair| pair.new.as_ref()) else {
        return Ok(None);
    };
    let mut whole = whole.unwrap_or_else(|| Plan::of(None, first));
    if is_first {
        whole.bind();
        return Ok(Some(whole));
    }
    for pair in pairs.iter().filter(|pair| !pair.environment.is_empty()) {
        match (&pair.old, &pair.new) {
            (None, Some(new)) => {
                let (line, rules) = added((&pair.environment, new), pairs, today)?;
                whole.changes.push(line);
                whole.add_changes(rules, &pair.environment, &mut known);
            }
            (Some(_), None) if pair.is_beside => continue,
            (Some(old), None) => {
                whole.changes.push(removed(&pair.environment, old));
                if let Some(replacement) = replacement(old, pairs) {
                    let plan = compare_on(Some(old), replacement, today)?;
                    whole.add_changes(plan.changes, "", &mut known);
                }
            }
            (Some(_), Some(_)) | (None, None) => continue,
        }
        whole.no_op = false;
    }
    for pair in pairs {
        let (Some(old), Some(new)) = (&pair.old, &pair.new) else {
            continue;
        };
        if pair.environment.is_empty() && is_idle(new, pairs) {
            continue;
        }
        for before in replaced_at_channel(pair, old, new, pairs) {
            let plan = compare_on(Some(before), new, today)?;
            whole.no_op &= plan.no_op;
            whole.add_changes(plan.changes, &pair.environment, &mut known);
        }
    }
    whole.bind();
    group::sort(&mut whole.changes);
    Ok(Some(whole))
}

/// Index of each change in the plan. Key: the fingerprint of the change, and its position among the
/// changes of one environment with this fingerprint.
type Known = HashMap<(String, usize), usize>;

/// Copies a plan without its changes.
fn empty(plan: &Plan) -> Plan {
    Plan {
        changes: Vec::new(),
        schemas: BTreeMap::new(),
        no_op: true,
        missing: Vec::new(),
        logs: Vec::new(),
        notes: Vec::new(),
        bugs: Vec::new(),
        too_large: Vec::new(),
        steps: 0,
        ..plan.clone()
    }
}

impl Plan {
    /// Assigns all changes of the plan to one environment. Empty name: the project without an
    /// environment.
    #[must_use]
    pub fn in_environment(mut self, environment: &str) -> Self {
        self.environments.insert(environment.to_owned());
        for change in &mut self.changes {
            change.environments.insert(environment.to_owned());
        }
        self.bind();
        self
    }

    /// Computes the fingerprints for the environments of each change. Then removes lines about new
    /// acknowledgements for changes of the plan.
    fn bind(&mut self) {
        self.changes.iter_mut().for_each(Change::bind);
        let mut named = Named::of(self);
        let is_kept = |change: &Change| {
            let of = change.subject.strip_prefix("acknowledgement ");
            let of = of.filter(|_| change.id == "acknowledgement-added");
            of.is_none_or(|fingerprint| {
                let environments: BTreeSet<String> =
                    change.bound.lines().map(str::to_owned).collect();
                named.find(fingerprint, Some(&environments)).is_none()
            })
        };
        let kept: Vec<bool> = self.changes.iter().map(is_kept).collect();
        let mut kept = kept.into_iter();
        self.changes.retain(|_| kept.next().unwrap_or(true));
    }

    /// Merges the plan of an environment. If the merged plan already contains a change, only the
    /// environment's name is added to it.
    fn add(&mut self, plan: Self, environment: &str, known: &mut Known) {
        self.environments.insert(environment.to_owned());
        self.no_op &= plan.no_op;
        self.schemas.extend(plan.schemas);
        self.add_changes(plan.changes, environment, known);
        let missing = plan.missing.into_iter();
        let missing: Vec<_> = missing.filter(|one| !self.missing.contains(one)).collect();
        self.missing.extend(missing);
        let notes = plan.notes.into_iter();
        let notes: Vec<_> = notes.filter(|one| !self.notes.contains(one)).collect();
        self.notes.extend(notes);
        self.bugs.extend(plan.bugs);
        self.too_large.extend(plan.too_large);
        self.steps += plan.steps;
    }

    /// Merges changes of an environment. If the merged plan already contains a change, only the
    /// environment's name is added to it.
    fn add_changes(&mut self, changes: Vec<Change>, environment: &str, known: &mut Known) {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for change in changes {
            let number = numbers.entry(change.fingerprint.clone()).or_default();
            let index = known.entry((change.fingerprint.clone(), *number));
            *number += 1;
            let (reaches, is_retired) = (change.reaches.clone(), change.is_retired);
            let index = *index.or_insert_with(|| {
                self.changes.push(change);
                self.changes.len() - 1
            });
            let change = &mut self.changes[index];
            change.environments.insert(environment.to_owned());
            // The operation is retired only if each environment requires the notice.
            change.is_retired &= is_retired;
            if let Some(reaches) = reaches {
                change.reaches.get_or_insert_default().join(reaches);
            }
        }
    }
}

/// Ids of changes of the rules that the line of a new environment already describes.
const OF_CHANNEL: [&str; 3] = ["channel-changed", "environment-changed", "rules-unknown"];

/// Returns the change for a new environment, and the changes of its rules. The class of the change
/// is the most severe of two groups: classes that admit more callers than some existing
/// environment, and gated differences from the environments that it may replace.
fn added(
    (name, new): (&str, &Side),
    pairs: &[Pair],
    today: Option<&str>,
) -> Result<(Change, Vec<Change>), BuildError> {
    let (mut wider, mut differences) = (Found::default(), Found::default());
    let mut plans: Vec<(&Pair, Plan)> = Vec::new();
    for pair in pairs {
        let Some(old) = &pair.old else { continue };
        let plan = compare_on(Some(old), new, today)?;
        wider.add(&plan, &OPENING, &pair.environment);
        plans.push((pair, plan));
    }
    let stopped = |plan: &Plan| -> usize {
        REPLACEMENT_CLASSES
            .map(|class| plan.count(class))
            .iter()
            .sum()
    };
    let nearest = plans.iter().min_by_key(|(_, plan)| stopped(plan));
    let base = plans.iter().find(|(pair, _)| pair.environment.is_empty());
    // Exclude the project without an environment: if it has the channel of an environment, it is
    // never released.
    let is_named = |pair: &Pair| !pair.environment.is_empty() && is_replaced(pair, new);
    let mut replaced: Vec<&(&Pair, Plan)> = Vec::new();
    replaced.extend(plans.iter().filter(|(pair, _)| is_named(pair)));
    if replaced.is_empty() {
        replaced.extend(base.or(nearest));
    }
    for (pair, plan) in &replaced {
        differences.add(plan, &REPLACEMENT_CLASSES, &pair.environment);
    }
    let mut rules: Vec<Change> = Vec::new();
    let against = replaced.iter().copied().chain(base.or(nearest));
    let of_rules = against.flat_map(|(_, plan)| {
        let changes = plan.changes.iter();
        // The line of a new environment already contains its channel and environment.
        changes
            .filter(|change| change.section == Section::Rules && !OF_CHANNEL.contains(&change.id))
    });
    for change in of_rules {
        // A rule that a replaced environment already has is not new, even if the project without an
        // environment lacks it.
        let is_known = is_addition(change) && !replaced.iter().all(|(_, plan)| has(plan, change));
        if !is_known && !rules.iter().any(|one| is_same(one, change)) {
            rules.push(change.clone());
        }
    }
    let id = new.bundle;
    let mut description = admitted(id, &wider, &differences);
    let taken = plans.iter().filter(|(pair, _)| is_named(pair));
    description.push_str(&released_to(
        new,
        taken.map(|(pair, _)| pair.environment.as_str()),
    ));
    wider.most.append(&mut differences.most);
    let wider = wider.most;
    let class = wider.keys().next().copied().unwrap_or(Class::Added);
    let section = match wider.is_empty() {
        true => Section::Routing,
        false => Section::Security,
    };
    let mut change = Change::new(
        section,
        class,
        "environment-added",
        format!("environment {name}"),
        Value::Null,
        description.into(),
    );
    change.stands_for = wider.into_keys().collect();
    change.bound = id.to_string();
    Ok((of(change, name), rules))
}

/// Text for the line of a new environment: its bundle, and the environments from which it differs.
fn admitted(id: Digest, wider: &Found, differences: &Found) -> String {
    let mut description = format!("bundle {}", id.short());
    for (found, how) in [
        (wider, "which admits more than"),
        (
            differences,
            "which removes, moves, relaxes or breaks parts of",
        ),
    ] {
        if !found.most.is_empty() {
            description.push_str(&format!(", {how} {}", found.summary()));
        }
    }
    description
}

/// Text for the line of a new environment: its channel, and the environments that its next release
/// replaces. An acknowledgement of the line is for this channel only.
fn released_to<'a>(new: &Side, replaced: impl Iterator<Item = &'a str>) -> String {
    let Some((_, channel)) = channel(new) else {
        return String::new();
    };
    let replaced: Vec<String> = replaced.map(called).collect();
    match replaced.is_empty() {
        true => format!("; channel {channel}"),
        false => format!("; channel {channel}, replaces {}", replaced.join(", ")),
    }
}

/// True for an added rule, such as a gate. Such a rule only blocks more changes.
fn is_addition(change: &Change) -> bool {
    let stricter = ["gate-added", "required-policy-added", "required-auth-added"];
    stricter.contains(&change.id)
}

fn has(plan: &Plan, change: &Change) -> bool {
    plan.changes.iter().any(|one| is_same(one, change))
}

fn is_same(one: &Change, other: &Change) -> bool {
    one.id == other.id && one.fingerprint == other.fingerprint
}

/// Differences of a new environment from existing environments.
#[derive(Default)]
struct Found {
    /// Maximum number of changes of each class in any one comparison.
    most: BTreeMap<Class, usize>,
    /// Names of the environments from which the new environment differs.
    than: BTreeSet<String>,
}

impl Found {
    /// Adds the changes of these classes, and lines that summarise changes of these classes.
    fn add(&mut self, plan: &Plan, classes: &[Class], environment: &str) {
        for class in classes {
            let is_one =
                |change: &&Change| change.class == *class || change.stands_for.contains(class);
            let count: usize = plan.changes.iter().filter(is_one).map(Change::count).sum();
            if count > 0 {
                let most = self.most.entry(*class).or_default();
                *most = count.max(*most);
                self.than.insert(called(environment));
            }
        }
    }

    /// Names of the environments and the numbers of changes, for a message.
    fn summary(&self) -> String {
        let counts = self.most.iter();
        let counts: Vec<String> = counts
            .map(|(class, count)| format!("{count} {}", class.name()))
            .collect();
        let than: Vec<&str> = self.than.iter().map(String::as_str).collect();
        format!("{} ({})", than.join(", "), counts.join(", "))
    }
}

/// True if a new environment may replace an existing environment: the existing environment is
/// removed, or both environments have the same channel.
fn is_replaced(pair: &Pair, new: &Side) -> bool {
    let Some(old) = &pair.old else { return false };
    let before = channel(old);
    pair.new.is_none() && !pair.is_beside || before.is_some() && before == channel(new)
}

/// Returns the old sides that an existing environment replaces, because they had its new channel.
/// The project without an environment counts only if no named environment had the channel:
/// otherwise it was never released. For the same reason, this project can replace an environment
/// whose channel it already had.
fn replaced_at_channel<'p>(own: &Pair, old: &Side, new: &Side, pairs: &'p [Pair]) -> Vec<&'p Side> {
    let had_channel = pairs.iter().filter_map(|pair| {
        let before = pair.old.as_ref()?;
        (channel(before) == channel(new)).then_some((pair.environment.is_empty(), before))
    });
    let had_channel: Vec<(bool, &Side)> = had_channel.collect();
    let are_bare = had_channel.iter().all(|(is_bare, _)| *is_bare);
    let is_own = channel(old) == channel(new) && (are_bare || !own.environment.is_empty());
    if channel(new).is_none() || is_own {
        return Vec::new();
    }
    let replaced = had_channel
        .into_iter()
        .filter(|(is_bare, _)| are_bare || !is_bare);
    replaced.map(|(_, before)| before).collect()
}

/// Store and channel to which a side is released. `None` if its rules are unknown. Channels of
/// different stores are different, also with the same name.
#[must_use]
pub fn channel(side: &Side) -> Option<(String, &str)> {
    let rules = side.source.as_ref()?.rules.as_ref()?;
    Some((rules.store(), &rules.channel))
}

/// Returns the project without an environment if it replaces a removed environment: it has the same
/// channel, or no environment remains. The regular comparison of this project does not contain the
/// gates and requirements of the removed environment's patch.
fn replacement<'p>(old: &Side, pairs: &'p [Pair]) -> Option<&'p Side> {
    let base = pairs.iter().find(|pair| pair.environment.is_empty());
    let base = base?.new.as_ref()?;
    let is_last = named(pairs).next().is_none();
    let is_same = channel(old).is_some() && channel(old) == channel(base);
    (!is_idle(base, pairs) && (is_last || is_same)).then_some(base)
}

/// True if the project without an environment is never released: its channel belongs to a named
/// environment.
fn is_idle(base: &Side, pairs: &[Pair]) -> bool {
    named(pairs).any(|side| channel(side) == channel(base))
}

/// New sides of the named environments.
fn named(pairs: &[Pair]) -> impl Iterator<Item = &Side> {
    let named = pairs.iter().filter(|pair| !pair.environment.is_empty());
    named.filter_map(|pair| pair.new.as_ref())
}

fn removed(name: &str, old: &Side) -> Change {
    let mut change = Change::new(
        Section::Routing,
        Class::Removed,
        "environment-removed",
        format!("environment {name}"),
        format!("bundle {}", old.bundle.short()).into(),
        Value::Null,
    );
    change.bound = old.bundle.to_string();
    of(change, name)
}

fn of(mut change: Change, environment: &str) -> Change {
    change.why_none = Some("one side does not have the environment");
    change.environments.insert(environment.to_owned());
    change.named()
}

/// Name of an environment for messages.
pub(super) fn called(environment: &str) -> String {
    match environment {
        "" => "no environment".to_owned(),
        name => name.to_owned(),
    }
}
