//! Plan: the changes of a release by their effect on requests, and not by their text (plan.md).
//!
//! [`compare`] compares two sides: the old and the new version of a gateway. [`routing`] determines
//! which route handles which requests, [`security`] compares access, and [`witness`] builds a
//! request for which the old and the new engine decide differently. [`details`] compares everything
//! else. [`review`] applies gates and acknowledgements. [`human`], [`json`], [`markdown`],
//! [`html`], [`github`] and [`findings`] write the plan.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod ask;
mod callers;
mod causes;
mod change;
pub mod changelog;
mod checked_response;
mod class;
pub mod clients;
mod conceal;
pub mod details;
mod docs;
pub mod environments;
mod excerpt;
pub mod expect;
pub mod findings;
mod first;
pub mod fold;
mod gates;
pub mod github;
mod group;
pub mod html;
pub mod human;
pub mod ids;
pub mod json;
mod levels;
mod lifecycle;
pub mod links;
pub mod markdown;
mod operation_ref;
mod pairs;
mod places;
mod reach;
mod reachable;
mod reaches;
mod received_hosts;
mod remainder;
pub mod repeated_places;
pub mod replay;
pub mod report;
pub mod review;
pub mod route;
mod routing;
pub mod rules;
pub mod security;
mod servers;
#[expect(clippy::disallowed_methods, reason = "the stages of a plan are timed")]
pub mod stages;
mod values;
pub mod witness;
mod words;

pub use callers::Callers;
pub use gates::LEFT_OUT;
pub use reach::Reach;
pub use review::Review;

pub use change::{
    Change, Decision, Member, Message, OperationLine, Outcome, RequestPlace, Witness,
    WitnessCredential, bound, short,
};
pub use class::{Class, Section};
pub use operation_ref::OperationRef;
pub use validator::example_response::ResponseExample;

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;

use crate::stages::Stages;
use model::lower::Lowered;
use model::source_map::SourceMap;

/// Side of a comparison: a bundle with its sources.
#[derive(Debug)]
pub struct Side {
    /// Digest of the bundle's manifest.
    pub bundle: Digest,
    /// Configuration and contracts of the bundle.
    pub lowered: Lowered,
    /// Source map of the bundle, if available.
    pub source: Option<SourceMap>,
}

/// Changes that a release makes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Digest of the old side's bundle. `None` for a first release.
    pub old: Option<Digest>,
    /// Digest of the new side's bundle.
    pub new: Digest,
    /// Names of the environments that were compared. An empty name is the project without an
    /// environment.
    pub environments: BTreeSet<String>,
    /// Changes, in the order of the plan.
    pub changes: Vec<Change>,
    /// Schemas that values of changes contain only as `{"$recursive": DIGEST}`, by digest.
    pub schemas: BTreeMap<String, serde_json::Value>,
    /// True if a release would not change behaviour: all changes concern prose or release rules.
    pub no_op: bool,
    /// Names of inputs that were not available: `source` for the old side's source map, `schemas`
    /// for the schemas of a bundle built before contracts contained schemas.
    pub missing: Vec<&'static str>,
    /// Results of the replayed access logs, one sentence for each environment. Empty: no log was
    /// replayed.
    pub logs: Vec<String>,
    /// Notes for the reader, such as parts of the configuration that were not compared.
    pub notes: Vec<String>,
    /// Messages about witnesses that do not show their change. Each is a bug in the comparison.
    pub bugs: Vec<String>,
    /// Messages about hosts whose paths exceed the step limit of the comparison. If there is an old
    /// side, the plan has one line for each host (`paths-not-compared`). Otherwise it has none, and
    /// gwc refuses the release.
    pub too_large: Vec<String>,
    /// Number of steps that the route comparison took: search states, pairs of routes, and index
    /// nodes.
    pub steps: usize,
    /// Wall time of each stage.
    pub stages: Stages,
}

/// Compares two sides. Without an old side, compares with an empty gateway.
///
/// # Errors
/// Returns an error if the engine of a side cannot be built.
pub fn compare(old: Option<&Side>, new: &Side) -> Result<Plan, engine::BuildError> {
    compare_on(old, new, None)
}

/// Compares two sides on a day (`YYYY-MM-DD`), which decides about sunsets and notice periods.
///
/// # Errors
/// Returns an error if the engine of a side cannot be built.
pub fn compare_on(
    old: Option<&Side>,
    new: &Side,
    today: Option<&str>,
) -> Result<Plan, engine::BuildError> {
    let mut plan = Plan::of(old, new);
    let same_meaning = old.is_some_and(|old| {
        old.lowered.gateway == new.lowered.gateway && old.lowered.contracts == new.lowered.contracts
    });
    let mut keys = lifecycle::EarlierKeys::default();
    if !same_meaning {
        plan.stages.end("equality");
        keys = meaning(old, new, &mut plan)?;
        plan.report_bugs();
    }
    plan.report_left_out(new);
    plan.stages.end("details");
    match (old.map(|side| &side.source), &new.source) {
        (Some(Some(before)), Some(after)) => {
            docs::compare(before, after, &mut plan);
            let gateway = &new.lowered.gateway;
            servers::compare((before, after), &keys, gateway, &mut plan);
        }
        (Some(None), _) => plan.missing.push("source"),
        (Some(Some(_)), None) | (None, _) => {}
    }
    plan.stages.end("docs");
    if let Some(old) = old {
        lifecycle::compare((old, new), &keys, today, &mut plan);
    }
    levels::apply(old, new, keys.others(), &mut plan.changes);
    plan.changes.retain(|change| !ids::is_off(change.id));
    if old.is_none() {
        first::summarize(&mut plan, &new.lowered.gateway);
    }
    plan.changes = group::group(std::mem::take(&mut plan.changes));
    let rules = |side: &'_ Side| side.source.as_ref()?.rules.clone();
    if let (Some(old), Some(after)) = (old, rules(new)) {
        match rules(old) {
            Some(before) => {
                if let Some(replaced) = after.replaced_environment(&before) {
                    let all = plan.changes.iter_mut();
                    all.for_each(|change| change.replaces(replaced));
                }
                rules::compare(&before, &after, &mut plan);
            }
            // A single document has no rules. Any other old side without rules has lost them.
            None if old.source.as_ref().is_some_and(|map| map.is_document) => {}
            None => rules::unknown(old.bundle, &after, &mut plan),
        }
        plan.changes.retain(|change| !ids::is_off(change.id));
        plan.changes
            .sort_by_key(|change| (change.section, change.class));
    }
    places::add(&mut plan, old, new);
    causes::add(&mut plan, old, new);
    reaches::add(&mut plan, old, new);
    let sources = [Some(new), old].into_iter().flatten();
    for source in sources.filter_map(|side| side.source.as_ref()) {
        conceal::conceal(&mut plan, &source.concealed);
    }
    // Prose and rules do not affect how gwd behaves.
    let is_idle = |change: &Change| matches!(change.class, Class::Doc | Class::Rules);
    plan.no_op = old.is_some() && plan.changes.iter().all(is_idle);
    plan.stages.end("grouping");
    Ok(plan)
}

/// Adds the differences of two gateways to the plan: routing, access, and everything else. Returns
/// the earlier keys of the operations.
fn meaning(
    old: Option<&Side>,
    new: &Side,
    plan: &mut Plan,
) -> Result<lifecycle::EarlierKeys, engine::BuildError> {
    let renamed = old.and_then(|old| {
        let gateway = pairs::with_new_names(&old.lowered.gateway, &new.lowered.gateway)?;
        let contracts = old.lowered.contracts.clone();
        Some(bare(
            old.bundle,
            remainder::ComparedSide { gateway, contracts },
        ))
    });
    let keys = described(old, renamed.as_ref().or(old), new, plan)?;
    let compared_all = !plan.missing.contains(&"schemas") && plan.too_large.is_empty();
    let Some(old) = old.filter(|_| compared_all) else {
        return Ok(keys);
    };
    if plan.changes.is_empty() {
        // No rule recognised the difference, but every difference must be reported.
        plan.changes.push(Change::new(
            Section::Policy,
            Class::Changed,
            "unclassified",
            "bundle",
            old.bundle.to_string().into(),
            new.bundle.to_string().into(),
        ));
        return Ok(keys);
    }
    let compare = |before: remainder::ComparedSide, after: remainder::ComparedSide| {
        let (before, after) = (bare(old.bundle, before), bare(new.bundle, after));
        let mut plan = Plan::of(Some(&before), &after);
        described(Some(&before), Some(&before), &after, &mut plan).ok()?;
        plan.too_large.is_empty().then_some(plan.changes)
    };
    let before = renamed.as_ref().unwrap_or(old);
    let with_keys = with_new_keys(before, new, &plan.changes);
    let before = &with_keys.as_ref().unwrap_or(before).lowered;
    let more = remainder::of(before, &new.lowered, &plan.changes, &compare);
    plan.changes.extend(more);
    plan.changes.retain(|change| !ids::is_off(change.id));
    Ok(keys)
}

/// Old side in which each operation that a change calls renamed has its new key. `None` if no
/// operation is renamed.
fn with_new_keys(old: &Side, new: &Side, changes: &[Change]) -> Option<Side> {
    let renamed = changes
        .iter()
        .filter(|change| change.id == "operation-renamed");
    let renamed = renamed.filter_map(|change| Some((change.old.as_str()?, change.new.as_str()?)));
    let (gateway, contracts) =
        pairs::with_new_keys(&old.lowered, &new.lowered.gateway, &renamed.collect())?;
    let side = remainder::ComparedSide { gateway, contracts };
    Some(bare(old.bundle, side))
}

/// Adds the differences of two gateways for which the plan has kinds of changes. `renamed` is the
/// old side with the listener names of the new side. Returns the earlier keys of the operations.
fn described(
    old: Option<&Side>,
    renamed: Option<&Side>,
    new: &Side,
    plan: &mut Plan,
) -> Result<lifecycle::EarlierKeys, engine::BuildError> {
    let served = routing::compare(renamed, new, plan)?;
    plan.stages.end("routing and access");
    details::compare(old.map(|side| &side.lowered), &new.lowered, plan);
    if let Some(old) = old {
        clients::compare((&old.lowered, &new.lowered), &served, plan);
    }
    if let Some(old) = old.filter(|_| plan.changes.is_empty()) {
        details::restated(&old.lowered, &new.lowered, plan);
    }
    plan.changes.retain(|change| !ids::is_off(change.id));
    Ok(lifecycle::EarlierKeys::of(&new.lowered.gateway, &served))
}

/// Creates a side without a source map, to compare one part of a gateway.
fn bare(bundle: Digest, half: remainder::ComparedSide) -> Side {
    Side {
        bundle,
        lowered: Lowered {
            gateway: half.gateway,
            contracts: half.contracts,
            consumers_file: None,
            prose: Default::default(),
            sites: Default::default(),
            documents: Default::default(),
        },
        source: None,
    }
}

impl Plan {
    /// Results of replayed logs, and all other notes.
    pub fn all_notes(&self) -> impl Iterator<Item = &String> {
        self.logs.iter().chain(&self.notes)
    }

    /// Adds a line for each witness that does not show its change.
    fn report_bugs(&mut self) {
        let lines = self.bugs.iter().map(|bug| {
            let mut change = Change::new(
                Section::Security,
                Class::Incomparable,
                gates::SELF_CHECK,
                "self-check",
                serde_json::Value::Null,
                bug.as_str().into(),
            );
            change.why_none = Some("this is a bug in gwc; report it");
            change.bound = format!("{:?} {}", self.old.map(|old| old.to_string()), self.new);
            change
        });
        self.changes.extend(lines);
    }

    /// Adds a line if parts of the new side were left out because of errors.
    fn report_left_out(&mut self, new: &Side) {
        let left_out = new.source.as_ref().map(|map| &map.left_out);
        let Some(places) = left_out.filter(|all| self.old.is_some() && !all.is_empty()) else {
            return;
        };
        let mut change = Change::new(
            Section::Security,
            Class::Incomparable,
            LEFT_OUT,
            "parts of the new version",
            serde_json::Value::Null,
            places.clone().into(),
        );
        change.why_none = Some("the new version has errors there");
        self.changes.push(change);
    }

    /// Creates a plan for two sides, without changes.
    fn of(old: Option<&Side>, new: &Side) -> Self {
        Self {
            old: old.map(|side| side.bundle),
            new: new.bundle,
            environments: BTreeSet::new(),
            changes: Vec::new(),
            schemas: BTreeMap::new(),
            no_op: false,
            missing: Vec::new(),
            logs: Vec::new(),
            notes: Vec::new(),
            bugs: Vec::new(),
            too_large: Vec::new(),
            steps: 0,
            stages: Stages::default(),
        }
    }

    /// Applies sunsets as of a day (`YYYY-MM-DD`). An operation whose new sunset has passed counts
    /// as removed. An operation whose old sunset had passed counts as served again.
    pub fn ended_by(&mut self, today: &str) {
        let is_over =
            |value: &serde_json::Value| value.as_str().is_some_and(|sunset| sunset < today);
        for change in &mut self.changes {
            if change.id != "sunset-changed" {
                continue;
            }
            match (is_over(&change.old), is_over(&change.new)) {
                (false, true) => change.class = Class::Removed,
                (true, false) => {
                    change.class = Class::Expose;
                    change.section = Section::Security;
                    change.why_none = Some("the old side has answered 410 since its sunset");
                }
                // Neither the old nor the new side serves the operation any more.
                (true, true) => change.class = Class::Changed,
                (false, false) => continue,
            }
            change.members.clear();
            *change = change.clone().named();
        }
        group::sort(&mut self.changes);
    }

    /// Number of operations with a change of a class, each counted once, and of changes of this
    /// class that concern no operation.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.count_of(|change| change.class == class)
    }

    /// Number of changes for which `is_counted` returns true, counted as in [`Self::count`].
    pub(crate) fn count_of(&self, is_counted: impl Fn(&Change) -> bool) -> usize {
        let (mut operations, mut others) = (BTreeSet::new(), 0);
        for change in self.changes.iter().filter(|change| is_counted(change)) {
            operations.extend(&change.operations);
            others += usize::from(change.operations.is_empty());
        }
        operations.len() + others
    }
}
